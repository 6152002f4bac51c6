"""Odd requests through Steelyard, HAProxy and nginx to a server that records what arrives. What arrives differently, or
does not arrive, must be explained by a row of differential/explained.md, and every row must explain as much as it says."""

import re
import threading
import unittest

from differential import explanations
from differential.cases import all_cases
from differential.outcome import Outcome, differences
from differential.proxies import CANARY, SECONDS, HaProxy, Nginx, ask, wait_for
from differential.recorder import Recorder
from harness import config
from harness.one_place import OnePlace
from harness.plan import IPV4
from harness.servers import EchoServer
from harness.steelyard import Steelyard

LANES = 4
FIRST_PORT = {"steelyard": 3000, "haproxy": 3100, "nginx": 3200}
RECORDERS = 1000  # what a lane's recorder has more in its port
CHECKED = 9
SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: sentinel\r\nConnection: close\r\n\r\n"


class Lane:
    """One proxy's port and the recorder behind it; a thread of its own runs its share of the cases."""

    def __init__(self, net, address, server, port):
        self.net, self.address, self.port = net, address, port
        self.outcomes, self.error = {}, None
        with net.client.entered():
            self.recorder = Recorder(server, port + RECORDERS)

    def run(self, cases):
        try:
            with self.net.client.entered():
                for case in cases:
                    self.outcomes[case.name] = self._ask(case)
        except Exception as error:  # reported by the thread that waits
            self.error = error

    def _ask(self, case):
        outcome = Outcome(ask(self.address, self.port, case.octets + CANARY), self.recorder.take())
        if not outcome.goes_on:
            # Connections come in order: once this one has come, nothing of the case is on its way any more.
            if ask(self.address, self.port, SENTINEL) != [200]:
                raise AssertionError(f"port {self.port} does not answer after {case.name}")
            outcome.arrivals += [one for one in self.recorder.take() if not (one.request and one.request.target == "/sentinel")]
        return outcome


class Differential(unittest.TestCase):
    """All cases are asked once, by lanes beside each other; the tests look at what came of them."""

    together = True

    @classmethod
    def setUpClass(cls):
        cls.net = OnePlace()
        cls.addClassCleanup(cls.net.close)
        client, server = IPV4.client, IPV4.server(0)
        checked = EchoServer(cls.net, 0, {CHECKED: "close"}, namespace=cls.net.client, addresses=[server])
        cls.addClassCleanup(checked.kill)
        ports = {name: range(first, first + LANES) for name, first in FIRST_PORT.items()}
        addresses = {"steelyard": IPV4.vip(), "haproxy": client, "nginx": client}
        cls.lanes = {
            name: [Lane(cls.net, addresses[name], server, port) for port in ports[name]] for name in FIRST_PORT
        }
        for lane in sum(cls.lanes.values(), []):
            cls.addClassCleanup(lane.recorder.close)
        cls._start_steelyard(server, ports["steelyard"])
        for kind, name in ((HaProxy, "haproxy"), (Nginx, "nginx")):
            proxy = kind(cls.net, client, server, [(port, port + RECORDERS) for port in ports[name]])
            cls.addClassCleanup(proxy.process.kill)
            wait_for(proxy.process, cls.net, client, ports[name][0])
        cls.outcomes = {name: cls._run(lanes) for name, lanes in cls._begin().items()}
        cls.rows, cls.unexplained = cls._explain()

    @classmethod
    def _start_steelyard(cls, server, ports):
        timeouts = {f"{name}_timeout": SECONDS for name in ("header", "idle", "request", "connect")}
        check = {"type": "tcp", "port": CHECKED, "interval": 50, "timeout": 50}
        listeners = [
            config.listener(port, "http", f"recorder-{port}", check, x_forwarded_for="off", **timeouts) for port in ports
        ]
        groups = [
            {"name": f"recorder-{port}", "servers": [{"address": server, "port": port + RECORDERS, "weight": 100}]}
            for port in ports
        ]
        balancers = [config.load_balancer("shop", IPV4.vip(), *listeners)]
        cls.steelyard = Steelyard(cls.net, config.base(load_balancers=balancers, server_groups=groups)).start()
        cls.addClassCleanup(cls._end)

    @classmethod
    def _end(cls):
        try:
            cls.steelyard.assert_exact_accounting()
            code = cls.steelyard.stop()
            if code != 0:
                raise AssertionError(f"exit code {code} on SIGTERM")
        finally:
            cls.steelyard.kill()

    @classmethod
    def _begin(cls):
        """{proxy: [(lane, its thread)]}"""
        cls.cases = all_cases()
        begun = {}
        for name, lanes in cls.lanes.items():
            shares = [(lane, cls.cases[number::LANES]) for number, lane in enumerate(lanes)]
            begun[name] = [(lane, threading.Thread(target=lane.run, args=(share,), daemon=True)) for lane, share in shares]
            for _, thread in begun[name]:
                thread.start()
        return begun

    @classmethod
    def _run(cls, begun):
        outcomes = {}
        for lane, thread in begun:
            thread.join()
            if lane.error:
                raise lane.error
            outcomes.update(lane.outcomes)
        return outcomes

    @classmethod
    def _explain(cls):
        """(rows, unexplained differences as lines of the table)"""
        rows, unexplained = explanations.read(), []
        for proxy in ("haproxy", "nginx"):
            for case in cls.cases:
                for difference in differences(cls.outcomes["steelyard"][case.name], cls.outcomes[proxy][case.name]):
                    explaining = [row for row in rows if row.explains(proxy, case.name, difference)]
                    for row in explaining:
                        row.found.append(case.name)
                    if not explaining:
                        unexplained.append(" | ".join(("", proxy, case.name, *difference, "")).strip())
        return rows, unexplained

    def test_there_are_no_differences_that_nothing_explains(self):
        self.assertEqual(len(self.unexplained), 0, "\n" + "\n".join(self.unexplained))

    def test_every_explanation_explains_what_it_says_and_no_more(self):
        wrong = [
            f"explained.md:{row.line}: {len(row.found)} differences instead of {row.count}: {' '.join(row.found)}"
            for row in self.rows
            if str(len(row.found)) != row.count or not row.found
        ]
        self.assertEqual(len(wrong), 0, "\n" + "\n".join(wrong))

    def test_what_others_refuse_and_we_pass_is_allowed_by_an_rfc(self):
        passed = [row for row in self.rows if row.what == "fate" and row.ours == "passed"]
        bare = [row.line for row in passed if not re.search(r"RFC \d+", row.why)]
        self.assertEqual(bare, [], "lines of explained.md that do not name an RFC")

    def test_servers_get_nothing_from_us_that_is_not_exactly_a_request(self):
        problems = {name: outcome.problems for name, outcome in self.outcomes["steelyard"].items() if outcome.problems}
        self.assertEqual(problems, {})
