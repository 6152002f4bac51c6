"""Full NAT tells servers who their clients are: real servers read the client's address and get the client's bytes."""

import contextlib
import ipaddress
import socket

from harness import config
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES, FAR_CLIENTS
from harness.servers import Nginx

EACH_FAMILY = list(FAMILIES.values())
WORKERS = [1, 2]
PORT = 7000
CONTENT = bytes(range(256)) * 4096  # 1 MiB
SIGNATURE = "@th,160,32 0x0d0a0d0a"  # how a PROXY header's segment begins, behind 20 bytes of TCP


class Capture:
    """The TCP segments without SYN and RST that reach a server's port: (client's port at the server, payload's length,
    options)."""

    def __init__(self, net, index, port):
        self.port = port
        with net.servers[index].entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
            self.socket.bind(("eth0", 3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        self.socket.setblocking(False)

    def segments(self):
        """All since the last call."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, where = self.socket.recvfrom(65536)
                if where[2] != socket.PACKET_OUTGOING and (segment := self._segment(packet)) is not None:
                    found.append(segment)
        return found

    def _segment(self, packet):
        v4 = packet[0] >> 4 == 4
        start = (packet[0] & 15) * 4 if v4 else 40
        end = int.from_bytes(packet[2:4], "big") if v4 else 40 + int.from_bytes(packet[4:6], "big")
        tcp = packet[start:end]
        if packet[9 if v4 else 6] != socket.IPPROTO_TCP or int.from_bytes(tcp[2:4], "big") != self.port or tcp[13] & 6:
            return None
        header = (tcp[12] >> 4) * 4
        return int.from_bytes(tcp[:2], "big"), len(tcp) - header, tcp[20:header]

    def close(self):
        self.socket.close()


class ClientOption(SystemCase):
    servers = 1

    def forward(self, family, workers, **settings):
        self.echo_servers(tcp={8000: "echo"})
        listener = config.listener(PORT, mode="fullnat", client_address="toa", **settings)
        balancers = [config.load_balancer("lb", family.vip(), listener)]
        return self.balance(balancers, [config.group("web", family, 8000, weights=(100,))], workers)

    def capture(self):
        capture = Capture(self.net, 0, 8000)
        self.addCleanup(capture.close)
        return capture

    def option_of(self, connection):
        address, port = connection.socket.getsockname()[:2]
        packed = ipaddress.ip_address(address).packed
        return bytes([254, 4 + len(packed)]) + port.to_bytes(2, "big") + packed

    @for_each(family=EACH_FAMILY, workers=WORKERS)
    def test_the_last_segment_of_the_handshake_and_the_first_data_name_the_client(self, family, workers):
        self.forward(family, workers)
        capture = self.capture()
        for source in (None, *(family.far(number) for number in range(8))):
            with self.client.echo(family.vip(), PORT, source) as connection:
                self.assertEqual(connection.say("hello"), "hello")
                self.assertEqual(connection.say("again"), "again")
                option = self.option_of(connection)
            segments = capture.segments()
            named = [(length, options) for _, length, options in segments if options.startswith(option)]
            self.assertGreaterEqual(len(named), 2, segments)
            self.assertEqual(named[0][0], 0)
            self.assertIn(len(b"hello\n"), [length for length, _ in named])
            later = [options for _, length, options in segments if length == len(b"again\n")]
            self.assertTrue(later)

    @for_each(family=EACH_FAMILY, workers=WORKERS, timestamps=["stripped", "kept"])
    def test_full_segments_still_fit_and_a_transfer_is_intact(self, family, workers, timestamps):
        steelyard = self.forward(family, workers, strip_timestamps=timestamps == "stripped")
        capture = self.capture()
        for source in (None, family.far(1), family.far(2)):
            with self.client.echo(family.vip(), PORT, source) as connection:
                option = self.option_of(connection)
                self.assertEqual(connection.exchange(CONTENT), CONTENT)
            lengths = [length for _, length, options in capture.segments() if options.startswith(option)]
            self.assertGreater(max(lengths), 1000)
        stats = steelyard.stats()["workers"]
        self.assertEqual(sum(worker["flows"]["client_options_no_room"] for worker in stats), 0)

    @for_each(family=EACH_FAMILY)
    def test_a_transfer_over_a_link_that_loses_packets_is_intact(self, family):
        self.forward(family, 1)
        self.addCleanup(self.net.lose(0, "numgen inc mod 20 == 0"))
        for source in (None, family.far(1)):
            with self.client.echo(family.vip(), PORT, source) as connection:
                self.assertEqual(connection.exchange(CONTENT), CONTENT)


class ProxyHeader(SystemCase):
    servers = 1

    def forward(self, family, workers, **settings):
        listener = config.listener(PORT, mode="fullnat", client_address="proxy_v2", **settings)
        balancers = [config.load_balancer("lb", family.vip(), listener)]
        return self.balance(balancers, [config.group("web", family, 8000, weights=(100,))], workers)

    def counted(self, steelyard, name):
        return sum(worker["flows"][f"proxy_headers_{name}"] for worker in steelyard.stats()["workers"])

    def told(self, connection):
        """Whose connection the server says it is, and to whom."""
        address, port, vip, vip_port = connection._line().split()
        return (address, int(port)), (vip, int(vip_port))

    def assert_told(self, connection, family):
        self.assertEqual(self.told(connection), (connection.socket.getsockname()[:2], (family.vip(), PORT)))

    @for_each(family=EACH_FAMILY, workers=WORKERS)
    def test_nginx_logs_the_clients_addresses_and_ports(self, family, workers):
        nginx = Nginx(self.net, 0, ports=(8000,), proxied=True)
        self.addCleanup(nginx.stop)
        steelyard = self.forward(family, workers)
        sources = [None, *(family.far(number) for number in range(FAR_CLIENTS))]
        wanted = set()
        for source in sources:
            with contextlib.closing(self.client.tcp(family.vip(), PORT, source)) as opened:
                opened.sendall(b"GET / HTTP/1.0\r\n\r\n")
                wanted.add("%s %d" % opened.getsockname()[:2])
                answer = b"".join(iter(lambda: opened.recv(65536), b""))
            self.assertIn(b"200 OK", answer)
        self.assertEqual(nginx.logged(len(wanted)), sorted(wanted))
        self.assertGreaterEqual(self.counted(steelyard, "sent"), len(sources))

    @for_each(family=EACH_FAMILY, workers=WORKERS)
    def test_a_server_that_speaks_first_gets_it_from_a_client_that_says_nothing(self, family, workers):
        self.echo_servers(tcp={8000: "proxied"})
        self.forward(family, workers)
        for source in (None, *(family.far(number) for number in range(8))):
            with self.client.echo(family.vip(), PORT, source) as connection:
                self.assert_told(connection, family)
                self.assertEqual(connection.say("hello"), "hello")

    @for_each(family=EACH_FAMILY)
    def test_lost_headers_are_sent_again_while_data_waits_behind_them(self, family):
        self.echo_servers(tcp={8000: "proxied"})
        steelyard = self.forward(family, 1)
        self.addCleanup(self.net.lose(0, f"{SIGNATURE} quota until {3 * (68 if family.version == 4 else 112)} bytes"))
        with self.client.echo(family.vip(), PORT) as connection:
            connection.socket.sendall(b"early\n")
            self.assert_told(connection, family)
            self.assertEqual(connection._line(), "early")
            self.assertEqual(connection.say("late"), "late")
        self.assertGreaterEqual(self.net.lost(0), 2)
        self.assertGreaterEqual(self.counted(steelyard, "repeated"), self.net.lost(0))

    @for_each(family=EACH_FAMILY, workers=WORKERS)
    def test_a_transfer_over_a_link_that_loses_packets_is_intact(self, family, workers):
        self.echo_servers(tcp={8000: "proxied"})
        self.forward(family, workers)
        self.addCleanup(self.net.lose(0, "numgen inc mod 20 == 0"))
        for source in (None, family.far(1), family.far(2)):
            with self.client.echo(family.vip(), PORT, source) as connection:
                self.assert_told(connection, family)
                self.assertEqual(connection.exchange(CONTENT), CONTENT)
        self.assertGreater(self.net.lost(0), 20)

    @for_each(family=EACH_FAMILY)
    def test_a_server_that_never_takes_it_is_given_up(self, family):
        servers = self.echo_servers(tcp={8000: "proxied"})
        steelyard = self.forward(family, 1)
        self.addCleanup(self.net.lose(0, SIGNATURE))
        with self.client.echo(family.vip(), PORT) as connection:
            self.assertTrue(connection.wait_for_reset(30))
            self.assertEqual(self.counted(steelyard, "repeated"), 5)
            self.assertEqual(self.counted(steelyard, "unanswered"), 1)
        self.assertEqual(servers[0].report()["reset"].get(family.local()), 1)

    @for_each(family=EACH_FAMILY)
    def test_connections_keep_what_they_began_with_over_a_reload(self, family):
        self.echo_servers(tcp={8000: "proxied", 8001: "echo"})
        listener = config.listener(PORT, mode="fullnat", client_address="proxy_v2")
        groups = [config.group("web", family, 8000, weights=(100,))]
        steelyard = self.balance([config.load_balancer("lb", family.vip(), listener)], groups)
        with self.client.echo(family.vip(), PORT) as old:
            self.assert_told(old, family)
            plain = {**listener, "client_address": "none", "server_group": "plain"}
            groups.append(config.group("plain", family, 8001, weights=(100,)))
            steelyard.reload(
                config.base(load_balancers=[config.load_balancer("lb", family.vip(), plain)], server_groups=groups)
            )
            self.assertEqual(old.say("still"), "still")
            with self.client.echo(family.vip(), PORT) as new:
                self.assertEqual(new.say("plain"), "plain")
            self.assertEqual(old.exchange(CONTENT), CONTENT)
