"""What a server or a listener is given at most: connections."""

import threading

from harness import config
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES, FAR_CLIENTS
from harness.shell import eventually, scaled

EACH_FAMILY = list(FAMILIES.values())


class ConnectionLimits(SystemCase):
    limit = 3

    def serve(self, family, workers=2, limit=limit, **settings):
        """Three servers that take `limit` connections each."""
        self.echoes = self.echo_servers(tcp={80: "echo"}, udp=[80])
        listeners = [config.listener(80, protocol, check={"enabled": False}, **settings) for protocol in ("tcp", "udp")]
        group = {**config.group("web", family, 80), "max_connections": limit}
        return self.balance([config.load_balancer("lb", family.vip(), *listeners)], [group], workers)

    @for_each(family=EACH_FAMILY, mode=["nat", "fullnat"], workers=[1, 2], when_full=["reset", "drop"])
    def test_servers_fill_up_to_their_limit_and_then_clients_get_the_configured_answer(
        self, family, mode, workers, when_full
    ):
        steelyard = self.serve(family, workers, mode=mode, when_full=when_full)
        sources = [family.far(number) for number in range(FAR_CLIENTS)]
        with self.client.hold_many(family.vip(), 80, 3 * self.limit, sources=sources) as report:
            self.assertEqual(report["failed"], {})
            self.assertEqual(set(report["greeted"].values()), {self.limit})
            for source in sources[:4]:
                # A SYN that comes while places change workers is not answered: the next one is.
                with self.assertRaises(ConnectionRefusedError if when_full == "reset" else TimeoutError):
                    self.client.tcp(family.vip(), 80, source, timeout=10 if when_full == "reset" else 0.3)
            entry = steelyard.server(family.server(0), 80)
            self.assertEqual((entry["connections"], entry["max_connections"]), (self.limit, self.limit))
            self.assertGreater(sum(server["turned_away"] for server in self.tcp_servers(steelyard)), 0)
            self.assertIn("3/3", steelyard.command("status"))
            self.assertGreater(steelyard.counted("connection_limit_reached"), 0)
        self.assertEqual(report["alive"], 3 * self.limit)
        eventually(lambda: steelyard.server(family.server(0), 80)["connections"] == 0, "all have ended")
        with self.client.echo(family.vip(), 80, sources[0]) as connection:
            self.assertEqual(connection.say("room again"), "room again")

    @staticmethod
    def tcp_servers(steelyard):
        listeners = steelyard.status()["load_balancers"][0]["listeners"]
        return next(listener["servers"] for listener in listeners if listener["protocol"] == "tcp")

    @for_each(family=EACH_FAMILY, workers=[1, 2])
    def test_a_crowd_that_comes_and_goes_never_exceeds_the_limit(self, family, workers):
        steelyard = self.serve(family, workers)
        sources = [family.far(number) for number in range(FAR_CLIENTS)]
        report = self.client.connect_many(
            family.vip(), 80, scaled(20000, least=2000), concurrency=32, sources=sources, close_first=True
        )
        # A SYN that meets only places of the other worker is not answered, and the client's next one may find a place.
        self.assertLessEqual(set(report["failed"]), {"ECONNREFUSED", "connect-timeout"})
        turned_away = sum(server["turned_away"] for server in self.tcp_servers(steelyard))
        self.assertGreater(turned_away + steelyard.counted("connection_permit_missing"), 0, "the limit was tried")
        self.assertGreater(sum(report["greeted"].values()), 100)
        # A server has closed its end before Steelyard gives the place to somebody else, so this is no matter of luck.
        self.assertLessEqual(max(server.report()["most_open"] for server in self.echoes), self.limit)
        # Whether the crowd itself takes every place is a matter of luck: of two workers, one may keep a place that only
        # clients of the other ask for. All are there for those who stay.
        eventually(lambda: not any(server["connections"] for server in self.tcp_servers(steelyard)), "the crowd has gone")
        with self.client.hold_many(family.vip(), 80, self.servers * self.limit, sources=sources) as held:
            self.assertEqual(held["failed"], {})
        self.assertEqual([server.report()["most_open"] for server in self.echoes], [self.limit] * self.servers)

    @for_each(workers=[1, 2])
    def test_a_client_whose_syn_is_dropped_finds_the_place_that_becomes_free(self, workers):
        family = FAMILIES["ipv4"]
        self.serve(family, workers, limit=1, when_full="drop")
        held = [self.client.echo(family.vip(), 80, family.far(number)) for number in range(self.servers)]
        waiting = {}

        def wait():
            waiting["connection"] = self.client.echo(family.vip(), 80, family.far(9))

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.5)
        self.assertTrue(thread.is_alive(), "there is no place")
        held.pop().close()
        thread.join(20)
        with waiting["connection"] as connection:
            self.assertEqual(connection.say("patience"), "patience")
        for connection in held:
            self.assertEqual(connection.say("still here"), "still here")
            connection.close()

    def test_udp_exchanges_count(self):
        family = FAMILIES["ipv4"]
        steelyard = self.serve(family, 2, limit=2, when_full="drop")
        answered = 0
        for number in range(16):
            try:
                self.client.ask_udp(family.vip(), 80, family.far(number), tries=1)
                answered += 1
            except TimeoutError:
                if answered == 6:
                    break
        self.assertEqual(answered, 6)
        listeners = steelyard.status()["load_balancers"][0]["listeners"]
        servers = next(listener["servers"] for listener in listeners if listener["protocol"] == "udp")
        self.assertEqual([server["connections"] for server in servers], [2, 2, 2])

    def test_a_reload_changes_limits_and_cuts_nobody(self):
        family = FAMILIES["ipv4"]
        steelyard = self.serve(family, 2, limit=0)
        sources = [family.far(number) for number in range(FAR_CLIENTS)]
        with self.client.hold_many(family.vip(), 80, 12, sources=sources) as report:
            self.assertEqual(report["failed"], {})
            self.limit_to(steelyard, family, 2)
            with self.assertRaises(ConnectionRefusedError):
                self.client.tcp(family.vip(), 80)
            self.limit_to(steelyard, family, 8)
            with self.client.echo(family.vip(), 80) as connection:
                self.assertEqual(connection.say("more room"), "more room")
            self.limit_to(steelyard, family, 2)
        self.assertEqual(report["alive"], 12)
        eventually(
            lambda: all(server["connections"] == 0 for server in self.tcp_servers(steelyard)), "all have ended"
        )
        with self.client.hold_many(family.vip(), 80, 6, sources=sources) as report:
            self.assertEqual(set(report["greeted"].values()), {2})

    def limit_to(self, steelyard, family, limit):
        document = config.base(
            2,
            load_balancers=[
                config.load_balancer(
                    "lb",
                    family.vip(),
                    *(config.listener(80, protocol, check={"enabled": False}) for protocol in ("tcp", "udp")),
                )
            ],
            server_groups=[{**config.group("web", family, 80), "max_connections": limit}],
        )
        steelyard.reload(document)
