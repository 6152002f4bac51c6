"""The harness itself, without Steelyard: over kernel routing and nftables in its place, clients reach servers and the
helpers count what happened. When these fail, no other system test says anything."""

import unittest

from harness import config
from harness.accounting import imbalances
from harness.case import SystemCase, for_each
from harness.clients import Background, Download
from harness.kernel_balancer import KernelBalancer
from harness.plan import FAMILIES, FAR_CLIENTS
from harness.servers import Nginx
from harness.shell import eventually

EACH_FAMILY = list(FAMILIES.values())


class Harness(SystemCase):
    def kernel(self, port, protocol="tcp"):
        balancer = KernelBalancer(self.net, port, protocol)
        self.addCleanup(balancer.close)

    @for_each(family=EACH_FAMILY)
    def test_many_connections_are_greeted_and_shared(self, family):
        servers = self.echo_servers(tcp={7000: "close"})
        self.kernel(7000)
        report = self.client.connect_many(family.vip(), 7000, 900, sources=[family.far(n) for n in range(FAR_CLIENTS)])
        self.assertEqual(report["greeted"], {"a": 300, "b": 300, "c": 300})
        self.assertEqual((report["failed"], report["slow"]), ({}, 0))
        accepted = servers[0].report()["accepted"]
        self.assertEqual(sum(accepted.values()), 300)
        self.assertEqual(set(accepted), {family.far(n) for n in range(FAR_CLIENTS)})

    @for_each(family=EACH_FAMILY)
    def test_held_connections_stay_alive(self, family):
        self.echo_servers(tcp={7000: "echo"})
        self.kernel(7000)
        with self.client.hold_many(family.vip(), 7000, 300) as report:
            self.assertEqual(sum(report["greeted"].values()), 300)
        self.assertEqual(report["alive"], 300)

    @for_each(family=EACH_FAMILY)
    def test_datagrams_are_answered(self, family):
        self.echo_servers(udp=[5300])
        self.kernel(5300, "udp")
        answers = [self.client.ask_udp(family.vip(), 5300, family.far(3)) for _ in range(6)]
        self.assertEqual({name for name, _ in answers}, {"a", "b", "c"})
        self.assertEqual({payload for _, payload in answers}, {b"ping"})

    @for_each(family=EACH_FAMILY)
    def test_nginx_logs_the_clients_address(self, family):
        servers = [Nginx(self.net, index) for index in range(3)]
        for server in servers:
            self.addCleanup(server.stop)
        self.kernel(80)
        for number in range(3):
            status, body = self.client.get(family.vip(), 80, source=family.far(number))
            self.assertEqual((status, body.strip() in {b"a", b"b", b"c"}), (200, True))
        seen = {line.split()[0] for server in servers for line in server.access_log()}
        self.assertEqual(seen, {family.far(number) for number in range(3)})

    def test_a_slow_download_arrives_whole_beside_an_idle_connection(self):
        family = FAMILIES["ipv4"]
        nginx = Nginx(self.net, 0, rate="400k")
        self.addCleanup(nginx.stop)
        content = bytes(range(256)) * 4096
        (nginx.root / "file").write_bytes(content)
        with self._routed(family) as idle:
            download = Download(self.client, family.server(0), 80, "/slow/file")
            turns = Background(lambda: self.assertEqual(idle.say("still here"), "still here"), pause=0.02)
            self.assertEqual(download.finish(), content)
            self.assertGreater(turns.finish(), 10)

    def _routed(self, family):
        """Past the balancer: the lb namespace only routes to the servers' own addresses."""
        self.echo_servers(tcp={7000: "echo"})
        self.kernel(7001)
        return self.client.echo(family.server(1), 7000)

    @for_each(family=EACH_FAMILY)
    def test_a_bulk_exchange_comes_back_whole(self, family):
        self.echo_servers(tcp={7000: "echo"})
        self.kernel(7000)
        content = bytes(range(256)) * 16384
        with self.client.echo(family.vip(), 7000) as connection:
            self.assertEqual(connection.exchange(content), content)

    def test_a_dead_server_resets_and_a_pulled_cable_is_silent(self):
        family = FAMILIES["ipv4"]
        servers = self.echo_servers(tcp={7000: "echo"})
        self.kernel(7001)
        servers[1].kill()
        with self.assertRaises(ConnectionRefusedError):
            self.client.tcp(family.server(1), 7000)
        self.net.server_link(0, up=False)
        self.addCleanup(self.net.server_link, 0, True)
        with self.assertRaises((TimeoutError, OSError)):
            self.client.tcp(family.server(0), 7000, timeout=1)
        self.net.server_link(0, up=True)
        eventually(lambda: self._answers(family), "the server answers when its cable is back")

    def _answers(self, family):
        try:
            return self.client.echo(family.server(0), 7000).name == "a"
        except OSError:
            return False

    def test_a_reset_is_told_from_an_orderly_end(self):
        family = FAMILIES["ipv4"]
        servers = self.echo_servers(tcp={7000: "echo", 7002: "close"})
        self.kernel(7001)
        self.assertFalse(self.client.echo(family.server(0), 7002).wait_for_reset(2))
        idle = self.client.echo(family.server(0), 7000)
        servers[0].kill()
        self.assertFalse(idle.wait_for_reset(2))
        with self.assertRaises((ConnectionResetError, BrokenPipeError, ConnectionError)):
            idle.say("anyone")
            idle.say("there?")

    def test_a_syn_flood_reaches_its_target(self):
        family = FAMILIES["ipv4"]
        self.echo_servers(tcp={7000: "echo"}, count=1)
        self.kernel(7000)
        self.client.ping(family.vip())
        flood = self.client.syn_flood(family.vip(), 7000, rate=2000, seconds=1)
        flood.wait()
        self.assertIn('"sent": ', flood.popen.stdout.read())
        flood.kill()
        seen = self.net.servers[0].run("nstat", "-az", "TcpPassiveOpens", "TcpExtTCPReqQFullDoCookies")
        half_open = self.net.servers[0].run("ss", "-Htn", "state", "syn-recv")
        self.assertTrue(half_open.strip() or "Cookies" in seen, "no SYN arrived at the server")


