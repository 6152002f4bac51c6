#!/usr/bin/python3
"""Tests of check_tcp_rules.py: what is gone, missing or malformed must be found, and a whole table must pass."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import check_tcp_rules  # noqa: E402  (the path above comes first)

HEADER = "| RFC section | rule | level | function (file) | tests |\n|---|---|---|---|---|\n"


class CheckTcpRules(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.put("dataplane/tcp/input.cc", "// Connection::gone()\nbool Connection::in_window(int) { return true; }\n")
        self.put("dataplane/tcp/settings.h", "struct Settings {\n  int mtu = 1;\n};\n")
        self.cases = [f"case_{number}" for number in range(1, check_tcp_rules.CASES + 1)]
        self.put("tests/unit/tcp/cases_test.cc", "".join(f"TEST_P(Cases, {case}) {{}}\n" for case in self.cases) +
                 "TEST(Parts, ItWorks) {}\n")
        self.appendix = "".join(f"| 9293 3 | a rule | {level} | Connection::in_window (input.cc) | case_1, ItWorks |\n"
                                for level in sorted(check_tcp_rules.APPENDIX_B))

    def put(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def problems(self, row="", appendix=None, cases=None):
        cases = self.cases if cases is None else cases
        listed = "".join(f"| {number} | {case} |\n" for number, case in enumerate(cases, 1))
        self.put(check_tcp_rules.TABLE, "# Rules\n\n" + HEADER + (self.appendix if appendix is None else appendix) + row +
                 "\n## Cases\n\n| number | case |\n|---|---|\n" + listed)
        return check_tcp_rules.problems(self.root)

    def assert_one_problem(self, row, *words):
        found = self.problems(row)
        self.assertEqual(len(found), 1, found)
        for word in words:
            self.assertIn(word, found[0])

    def test_a_whole_table_passes(self):
        self.assertEqual(self.problems("| 7323 2.3 | r | SHOULD | Settings::mtu (settings.h) | ItWorks |\n"), [])
        self.assertEqual(self.problems("| 3168 6 | r | MUST NOT | not done: in another phase | |\n"), [])

    def test_a_function_that_is_gone_is_found_though_a_comment_names_it(self):
        self.assert_one_problem("| 9293 3 | r | MUST | Connection::gone (input.cc) | ItWorks |\n", "does not exist", "gone")
        self.assert_one_problem("| 9293 3 | r | MUST | Settings::gone (settings.h) | ItWorks |\n", "does not exist")
        self.assert_one_problem("| 9293 3 | r | MUST | Gone::mtu (settings.h) | ItWorks |\n", "does not exist")
        self.assert_one_problem("| 9293 3 | r | MUST | Connection::in_window (gone.cc) | ItWorks |\n", "does not exist")

    def test_a_test_that_is_gone_is_found(self):
        self.assert_one_problem("| 9293 3 | r | MUST | Connection::in_window (input.cc) | ItWorks, gone |\n", 'test "gone"')

    def test_malformed_rows_are_found(self):
        self.assert_one_problem("| 9293 3 | r | MUST | Connection::in_window (input.cc) |\n", "4 columns")
        self.assert_one_problem("| RFC 9293 | r | MUST | Connection::in_window (input.cc) | ItWorks |\n", "no section")
        self.assert_one_problem("| 9293 3 |  | MUST | Connection::in_window (input.cc) | ItWorks |\n", "no rule")
        self.assert_one_problem("| 9293 3 | r | must | Connection::in_window (input.cc) | ItWorks |\n", "no level")
        self.assert_one_problem("| 9293 3 | r | MUST | Connection::in_window | ItWorks |\n", "is no function")
        self.assert_one_problem("| 9293 3 | r | MUST | Connection::in_window (input.cc) |  |\n", "no test")
        self.assert_one_problem("| 9293 3 | r | MUST | not done: |  |\n", "say why")
        self.assert_one_problem("| 9293 3 | r | MUST | not done: why | ItWorks |\n", "has no test")

    def test_a_requirement_of_appendix_b_without_a_row_is_found(self):
        lines = self.appendix.splitlines(keepends=True)
        found = self.problems(appendix="".join(line for line in lines if "| MUST-66 |" not in line))
        self.assertEqual(len(found), 1, found)
        self.assertIn("MUST-66", found[0])

    def test_a_named_case_without_a_script_is_found(self):
        for cases in (self.cases[:-1], self.cases[:-1] + ["gone"], self.cases[:-1] + ["ItWorks"]):
            self.assertEqual(len(self.problems(cases=cases)), 1, cases[-1])

    def test_a_missing_table_is_found(self):
        self.assertEqual(len(check_tcp_rules.problems(self.root)), 1)


if __name__ == "__main__":
    unittest.main()
