"""A primary dies, its secondary serves; the primary comes back, and so does everything new."""

from harness import config
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES, endpoint
from harness.shell import eventually

EACH_FAMILY = list(FAMILIES.values())
FAMILY = FAMILIES["ipv4"]
PORT = 8000


class PrimarySecondary(SystemCase):
    """Server a is the primary, b the secondary."""

    servers = 2

    def serve(self, family, protocol="tcp", workers=1, **settings):
        pair = {
            "name": "web",
            "primary": {"name": "first", "address": family.server(0), "port": PORT},
            "secondary": {"name": "second", "address": family.server(1), "port": PORT},
        }
        listener = config.listener(7000, protocol, **settings)
        balancers = [config.load_balancer("lb", family.vip(), listener)]
        return self.balance(balancers, [], workers, primary_secondary_groups=[pair])

    def all_go_to(self, name, family=FAMILY):
        sources = [family.far(number) for number in range(16)]
        report = self.client.connect_many(family.vip(), 7000, 64, sources=sources)
        self.assertEqual((report["failed"], set(report["greeted"])), ({}, {name}))

    @for_each(scheduler=["wrr", "wlc", "sch"], family=EACH_FAMILY, workers=[1, 2])
    def test_the_secondary_serves_while_the_primary_is_down_and_only_then(self, scheduler, family, workers):
        servers = self.echo_servers(tcp={PORT: "close"})
        persistence = {"mode": "fullnat", "persistence_timeout": 60} if scheduler == "wlc" else {}
        steelyard = self.serve(family, workers=workers, scheduler=scheduler, **persistence)
        self.all_go_to("a", family)
        servers[0].kill()
        steelyard.wait_health(family.server(0), PORT, "down")
        self.all_go_to("b", family)
        servers[0].start()
        steelyard.wait_health(family.server(0), PORT, "up")
        self.all_go_to("a", family)
        roles = [server["role"] for server in steelyard.status()["load_balancers"][0]["listeners"][0]["servers"]]
        self.assertEqual(roles, ["primary", "secondary"])

    def test_a_dead_secondary_is_no_server_to_fall_back_on(self):
        servers = self.echo_servers(tcp={PORT: "close"})
        steelyard = self.serve(FAMILY)
        servers[1].kill()
        steelyard.wait_health(FAMILY.server(1), PORT, "down")
        self.all_go_to("a")
        servers[0].kill()
        steelyard.wait_health(FAMILY.server(0), PORT, "down")
        with self.assertRaises(ConnectionRefusedError):
            self.client.tcp(FAMILY.vip(), 7000)

    def test_a_connection_at_the_secondary_runs_on_when_the_primary_is_back(self):
        self.echo_servers(tcp={PORT: "echo"})
        steelyard = self.serve(FAMILY, workers=2)
        steelyard.command("server", "disable", "web", "first")
        with self.client.echo(FAMILY.vip(), 7000) as old:
            self.assertEqual(old.name, "b")
            steelyard.command("server", "enable", "web", endpoint(FAMILY.server(0), PORT))
            with self.client.echo(FAMILY.vip(), 7000) as fresh:
                self.assertEqual((fresh.name, old.say("still here")), ("a", "still here"))

    @for_each(family=EACH_FAMILY, workers=[1, 2])
    def test_datagrams_move_to_the_secondary_and_back_within_one_exchange(self, family, workers):
        self.echo_servers(udp=[PORT])
        steelyard = self.serve(family, "udp", workers=workers)
        with self.client.udp(family.vip(), 7000, timeout=0.5) as talk:

            def answered_by(name, opened=talk):
                opened.send(b"ping")
                try:
                    return opened.recv(100).startswith(name.encode())
                except (TimeoutError, ConnectionRefusedError):  # a datagram may be lost
                    return False

            eventually(lambda: answered_by("a"), "the primary answers")
            self.echo_down(steelyard, "disable")
            with self.client.udp(family.vip(), 7000, timeout=0.5) as other:
                other.send(b"ping")
                self.assertTrue(other.recv(100).startswith(b"b"))
                self.echo_down(steelyard, "enable")
                eventually(lambda: answered_by("a", other), "the exchange moves back to the primary")
            self.assertTrue(answered_by("a"))

    @staticmethod
    def echo_down(steelyard, action):
        """Takes the primary out by command, or brings it back."""
        steelyard.command("server", action, "web", "first")
