"""What a client is told when there is nothing to forward to: fast and in its protocol's own words."""

import errno

from harness import config
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES, endpoint

EACH_FAMILY = list(FAMILIES.values())
UNREACHABLE = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}


class Refusals(SystemCase):
    def serve(self, family, workers=1, **settings):
        """TCP and UDP on 7000 that work, and whatever `settings` do to the same listeners on 7001."""
        self.echo_servers(tcp={8000: "echo"}, udp=[8000])
        listeners = [config.listener(7000, protocol) for protocol in ("tcp", "udp")]
        listeners += [config.listener(7001, protocol, group="other", **settings) for protocol in ("tcp", "udp")]
        groups = [config.group("web", family, 8000), config.group("other", family, 8000)]
        return self.balance([config.load_balancer("lb", family.vip(), *listeners)], groups, workers)

    def assert_the_other_listener_works(self, family):
        with self.client.echo(family.vip(), 7000) as connection:
            self.assertEqual(connection.say("hello"), "hello")
        self.assertEqual(self.client.ask_udp(family.vip(), 7000)[1], b"ping")

    @for_each(family=EACH_FAMILY, workers=[1, 2])
    def test_a_stopped_listener_refuses_connections(self, family, workers):
        self.serve(family, workers, status="stopped")
        for _ in range(8):
            with self.assertRaises(ConnectionRefusedError):
                self.client.tcp(family.vip(), 7001)
        self.assert_the_other_listener_works(family)

    @for_each(family=EACH_FAMILY, workers=[1, 2])
    def test_no_usable_server_means_reset_for_tcp_and_unreachable_for_udp(self, family, workers):
        steelyard = self.serve(family, workers)
        for index in range(self.servers):
            steelyard.command("server", "disable", "other", endpoint(family.server(index), 8000))
        for _ in range(8):
            with self.assertRaises(ConnectionRefusedError):
                self.client.tcp(family.vip(), 7001)
        self.assert_udp_is_refused(family, 7001)
        self.assert_the_other_listener_works(family)
        for index in range(self.servers):
            steelyard.command("server", "enable", "other", endpoint(family.server(index), 8000))
        with self.client.echo(family.vip(), 7001) as connection:
            self.assertEqual(connection.say("back"), "back")

    def assert_udp_is_refused(self, family, port):
        """The ICMP error is rate-limited, so one of a few datagrams has to bring it."""
        with self.client.udp(family.vip(), port, timeout=1) as opened:
            for _ in range(5):
                try:
                    opened.send(b"anyone?")
                    opened.recv(100)
                    self.fail("a datagram to a listener without servers was answered")
                except TimeoutError:
                    continue
                except OSError as error:
                    self.assertIn(error.errno, UNREACHABLE)
                    return
        self.fail("no ICMP unreachable came")

    @for_each(family=EACH_FAMILY)
    def test_segments_of_an_unknown_connection_are_reset(self, family):
        steelyard = self.serve(family)
        with self.client.echo(family.vip(), 7000) as connection:
            steelyard.crash()
            steelyard.start()
            connection.socket.sendall(b"who am I\n")
            self.assertTrue(connection.wait_for_reset(10), "the client is told that its connection is gone")

    def test_a_port_without_listener_is_not_answered_by_a_server(self):
        family = FAMILIES["ipv4"]
        self.serve(family)
        with self.assertRaises(OSError):
            self.client.tcp(family.vip(), 7009, timeout=2)
        self.assert_the_other_listener_works(family)

    def test_an_inactive_load_balancer_serves_nothing(self):
        family = FAMILIES["ipv4"]
        self.echo_servers(tcp={8000: "echo"})
        sleeping = {**config.load_balancer("off", family.vip(1), config.listener(7000)), "status": "inactive"}
        awake = config.load_balancer("on", family.vip(0), config.listener(7000))
        self.balance([sleeping, awake], [config.group("web", family, 8000)])
        with self.client.echo(family.vip(0), 7000) as connection:
            self.assertEqual(connection.say("hello"), "hello")
        with self.assertRaises(OSError):
            self.client.tcp(family.vip(1), 7000, timeout=2)
