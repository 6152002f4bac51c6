"""Draining a server: no new connections, the old ones finish, and at the deadline both ends are told."""

import copy

from harness import config
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES, endpoint
from harness.shell import eventually

EACH_FAMILY = list(FAMILIES.values())
DEADLINE = 10


class Drain(SystemCase):
    def document(self, mode, family, workers, **settings):
        listener = config.listener(7000, mode=mode, **settings)
        return config.base(
            workers,
            load_balancers=[config.load_balancer("lb", family.vip(), listener)],
            server_groups=[config.group("web", family, 8000)],
        )

    def assert_both_reset(self, connection, server, mode, family, timeout):
        peer = family.client if mode == "nat" else family.local()
        self.assertTrue(connection.wait_for_reset(timeout), "the client's kernel saw no reset")
        eventually(lambda: server.report()["reset"].get(peer, 0) >= 1, "the server's kernel sees a reset")

    @for_each(mode=["nat", "fullnat"], family=EACH_FAMILY, workers=[1, 2])
    def test_at_the_deadline_both_kernels_see_a_reset(self, mode, family, workers):
        servers = self.echo_servers(tcp={8000: "echo"})
        steelyard = self.run_steelyard(self.document(mode, family, workers, connection_drain=DEADLINE))
        with self.client.echo(family.vip(), 7000) as old:
            self.assertEqual(old.say("before"), "before")
            index = "abc".index(old.name)
            steelyard.command("server", "drain", "web", endpoint(family.server(index), 8000))
            self.assertEqual(old.say("meanwhile"), "meanwhile")
            report = self.client.connect_many(family.vip(), 7000, 100, close_first=True)
            self.assertEqual(report["failed"], {})
            self.assertNotIn(old.name, report["greeted"])
            self.assert_both_reset(old, servers[index], mode, family, DEADLINE + 15)

    @for_each(mode=["nat", "fullnat"])
    def test_connections_of_a_removed_server_are_reset_where_asked(self, mode):
        family = FAMILIES["ipv4"]
        servers = self.echo_servers(tcp={8000: "echo"})
        original = self.document(mode, family, 2, on_removed="reset")
        steelyard = self.run_steelyard(original)
        with self.client.echo(family.vip(), 7000) as old:
            index = "abc".index(old.name)
            changed = copy.deepcopy(original)
            del changed["server_groups"][0]["servers"][index]
            steelyard.reload(changed)
            self.assert_both_reset(old, servers[index], mode, family, 15)

    @for_each(mode=["nat", "fullnat"])
    def test_an_idle_connection_expires_with_resets_that_both_kernels_accept(self, mode):
        family = FAMILIES["ipv4"]
        servers = self.echo_servers(tcp={8000: "echo"})
        self.run_steelyard(self.document(mode, family, 1, established_timeout=10))
        with self.client.echo(family.vip(), 7000) as idle:
            self.assertEqual(idle.say("good night"), "good night")
            self.assert_both_reset(idle, servers["abc".index(idle.name)], mode, family, 30)

    def test_without_a_deadline_old_connections_stay(self):
        family = FAMILIES["ipv4"]
        self.echo_servers(tcp={8000: "echo"})
        steelyard = self.run_steelyard(self.document("nat", family, 1))
        with self.client.echo(family.vip(), 7000) as old:
            server = endpoint(family.server("abc".index(old.name)), 8000)
            steelyard.command("server", "drain", "web", server)
            self.client.connect_many(family.vip(), 7000, 100, close_first=True)
            self.assertEqual(old.say("still here"), "still here")
            steelyard.command("server", "enable", "web", server)
            self.assertIn(old.name, self.client.connect_many(family.vip(), 7000, 100, close_first=True)["greeted"])
