"""Limits of a listener for its clients: new connections a second, and what one source may have."""

import contextlib
import time

from harness import config
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES

EACH_FAMILY = list(FAMILIES.values())
FAMILY = FAMILIES["ipv4"]


class ClientLimits(SystemCase):
    def serve(self, family, protocol, workers, **settings):
        listener = config.listener(7000, protocol, **settings)
        return self.balance([config.load_balancer("lb", family.vip(), listener)], [config.group("web", family, 8000)], workers)

    def refused(self, steelyard):
        """What came up, by reason."""
        (listener,) = steelyard.stats()["listeners"]
        return {reason: count for reason, count in listener["refused"].items() if count}

    @for_each(family=EACH_FAMILY, workers=[1, 2])
    def test_new_exchanges_a_second_are_those_of_the_limit_on_all_workers_together(self, family, workers):
        self.echo_servers(udp=[8000])
        rate, seconds = 50, 4
        steelyard = self.serve(family, "udp", workers, max_connection_rate=rate)
        with contextlib.ExitStack() as opened:
            sent, began = 0, time.monotonic()
            while time.monotonic() - began < seconds:
                # Each is an exchange of its own, from a port of its own.
                ask = opened.enter_context(self.client.udp(family.vip(), 7000, family.far(sent % 16)))
                ask.send(b"ping")
                sent += 1
                time.sleep(0.002)
            took = time.monotonic() - began
        created = sum(worker["flows"]["created"] for worker in steelyard.stats()["workers"])
        self.assertGreater(sent, 1.5 * rate * took, "the test asked for more than the limit")
        # A burst of the limit at first, and the limit in each second.
        self.assertLessEqual(created, rate * (took + 1) + workers)
        self.assertGreaterEqual(created, 0.9 * rate * took)
        self.assertEqual(self.refused(steelyard), {"connection_rate_exceeded": sent - created})

    @for_each(family=EACH_FAMILY, mode=["nat", "fullnat"], workers=[1, 2])
    def test_a_source_has_so_many_connections_at_a_time(self, family, mode, workers):
        self.echo_servers(tcp={8000: "echo"})
        limits = {"max_connections": 8, "ipv6_prefix": 128}
        steelyard = self.serve(family, "tcp", workers, mode=mode, per_source=limits)
        with contextlib.ExitStack() as held:
            for number in (0, 1):
                for _ in range(8):
                    held.enter_context(self.client.echo(family.vip(), 7000, family.far(number)))
            for number in (0, 1):
                with self.assertRaises(TimeoutError):
                    self.client.tcp(family.vip(), 7000, family.far(number), timeout=0.4)
            with self.client.echo(family.vip(), 7000, family.far(2)) as other:
                self.assertEqual(other.say("room"), "room")
        self.assertEqual(list(self.refused(steelyard)), ["source_connections_exceeded"])
        self.assertIn("source_connections_exceeded", steelyard.command("status"))
        # All have ended.
        with self.client.echo(family.vip(), 7000, family.far(0)) as again:
            self.assertEqual(again.say("room"), "room")

    def test_the_addresses_of_an_ipv6_network_are_one_source(self):
        family = FAMILIES["ipv6"]
        self.echo_servers(tcp={8000: "echo"})
        self.serve(family, "tcp", 2, per_source={"max_connections": 3})
        with contextlib.ExitStack() as held:
            for number in range(3):
                held.enter_context(self.client.echo(family.vip(), 7000, family.far(number)))
            with self.assertRaises(TimeoutError):
                self.client.tcp(family.vip(), 7000, family.far(3), timeout=0.4)
            with self.client.echo(family.vip(), 7000) as near:  # of another network
                self.assertEqual(near.say("room"), "room")

    @for_each(workers=[1, 2])
    def test_a_limit_can_be_set_and_lifted_while_it_runs(self, workers):
        self.echo_servers(tcp={8000: "echo"})
        steelyard = self.serve(FAMILY, "tcp", workers)
        without = config.base(
            workers,
            load_balancers=[config.load_balancer("lb", FAMILY.vip(), config.listener(7000))],
            server_groups=[config.group("web", FAMILY, 8000)],
        )
        limited = config.listener(7000, per_source={"max_connections": 1})
        for _ in range(2):
            steelyard.reload({**without, "load_balancers": [config.load_balancer("lb", FAMILY.vip(), limited)]})
            with self.client.echo(FAMILY.vip(), 7000) as first:
                with self.assertRaises(TimeoutError):
                    self.client.tcp(FAMILY.vip(), 7000, timeout=0.4)
                steelyard.reload(without)
                with self.client.echo(FAMILY.vip(), 7000) as second:
                    self.assertEqual((first.say("one"), second.say("two")), ("one", "two"))
