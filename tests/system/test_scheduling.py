"""Who gets the next connection: shares by weight, by connections held, and one server for one client."""

import time
from concurrent.futures import ThreadPoolExecutor

from harness import config
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES, FAR_CLIENTS, endpoint
from harness.shell import scaled

FAMILY = FAMILIES["ipv4"]
WEIGHTS = {"a": 100, "b": 50, "c": 50}


def share(name, count):
    return count * WEIGHTS[name] / sum(WEIGHTS.values())


class Scheduling(SystemCase):
    def schedule(self, workers, mode="nat", family=FAMILY, **settings):
        balancers = [config.load_balancer("lb", family.vip(), config.listener(80, mode=mode, **settings))]
        return self.balance(balancers, [config.group("web", family, 80, tuple(WEIGHTS.values()))], workers)

    @staticmethod
    def sources(count, family=FAMILY):
        return [family.far(number) for number in range(count)]

    @for_each(mode=["nat", "fullnat"], workers=[1, 2])
    def test_wrr_gives_every_server_its_share_within_one_percent(self, mode, workers):
        self.echo_servers(tcp={80: "close"})
        self.schedule(workers, mode, scheduler="wrr")
        count = scaled(10000, least=1000)
        report = self.client.connect_many(FAMILY.vip(), 80, count, sources=self.sources(FAR_CLIENTS))
        self.assertEqual(report["failed"], {})
        for name in WEIGHTS:
            self.assertAlmostEqual(report["greeted"][name], share(name, count), delta=0.01 * share(name, count))

    @for_each(workers=[1, 2])
    def test_rr_ignores_weights(self, workers):
        self.echo_servers(tcp={80: "close"})
        self.schedule(workers, scheduler="rr")
        report = self.client.connect_many(FAMILY.vip(), 80, 900, sources=self.sources(FAR_CLIENTS))
        for name in WEIGHTS:
            self.assertAlmostEqual(report["greeted"][name], 300, delta=3)

    @for_each(workers=[1, 2])
    def test_wlc_shares_held_connections_by_weight(self, workers):
        self.echo_servers(tcp={80: "echo"})
        steelyard = self.schedule(workers, scheduler="wlc")
        with self.client.hold_many(FAMILY.vip(), 80, 400, sources=self.sources(FAR_CLIENTS)) as report:
            for name in WEIGHTS:
                ideal = share(name, 400)
                self.assertAlmostEqual(report["greeted"][name], ideal, delta=max(2, 0.02 * ideal))
            for index, name in enumerate(WEIGHTS):
                entry = steelyard.server(FAMILY.server(index), 80)
                self.assertEqual(entry["connections"], report["greeted"][name])
        self.assertEqual(report["alive"], 400)

    @for_each(mode=["nat", "fullnat"], family=list(FAMILIES.values()), workers=[1, 2])
    def test_simultaneous_first_connections_of_one_client_meet_one_server(self, mode, family, workers):
        self.echo_servers(tcp={80: "close"})
        self.schedule(workers, mode, family, persistence_timeout=60)
        chosen = set()
        for source in self.sources(12, family):
            report = self.client.connect_many(family.vip(), 80, 64, concurrency=64, sources=[source])
            self.assertEqual(report["failed"], {})
            self.assertEqual(len(report["greeted"]), 1, f"{source} met {report['greeted']}")
            chosen |= set(report["greeted"])
        self.assertEqual(chosen, set(WEIGHTS), "clients are still spread over all servers")

    @for_each(scheduler=["sch", "tch"], family=list(FAMILIES.values()), workers=[1, 2])
    def test_by_hash_established_connections_outlive_a_crash(self, scheduler, family, workers):
        self.echo_servers(tcp={80: "echo"})
        steelyard = self.schedule(workers, family=family, scheduler=scheduler)
        sources = self.sources(16, family)
        held = [self.client.echo(family.vip(), 80, source) for source in sources]
        for number, connection in enumerate(held):
            self.assertEqual(connection.say(f"hello {number}"), f"hello {number}")
        if scheduler == "sch":  # ports are chosen by the kernel
            self.assertEqual({connection.name for connection in held}, set(WEIGHTS), "clients are spread")
        content = bytes(range(256)) * 4096 * 8
        with self.client.echo(family.vip(), 80) as busy, ThreadPoolExecutor() as pool:
            exchanged = pool.submit(busy.exchange, content, 60)
            time.sleep(0.2)
            steelyard.crash()
            steelyard.start()
            for number, connection in enumerate(held):
                self.assertEqual(connection.say(f"still {number}"), f"still {number}")
            self.assertEqual(exchanged.result(), content)
        flows = [worker["flows"] for worker in steelyard.stats()["workers"]]
        self.assertGreaterEqual(sum(one["adopted"] for one in flows), len(held) + 1)
        self.assertEqual(sum(one["resets_sent"] for one in flows), 0)
        if scheduler == "sch":
            for source, connection in zip(sources, held):
                with self.client.echo(family.vip(), 80, source) as again:
                    self.assertEqual(again.name, connection.name)
        for connection in held:
            self.assertEqual(connection.say("bye"), "bye")
            connection.close()

    @for_each(workers=[1, 2])
    def test_by_hash_a_server_that_is_down_moves_its_own_clients_and_gets_them_back(self, workers):
        self.echo_servers(tcp={80: "close"})
        steelyard = self.schedule(workers, scheduler="sch")
        sources = self.sources(30)
        before = self.servers_of(sources)
        steelyard.command("server", "disable", "web", endpoint(FAMILY.server(1), 80))
        without = self.servers_of(sources)
        for source in sources:
            self.assertNotEqual(without[source], "b")
            if before[source] != "b":
                self.assertEqual(without[source], before[source])
        steelyard.command("server", "enable", "web", endpoint(FAMILY.server(1), 80))
        self.assertEqual(self.servers_of(sources), before)

    def servers_of(self, sources):
        """The one server that each client meets."""
        found = {}
        for source in sources:
            report = self.client.connect_many(FAMILY.vip(), 80, 4, sources=[source])
            self.assertEqual(report["failed"], {})
            self.assertEqual(len(report["greeted"]), 1, f"{source} met {report['greeted']}")
            found[source] = next(iter(report["greeted"]))
        return found

    @for_each(workers=[1, 2])
    def test_weight_zero_takes_no_new_connection_and_keeps_the_old_one(self, workers):
        self.echo_servers(tcp={80: "echo"})
        steelyard = self.schedule(workers)
        with self.client.echo(FAMILY.vip(), 80) as old:
            index = "abc".index(old.name)
            steelyard.command("server", "weight", "web", endpoint(FAMILY.server(index), 80), 0)
            report = self.client.connect_many(FAMILY.vip(), 80, 200, close_first=True)
            self.assertNotIn(old.name, report["greeted"])
            self.assertEqual(report["failed"], {})
            self.assertEqual(old.say("still here"), "still here")

    def test_commands_hold_until_the_next_reload_and_are_shown(self):
        self.echo_servers(tcp={80: "close"})
        steelyard = self.schedule(2)
        server = endpoint(FAMILY.server(0), 80)
        steelyard.command("server", "disable", "web", server)
        self.assertNotIn("a", self.greeted_by(200))
        self.assertIn("disabled", steelyard.command("status"))
        steelyard.command("server", "enable", "web", server)
        self.assertIn("a", self.greeted_by(200))
        steelyard.command("server", "weight", "web", server, 0)
        self.assertNotIn("a", self.greeted_by(200))
        self.assertEqual(steelyard.server(FAMILY.server(0), 80)["weight"], 0)
        told = steelyard.command("server", "enable", "web", server)
        self.assertIn("weight 0 (overridden; configured 100)", told)
        steelyard.reload()
        self.assertIn("a", self.greeted_by(200))
        self.assertEqual(steelyard.server(FAMILY.server(0), 80)["weight"], 100)

    def greeted_by(self, count):
        report = self.client.connect_many(FAMILY.vip(), 80, count)
        self.assertEqual(report["failed"], {})
        return set(report["greeted"])
