"""varnishtest around Steelyard: each file of vtc/ is a scenario in which it plays the client and the servers, and a test of
its own. Lines of a scenario that begin with `#:` are, put together, JSON about its listener:

    listener   settings of the listener, beside an address and a port of its own
    family     ipv4 (as a rule) or ipv6: what the client speaks; server_family: what the servers speak
    groups     servers by the name of their group, {"web": ["s1"]} as a rule, or {"servers": [...], "max_connections": N}.
               s9 is always down, nobody has s50's address; s1=0 has weight 0

A scenario is told by macros where things are: ${vip} to connect to, ${vip_port}, ${at_s1} for s1 to listen at (nobody
does at ${at_s5}, unless the scenario itself), ${client}, and values of session cookies that name s1: ${fresh_s1},
${aging_s1} (valid, but to be written anew), ${old_s1}, ${future_s1}, ${mark_s1}; ${fresh_gone}, ${mark_gone} of a server
that is not there. They hold for a cookie_timeout of 600.
"""

import json
import pathlib
import re
import subprocess
import time
import unittest

from harness import config
from harness.cookies import Cookies
from harness.one_place import OnePlace
from harness.plan import FAMILIES, endpoint
from harness.servers import EchoServer
from harness.shell import PATIENCE
from harness.steelyard import Steelyard

FOLDER = pathlib.Path(__file__).resolve().parent / "vtc"
KEY = bytes(range(32))
COOKIES = Cookies(KEY)
TIMEOUT = 600  # of cookies, in seconds
CHECKED = 9  # the port that health checks ask
FIRST_PORT = 2000
LIVELY = range(8)  # servers that answer them: s1 to s8


class Scenario:
    """One file, and its listener's part of the configuration."""

    def __init__(self, path, port):
        self.path, self.name, self.port = path, path.stem, port
        text = path.read_text()
        told = "".join(line[2:] for line in text.splitlines() if line.startswith("#:"))
        try:
            said = json.loads(told or "{}")
        except json.JSONDecodeError as error:
            raise AssertionError(f"{path}: {error}") from error
        self.settings = said.pop("listener", {})
        self.family = FAMILIES[said.pop("family", "ipv4")]
        self.server_family = FAMILIES[said.pop("server_family", self.family.name)]
        self.groups = said.pop("groups", {"web": ["s1"]})
        if said:
            raise AssertionError(f"{path}: {', '.join(said)}: no such key")

    def _server(self, name):
        place, _, weight = name[1:].partition("=")
        return {"address": self.server_family.server(int(place) - 1), "port": self.port, "weight": int(weight or 100)}

    def server_groups(self):
        groups = []
        for name, said in self.groups.items():
            group = dict(said) if isinstance(said, dict) else {"servers": said}
            groups.append({"name": self._own(name), **group, "servers": [self._server(server) for server in group["servers"]]})
        return groups

    def _own(self, group):
        return f"{self.name}-{group}"

    def has_dead_servers(self):
        return any("s9" in servers for servers in self.groups.values())

    def listener(self):
        settings = json.loads(json.dumps(self.settings))
        for rule in settings.get("rules", []):
            rule["server_group"] = self._own(rule["server_group"])
        if "redirect" in settings:
            return {"protocol": "http", "port": self.port, **settings}
        interval = 1 if self.has_dead_servers() else 50
        check = {"type": "tcp", "port": CHECKED, "interval": interval, "timeout": interval}
        return config.listener(self.port, "http", self._own("web"), check, **settings)

    def macros(self):
        address, port, now = self.server_family.server, self.port, int(time.time())
        macros = {
            "vip": f"{self.family.vip()} {port}",
            "vip_port": str(port),
            "client": self.family.client,
            "fresh_gone": COOKIES.value(address(50), port, now, now),
            "mark_gone": COOKIES.mark(address(50), port),
        }
        for index in range(OnePlace.SERVERS):
            name, ages = f"s{index + 1}", {"fresh": 0, "aging": TIMEOUT // 2, "old": TIMEOUT + 60, "future": -86_400 - 3_600}
            macros[f"at_{name}"] = f"{address(index)} {port}"
            macros[f"mark_{name}"] = COOKIES.mark(address(index), port)
            for word, age in ages.items():
                macros[f"{word}_{name}"] = COOKIES.value(address(index), port, now - age, now - age)
        return macros


SCENARIOS = [Scenario(path, FIRST_PORT + number) for number, path in enumerate(sorted(FOLDER.glob("*.vtc")))]


class Varnish(unittest.TestCase):
    """All scenarios with one process of Steelyard."""

    together = True

    @classmethod
    def setUpClass(cls):
        cls.net = OnePlace()
        cls.addClassCleanup(cls.net.close)
        cls.checked = EchoServer(
            cls.net,
            0,
            {CHECKED: "close"},
            namespace=cls.net.client,
            addresses=[family.server(index) for family in FAMILIES.values() for index in LIVELY],
        )
        cls.addClassCleanup(cls.checked.kill)
        key = cls.net.dir / "cookie.key"
        key.write_bytes(KEY)
        key.chmod(0o600)
        balancers = [
            config.load_balancer(f"shop-{family.name}", family.vip(), *(s.listener() for s in SCENARIOS if s.family is family))
            for family in FAMILIES.values()
        ]
        groups = [group for scenario in SCENARIOS for group in scenario.server_groups()]
        document = config.base(load_balancers=balancers, server_groups=groups, cookie_key_file=str(key))
        cls.steelyard = Steelyard(cls.net, document).start()
        cls.addClassCleanup(cls._end)
        for scenario in SCENARIOS:
            if scenario.has_dead_servers():
                cls.steelyard.wait_health(scenario.server_family.server(8), scenario.port, "down")

    @classmethod
    def _end(cls):
        try:
            cls.steelyard.assert_exact_accounting()
            code = cls.steelyard.stop()
            if code != 0:
                raise AssertionError(f"exit code {code} on SIGTERM")
        finally:
            cls.steelyard.kill()

    def play(self, scenario):
        argv = ["ip", "netns", "exec", self.net.client.name, "varnishtest", "-t", str(int(20 * PATIENCE))]
        for name, value in scenario.macros().items():
            argv += ["-D", f"{name}={value}"]
        done = subprocess.run(
            [*argv, str(scenario.path)],
            cwd=self.net.dir,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(self.net.dir)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=40 * PATIENCE,
        )
        if done.returncode != 0:
            where = endpoint(scenario.family.vip(), scenario.port)
            self.fail(f"{scenario.path.name} at {where} ({done.returncode}):\n{done.stdout}")


def _test_of(scenario):
    def test(self):
        self.play(scenario)

    test.__name__ = "test_" + re.sub(r"\W", "_", scenario.name)
    return test


for _scenario in SCENARIOS:
    _test = _test_of(_scenario)
    setattr(Varnish, _test.__name__, _test)
