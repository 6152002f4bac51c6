"""A server dies, Steelyard notices, says why, and uses it again when it is back."""

from harness import config
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES
from harness.servers import Nginx
from harness.shell import eventually
from harness.steelyard import server_entries

EACH_FAMILY = list(FAMILIES.values())
FAMILY = FAMILIES["ipv4"]


class Health(SystemCase):
    def serve(self, family, protocol="tcp", workers=1, check=None, port=8000, **settings):
        listener = config.listener(7000, protocol, check=check, **settings)
        groups = [config.group("web", family, port, (100, 100, 100))]
        return self.balance([config.load_balancer("lb", family.vip(), listener)], groups, workers)

    def assert_why(self, entry, *words):
        """Which check, how it failed, since when: in status, for programs."""
        for field in ("check", "last_result", "since"):
            self.assertTrue(entry.get(field), f"`{field}` is missing in {entry}")
        told = f"{entry['check']} {entry['last_result']}".lower()
        self.assertTrue(any(word in told for word in words), f"{told!r} does not say {words}")

    def assert_told_to_people(self, steelyard, address):
        """... and in status, for people."""
        text = steelyard.command("status")
        self.assertIn(address, text)
        self.assertIn("down", text)

    @for_each(family=EACH_FAMILY, workers=[1, 2])
    def test_a_killed_server_is_ejected_and_used_again_when_it_is_back(self, family, workers):
        servers = self.echo_servers(tcp={8000: "close"})
        steelyard = self.serve(family, workers=workers)
        servers[1].kill()
        entry = steelyard.wait_health(family.server(1), 8000, "down")
        self.assert_why(entry, "refused")
        self.assertIn("tcp", entry["check"])
        self.assert_told_to_people(steelyard, family.server(1))
        (group,) = steelyard.status()["groups"]
        self.assertEqual((group["name"], group["servers"], group["servers_down"]), ("web", 3, 1))
        report = self.client.connect_many(family.vip(), 7000, 300)
        self.assertEqual((report["failed"], set(report["greeted"])), ({}, {"a", "c"}))
        servers[1].start()
        steelyard.wait_health(family.server(1), 8000, "up")
        report = self.client.connect_many(family.vip(), 7000, 300)
        self.assertEqual((report["failed"], set(report["greeted"])), ({}, {"a", "b", "c"}))

    def test_a_pulled_cable_is_a_timeout(self):
        self.echo_servers(tcp={8000: "close"})
        steelyard = self.serve(FAMILY)
        self.net.server_link(2, up=False)
        self.addCleanup(self.net.server_link, 2, True)
        self.assert_why(steelyard.wait_health(FAMILY.server(2), 8000, "down"), "timeout", "unreachable", "no route")
        self.assertEqual(set(self.client.connect_many(FAMILY.vip(), 7000, 100)["greeted"]), {"a", "b"})
        self.net.server_link(2, up=True)
        steelyard.wait_health(FAMILY.server(2), 8000, "up")
        self.assertEqual(set(self.client.connect_many(FAMILY.vip(), 7000, 100)["greeted"]), {"a", "b", "c"})

    @for_each(family=EACH_FAMILY)
    def test_an_http_check_reads_the_status(self, family):
        servers = [Nginx(self.net, index, ports=(8000,)) for index in range(3)]
        for server in servers:
            self.addCleanup(server.stop)
        steelyard = self.serve(family, check={"type": "http", "path": "/health", "method": "get"})
        servers[0].answer(503)
        entry = steelyard.wait_health(family.server(0), 8000, "down")
        self.assert_why(entry, "503")
        bodies = {self.client.get(family.vip(), 7000)[1].strip() for _ in range(12)}
        self.assertEqual(bodies, {b"b", b"c"})
        servers[0].answer(200)
        steelyard.wait_health(family.server(0), 8000, "up")

    @for_each(family=EACH_FAMILY)
    def test_a_udp_check_hears_port_unreachable(self, family):
        servers = self.echo_servers(udp=[8000])
        steelyard = self.serve(family, "udp", check={"interval": 1, "timeout": 1})
        servers[0].kill()
        self.assert_why(steelyard.wait_health(family.server(0), 8000, "down"), "unreachable", "refused")
        names = {self.client.ask_udp(family.vip(), 7000)[0] for _ in range(12)}
        self.assertEqual(names, {"b", "c"})
        servers[0].start()
        steelyard.wait_health(family.server(0), 8000, "up")

    def test_a_udp_check_reads_the_expected_answer(self):
        self.echo_servers(udp=[8000])
        check = {"request": "hello", "expect": "hello"}
        steelyard = self.serve(FAMILY, "udp", check=check)
        document = config.base(
            load_balancers=[
                config.load_balancer("lb", FAMILY.vip(), config.listener(7000, "udp", check={**check, "expect": "bye"}))
            ],
            server_groups=[config.group("web", FAMILY, 8000, (100, 100, 100))],
        )
        self.assertEqual(self.client.ask_udp(FAMILY.vip(), 7000)[1], b"ping")
        steelyard.reload(document)
        self.assert_why(steelyard.wait_health(FAMILY.server(0), 8000, "down"), "bye", "expect")

    @for_each(fate=["run", "reset"])
    def test_connections_to_a_failed_server_run_on_or_are_reset(self, fate):
        self.echo_servers(tcp={8000: "echo"})
        steelyard = self.serve(FAMILY, on_unhealthy=fate)
        with self.client.echo(FAMILY.vip(), 7000) as connection:
            index = "abc".index(connection.name)
            self.net.server_link(index, up=False)
            self.addCleanup(self.net.server_link, index, True)
            steelyard.wait_health(FAMILY.server(index), 8000, "down")
            if fate == "reset":
                self.assertTrue(connection.wait_for_reset(10))
                return
            self.net.server_link(index, up=True)
            connection.socket.settimeout(30)
            self.assertEqual(connection.say("patience"), "patience")

    @for_each(family=EACH_FAMILY)
    def test_a_udp_client_that_never_pauses_leaves_a_failed_server(self, family):
        servers = self.echo_servers(udp=[8000])
        steelyard = self.serve(family, "udp", check={"interval": 1, "timeout": 1})
        with self.client.udp(family.vip(), 7000, timeout=2) as talk:
            name = self.ask(talk)
            index = "abc".index(name)
            servers[index].kill()
            steelyard.wait_health(family.server(index), 8000, "down")
            eventually(lambda: self.ask(talk) not in ("", name), "another server answers the same socket")

    @staticmethod
    def ask(talk):
        """Who answers; "" when nobody does."""
        try:
            talk.send(b"ping")
            return talk.recv(65536).partition(b" ")[0].decode()
        except OSError:
            return ""

    def test_a_probe_that_cannot_be_made_is_told_and_takes_no_server_out(self):
        self.echo_servers(tcp={8000: "close"})
        steelyard = self.serve(FAMILY)
        steelyard.wait_health(FAMILY.server(0), 8000, "up")
        self.net.lb.run("ip", "link", "set", "sy-lan", "down")
        entry = steelyard.wait_health(FAMILY.server(0), 8000, "unknown")
        self.assertIn("cannot probe", entry["unknown_because"])
        self.assertTrue(entry["local_error_since"])
        self.assertIn("used meanwhile", steelyard.command("status"))
        self.assertEqual(set(self.client.connect_many(FAMILY.vip(), 7000, 100)["greeted"]), {"a", "b", "c"})
        self.net.lb.run("ip", "link", "set", "sy-lan", "up")
        steelyard.wait_health(FAMILY.server(0), 8000, "up")
        told = "health probes can be made again"
        eventually(lambda: told in steelyard.process.log(), f"`{told}` in the log")
        self.assertIn("health probes cannot be made", steelyard.process.log())

    def test_a_server_that_is_down_is_down_for_a_new_listener_too(self):
        servers = self.echo_servers(tcp={8000: "close"})
        groups = [config.group("web", FAMILY, 8000, (100, 100, 100))]
        first = config.load_balancer("lb", FAMILY.vip(), config.listener(7000))
        second = config.load_balancer("more", FAMILY.vip(1), config.listener(7001))
        steelyard = self.balance([first], groups)
        servers[1].kill()
        steelyard.wait_health(FAMILY.server(1), 8000, "down")
        steelyard.reload(config.base(load_balancers=[first, second], server_groups=groups))
        report = self.client.connect_many(FAMILY.vip(1), 7001, 100)
        self.assertEqual((report["failed"], set(report["greeted"])), ({}, {"a", "c"}))
        entries = server_entries(steelyard.status(), FAMILY.server(1), 8000)
        self.assertEqual([entry["health"] for entry in entries], ["down", "down"])
        servers[1].start()
        for entry in entries:
            self.assertIn("refused", entry["down_because"])
        eventually(
            lambda: set(self.client.connect_many(FAMILY.vip(1), 7001, 30)["greeted"]) == {"a", "b", "c"},
            "the server is used again by the new listener, too",
        )

    def test_probes_are_not_made_where_they_are_switched_off(self):
        servers = self.echo_servers(tcp={8000: "close"})
        steelyard = self.serve(FAMILY, check={"enabled": False})
        self.client.connect_many(FAMILY.vip(), 7000, 300)
        self.assertNotIn(FAMILY.lan, servers[0].report()["accepted"])
        self.assertEqual(steelyard.server(FAMILY.server(0), 8000)["health"], "unchecked")
