"""Changing the configuration under load: nothing that runs breaks, and a bad file changes nothing at all."""

import copy
import time

from harness import config
from harness.case import SystemCase, for_each
from harness.clients import Background, Download
from harness.plan import FAMILIES
from harness.servers import Nginx
from harness.shell import eventually, scaled
from harness.steelyard import check, positions

FAMILY = FAMILIES["ipv4"]
EACH_FAMILY = list(FAMILIES.values())
RELOADS = scaled(100, least=25)
SECONDS = scaled(60, least=12)
BYTES_PER_SECOND = 500_000


def document(mode, family, workers):
    """Pages on 80, TCP echo on 7000, UDP echo on 5300, all before servers a, b, c."""
    listeners = [
        config.listener(80, group="pages", mode=mode),
        config.listener(7000, group="echo", mode=mode),
        config.listener(5300, "udp", group="datagrams", mode=mode),
    ]
    groups = [config.group("pages", family, 80), config.group("echo", family, 8000), config.group("datagrams", family, 53)]
    return config.base(
        workers, load_balancers=[config.load_balancer("lb", family.vip(), *listeners)], server_groups=groups
    )


def variant(original, family, number):
    """The number-th change: weights, a fourth server, a removed server, another listener, another load balancer."""
    changed = copy.deepcopy(original)
    balancers, groups = changed["load_balancers"], changed["server_groups"]
    for group in groups:
        for index, server in enumerate(group["servers"]):
            server["weight"] = 1 + (17 * number + 31 * index) % 100
    if number % 2:
        groups[1]["servers"].append({"address": family.server(3), "port": 8000, "weight": 30})
    if number % 3 == 1:
        del groups[number % 2]["servers"][number % 3]
    if number % 4 == 2:
        balancers[0]["listeners"].append(config.listener(7100 + number, group="echo"))
    if number % 5 == 3:
        balancers.append(config.load_balancer("more", family.vip(1), config.listener(7000, group="echo")))
    return changed


