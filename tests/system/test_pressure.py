"""Under pressure: full NAT through few ports, and a flood of spoofed SYNs beside real users."""

from harness import config
from harness.case import SystemCase, for_each
from harness.clients import Background
from harness.plan import FAMILIES, FAR_CLIENTS
from harness.shell import scaled

FAMILY = FAMILIES["ipv4"]
SOURCES = [FAMILY.far(number) for number in range(FAR_CLIENTS)]
FLOWS = 16384  # per worker; half-open flows may hold a quarter of it


class Pressure(SystemCase):
    servers = 1

    @for_each(workers=[1, 2])
    def test_fullnat_reuses_a_thousand_ports_without_a_failed_or_slow_connect(self, workers):
        """The server closes first, so every reused port meets the server kernel's TIME_WAIT."""
        self.echo_servers(tcp={8000: "close"})
        listener = config.listener(80, mode="fullnat")
        self.balance(
            [config.load_balancer("lb", FAMILY.vip(), listener)],
            [config.group("web", FAMILY, 8000, (100,))],
            workers,
            local_ports="20000-20999",
        )
        count = scaled(200_000, least=10_000)
        report = self.client.connect_many(FAMILY.vip(), 80, count, concurrency=16, sources=SOURCES, timeout=360)
        self.assertEqual(report["greeted"], {"a": count})
        self.assertEqual((report["failed"], report["slow"]), ({}, 0), f"longest {report['longest_ms']} ms")

    @for_each(mode=["nat", "fullnat"], workers=[1, 2])
    def test_spoofed_syns_leave_established_flows_and_new_users_alone(self, mode, workers):
        self.echo_servers(tcp={8000: "echo"})
        listener = config.listener(80, mode=mode)
        self.balance(
            [config.load_balancer("lb", FAMILY.vip(), listener)],
            [config.group("web", FAMILY, 8000, (100,))],
            workers,
            memory={"flows_ipv4": FLOWS},
        )
        established = [self.client.echo(FAMILY.vip(), 80, source) for source in SOURCES[:20]]
        seconds = scaled(60, least=10)
        rate = 1.5 * workers * FLOWS / 4
        flood = self.client.syn_flood(FAMILY.vip(), 80, rate, seconds)
        self.addCleanup(flood.kill)
        talk = Background(lambda: [self.assertEqual(c.say("alive"), "alive") for c in established], pause=0.2)
        attempted, greeted = 0, 0
        while flood.running():
            report = self.client.connect_many(FAMILY.vip(), 80, 100, concurrency=8, sources=SOURCES, close_first=True)
            attempted += report["attempted"]
            greeted += sum(report["greeted"].values())
            talk.check()
        self.assertEqual(flood.wait(), 0)
        talk.finish()
        self.assertGreaterEqual(greeted, 0.95 * attempted, f"{greeted} of {attempted} real connections succeeded")
        for connection in established:
            with connection:
                self.assertEqual(connection.say("and after"), "and after")