class Books(unittest.TestCase):
    """The accounting check must see a missing packet, whatever the document says about itself."""

    @staticmethod
    def stats(received):
        books = {
            "inputs": {"rx": received, "generated": 3},
            "outputs": {"tx": {"wan": 50, "lan": 40}, "consumed": 2},
            "drops": {"bad_checksum": 5, "unmatched": 3},
            "queued": 3,
            "exact": True,
        }
        return {"workers": [{"accounting": books}]}

    def test_balanced_books_pass(self):
        self.assertEqual(imbalances(self.stats(100)), [])

    def test_one_missing_packet_is_found(self):
        self.assertIn("difference 1", imbalances(self.stats(101))[0])

    def test_a_packet_lost_between_workers_is_found(self):
        books = {"inputs": {"rx": 1}, "outputs": {"handed_out": 1}, "drops": {}, "queued": 0}
        self.assertIn("handed_out is 1", imbalances({"workers": [{"accounting": books}]})[0])

    def test_no_worker_at_all_is_a_failure(self):
        self.assertNotEqual(imbalances({"workers": []}), [])


class Yaml(unittest.TestCase):
    def test_configurations_are_written_as_people_write_them(self):
        text = config.to_yaml(config.base(2, metrics={"listen": "127.0.0.1:9464"}))
        self.assertIn("workers:\n  count: 2\n", text)
        self.assertIn("  - name: wan\n    device: \"net_af_packet0,iface=wan0\"\n", text)
        self.assertIn("      - 192.0.2.2/24\n      - \"2001:db8:1::2/64\"\n", text)