class Reload(SystemCase):
    servers = 4

    @for_each(mode=["nat", "fullnat"], family=EACH_FAMILY, workers=[1, 2])
    def test_a_hundred_reloads_break_nothing_that_runs(self, mode, family, workers):
        self.echo_servers(tcp={8000: "echo"}, udp=[53])
        content = self.pages(family)
        original = document(mode, family, workers)
        steelyard = self.run_steelyard(original)
        idle = self.client.echo(family.vip(), 7000)
        stream = Datagrams(self.client, family.vip(), 5300)
        talk = Background(stream.step, pause=0.02)
        download = Download(self.client, family.vip(), 80, "/slow/file")
        began = time.monotonic()
        for number in range(RELOADS):
            steelyard.reload(variant(original, family, number))
            talk.check()
            time.sleep(max(0.0, began + (number + 1) * 0.9 * SECONDS / RELOADS - time.monotonic()))
            if not download.running():  # on a slow machine the reloads take longer than one lasts
                self.assertEqual(download.finish(timeout=SECONDS), content)
                download = Download(self.client, family.vip(), 80, "/slow/file")
        self.assertEqual(download.finish(timeout=SECONDS), content)
        talk.finish()
        self.assertLessEqual(stream.lost, max(1, stream.sent // 100), f"of {stream.sent} datagrams")
        self.assertEqual(len(stream.names), 1, f"the stream changed its server: {stream.names}")
        with idle:
            self.assertEqual(idle.say("good morning"), "good morning")

    def pages(self, family):
        content = bytes(range(251)) * (BYTES_PER_SECOND * SECONDS // 251)
        for index in range(3):
            server = Nginx(self.net, index, rate=BYTES_PER_SECOND)
            self.addCleanup(server.stop)
            (server.root / "file").write_bytes(content)
        return content

    def test_an_invalid_file_is_reported_by_line_and_column_and_changes_nothing(self):
        self.echo_servers(tcp={8000: "echo"}, udp=[53])
        original = document("nat", FAMILY, 2)
        steelyard = self.run_steelyard(original)
        idle = self.client.echo(FAMILY.vip(), 7000)
        before = self.shape(steelyard.status())
        broken = copy.deepcopy(original)
        broken["server_groups"][1]["servers"][0]["weight"] = 4711
        broken["load_balancers"][0]["listeners"][1]["shceduler"] = "wrr"
        broken["load_balancers"][0]["listeners"].append(config.listener(7200, group="nobody"))
        text = steelyard.write(broken)
        try:
            steelyard.reload()
            self.fail("an invalid file was accepted")
        except Exception as refused:
            told = str(refused)
        lines = {line for line, _ in positions(told)}
        for mark in ("weight: 4711", "shceduler", "server_group: nobody"):
            wanted = next(n for n, line in enumerate(text.splitlines(), 1) if mark in line)
            self.assertIn(wanted, lines, f"`{mark}` of line {wanted} is not reported in: {told}")
        self.assertEqual(self.shape(steelyard.status()), before)
        with idle, self.client.echo(FAMILY.vip(), 7000) as fresh:
            self.assertEqual((idle.say("old"), fresh.say("new")), ("old", "new"))

    def shape(self, status):
        """What was configured, without what moves by itself."""
        if isinstance(status, dict):
            moving = ("health", "unknown", "connections", "since", "last", "checked", "uptime", "generation", "result")
            moving += ("success", "failure", "down", "local_error")
            return {k: self.shape(v) for k, v in status.items() if not any(word in k for word in moving)}
        return [self.shape(inner) for inner in status] if isinstance(status, list) else status

    def test_a_setting_that_needs_a_restart_is_refused_by_name(self):
        original = document("nat", FAMILY, 1)
        steelyard = self.run_steelyard(original)
        with self.assertRaisesRegex(Exception, "workers"):
            steelyard.reload({**original, "workers": {"count": 2}})

    @for_each(before=["nat", "fullnat"])
    def test_a_changed_mode_is_for_new_connections_and_leaves_the_old_ones_alone(self, before):
        self.echo_servers(tcp={8000: "echo"})
        after = {"nat": "fullnat", "fullnat": "nat"}[before]
        steelyard = self.run_steelyard(document(before, FAMILY, 2))
        old = [self.client.echo(FAMILY.vip(), 7000, FAMILY.far(number)) for number in range(12)]
        steelyard.reload(document(after, FAMILY, 2))
        for connection in old:
            with connection, self.client.echo(FAMILY.vip(), 7000) as fresh:
                self.assertEqual((connection.say("old"), fresh.say("new")), ("old", "new"))

    def test_new_servers_and_listeners_serve_at_once(self):
        self.echo_servers(tcp={8000: "close"})
        original = document("nat", FAMILY, 2)
        steelyard = self.run_steelyard(original)
        changed = copy.deepcopy(original)
        changed["load_balancers"].append(config.load_balancer("new", FAMILY.vip(1), config.listener(9000, group="fresh")))
        changed["server_groups"].append(config.group("fresh", FAMILY, 8000, (100, 100), first=2))
        steelyard.reload(changed)
        report = self.client.connect_many(FAMILY.vip(1), 9000, 200)
        self.assertEqual((report["failed"], set(report["greeted"])), ({}, {"c", "d"}))
        steelyard.reload(original)
        with self.assertRaises(OSError):
            self.client.tcp(FAMILY.vip(1), 9000, timeout=1)

    def test_a_stopped_udp_listener_answers_nobody_any_more(self):
        self.echo_servers(udp=[8000])
        original = config.base(
            2,
            load_balancers=[config.load_balancer("lb", FAMILY.vip(), config.listener(7000, "udp"))],
            server_groups=[config.group("web", FAMILY, 8000)],
        )
        steelyard = self.run_steelyard(original)
        stopped = copy.deepcopy(original)
        stopped["load_balancers"][0]["listeners"][0]["status"] = "stopped"
        with self.client.udp(FAMILY.vip(), 7000, timeout=2) as talk:
            talk.send(b"ping")
            self.assertTrue(talk.recv(65536))
            steelyard.reload(stopped)

            def is_refused():
                try:
                    talk.send(b"ping")
                    talk.recv(65536)
                except ConnectionRefusedError:
                    return True
                except TimeoutError:
                    pass
                return False

            eventually(is_refused, "port unreachable")
            steelyard.reload(original)
            talk.send(b"ping")
            self.assertTrue(talk.recv(65536))

    def test_check_reports_every_error_at_once_and_accepts_the_good_file(self):
        good = document("fullnat", FAMILY, 1)
        code, told, _ = check(config.to_yaml(good), self.net.dir)
        self.assertEqual(code, 0, told)
        bad = copy.deepcopy(good)
        bad["ports"][0]["mtu"] = 99
        bad["load_balancers"][0]["listeners"][0]["port"] = 70000
        bad["load_balancers"][0]["listeners"][1]["server_group"] = "missing"
        code, told, path = check(config.to_yaml(bad), self.net.dir)
        self.assertNotEqual(code, 0)
        self.assertGreaterEqual(len(positions(told)), 3, told)
        self.assertIn(str(path.name), told)


class Datagrams:
    """One UDP flow that asks again and again and keeps the books."""

    def __init__(self, client, address, port):
        self.socket = client.udp(address, port, timeout=0.5)
        self.sent, self.lost, self.names = 0, 0, set()

    def step(self):
        self.sent += 1
        payload = str(self.sent).encode()
        self.socket.send(payload)
        try:
            while True:
                name, _, echoed = self.socket.recv(100).partition(b" ")
                self.names.add(name)
                if echoed == payload:
                    return
        except TimeoutError:
            self.lost += 1
