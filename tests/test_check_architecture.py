#!/usr/bin/python3
"""Tests of check_architecture.py: a wrong arrow must be found, wherever it hides, and a right one must pass."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import check_architecture  # noqa: E402  (the path above comes first)


class CheckArchitecture(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def put(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def problems(self):
        return check_architecture.problems(self.root)

    def assert_one_problem(self, *words):
        found = self.problems()
        self.assertEqual(len(found), 1, found)
        for word in words:
            self.assertIn(word, found[0])

    def test_an_arrow_of_the_map_passes(self):
        self.put("dataplane/l4/flow.cc", '#include "dataplane/l4/flow.h"\n#include "dataplane/packet/view.h"\n')
        self.put("control/main.cc", '#include "dataplane/worker/worker.h"\n#include "healthcheck/probe.h"\n')
        self.assertEqual(self.problems(), [])

    def test_a_wrong_arrow_is_found_with_its_line(self):
        self.put("dataplane/packet/view.h", '#pragma once\n#include "dataplane/l4/flow.h"\n')
        self.assert_one_problem("dataplane/packet/view.h:2", "packet must not know l4", "nobody")

    def test_the_data_plane_knows_no_control_side(self):
        for room in ("control/config/model.h", "healthcheck/probe.h", "certs/store.h"):
            self.put("dataplane/worker/loop.cc", f'#include "{room}"\n')
            self.assert_one_problem("worker must not know")

    def test_control_reaches_the_nic_only_through_the_worker(self):
        self.put("control/config/deep/file.cc", '  #  include "dataplane/nic/port.h"\n')
        self.assert_one_problem("control must not know nic")

    def test_health_checks_know_nobody(self):
        self.put("healthcheck/probe.cc", '#include "dataplane/service/address.h"\n')
        self.assert_one_problem("healthcheck must not know service")

    def test_includes_relative_to_the_file_are_refused(self):
        self.put("dataplane/packet/view.cc", '#include "view.h"\n')
        self.assert_one_problem("names no room")
        self.put("dataplane/packet/view.cc", '#include "dataplane/packet/../l4/flow.h"\n')
        self.assert_one_problem("names no room")

    def test_angle_brackets_do_not_hide_an_arrow(self):
        self.put("dataplane/packet/view.cc", "#include <dataplane/l4/flow.h>\n")
        self.assert_one_problem("one of our own headers")

    def test_asio_and_yaml_have_no_place_in_the_data_plane(self):
        self.put("dataplane/service/ids.h", "#include <boost/asio.hpp>\n")
        self.assert_one_problem("no place in the data plane")
        self.put("dataplane/service/ids.h", "#include <yaml-cpp/yaml.h>\n")
        self.assert_one_problem("no place in the data plane")

    def test_a_file_outside_of_the_rooms_is_found(self):
        self.put("dataplane/stray/file.h", "#pragma once\n")
        self.assert_one_problem("no room of the map")

    def test_a_wrong_library_dependency_is_found(self):
        self.put("dataplane/tcp/CMakeLists.txt", "steelyard_library(tcp SOURCES a.cc DEPENDS steelyard_service)\n")
        self.assert_one_problem("tcp must not know service")

    def test_a_room_may_have_several_libraries(self):
        self.put("control/config/CMakeLists.txt", "steelyard_library(config SOURCES a.cc DEPENDS steelyard_options)\n")
        self.put("control/CMakeLists.txt", "steelyard_library(control SOURCES b.cc DEPENDS steelyard_config)\n")
        self.assertEqual(self.problems(), [])


if __name__ == "__main__":
    unittest.main()
