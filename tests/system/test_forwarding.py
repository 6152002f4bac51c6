"""Forwarding as a client sees it: every mode, family, protocol and worker count passes the same tests with the same code."""

import contextlib
import socket

from harness import config
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES, FAR_CLIENTS
from harness.shell import CommandFailed, eventually

MODES = ["nat", "fullnat"]
EACH_FAMILY = list(FAMILIES.values())
WORKERS = [1, 2]
FAR = range(FAR_CLIENTS)


class Forwarding(SystemCase):
    def forward(self, mode, family, workers, protocol, **settings):
        """One listener of `protocol` on port 7000 before the three servers' port 8000."""
        listener = config.listener(7000, protocol, mode=mode, **settings)
        balancers = [config.load_balancer("lb", family.vip(), listener)]
        return self.balance(balancers, [config.group("web", family, 8000)], workers)

    @for_each(mode=MODES, family=EACH_FAMILY, workers=WORKERS)
    def test_tcp_connections_of_near_and_far_clients_echo(self, mode, family, workers):
        servers = self.echo_servers(tcp={8000: "echo"})
        steelyard = self.forward(mode, family, workers, "tcp")
        self.assert_connections_echo(family, 7000)
        self.assert_servers_saw(servers, "accepted", mode, family)
        if workers == 2:
            self.assertGreater(steelyard.counted("hand"), 0, "the hand-off path carried nothing")

    @for_each(mode=MODES, family=EACH_FAMILY, workers=WORKERS)
    def test_udp_datagrams_of_near_and_far_clients_echo(self, mode, family, workers):
        servers = self.echo_servers(udp=[8000])
        steelyard = self.forward(mode, family, workers, "udp")
        self.assert_datagrams_echo(family, 7000)
        self.assert_servers_saw(servers, "datagrams", mode, family)
        if workers == 2:
            self.assertGreater(steelyard.counted("hand"), 0, "the hand-off path carried nothing")

    def assert_servers_saw(self, servers, event, mode, family):
        """nat shows the client's own address, fullnat one of the pool; the probes' source is ours and not a client's."""
        peers = {peer for server in servers for peer in server.report()[event]} - {family.lan}
        clients = {family.client, *(family.far(number) for number in FAR)}
        if mode == "nat":
            self.assertTrue(peers and peers <= clients, peers)
            self.assertGreater(len(peers), 10)
        else:
            self.assertEqual(peers, {family.local()})

    @for_each(mode=MODES, family=EACH_FAMILY)
    def test_a_bulk_transfer_arrives_byte_for_byte(self, mode, family):
        self.echo_servers(tcp={8000: "echo"})
        self.forward(mode, family, 2, "tcp")
        content = bytes(range(256)) * 16384  # 4 MiB there and back: window scaling, SACK and full-sized segments
        with self.client.echo(family.vip(), 7000) as connection:
            received = connection.exchange(content)
        self.assertEqual(len(received), len(content))
        self.assertEqual(received, content)

    @for_each(mode=MODES, family=EACH_FAMILY)
    def test_half_closed_connections_still_carry_the_answer(self, mode, family):
        self.echo_servers(tcp={8000: "echo"})
        self.forward(mode, family, 1, "tcp")
        with self.client.echo(family.vip(), 7000) as connection:
            connection.socket.sendall(b"last words\n")
            connection.socket.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.socket.recv(100), b""))
        self.assertEqual(answer, b"last words\n")

    @for_each(family=EACH_FAMILY)
    def test_vips_answer_echo_requests(self, family):
        self.echo_servers(tcp={8000: "echo"})
        self.forward("nat", family, 1, "tcp")
        self.assertTrue(self.client.ping(family.vip()))
        self.assertTrue(self.client.ping(family.vip(), size=1400))

    @for_each(family=EACH_FAMILY)
    def test_the_nodes_own_address_is_reachable(self, family):
        self.forward_nothing(family)

        def answers():
            with contextlib.suppress(CommandFailed):
                return self.client.ping(family.wan)

        # The kernel answers when it has asked whether the address is somebody else's (RFC 4862 section 5.4).
        eventually(answers, "the node's address answers")

    def forward_nothing(self, family, **sections):
        self.echo_servers(tcp={8000: "echo"})
        balancers = [config.load_balancer("lb", family.vip(), config.listener(7000))]
        return self.balance(balancers, [config.group("web", family, 8000)], **sections)

    @for_each(family=EACH_FAMILY)
    def test_servers_reach_out_through_the_balancer_when_unmatched_packets_pass(self, family):
        self.net.lb.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        self.addCleanup(self.net.lb.sysctl, ipv4__ip_forward=0, ipv6__conf__all__forwarding=0)
        self.forward_nothing(family, pass_unmatched=True)
        self.net.servers[0].run("ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", family.client)

    def test_tcp_and_udp_share_a_port_and_families_share_a_listener_port(self):
        self.echo_servers(tcp={8000: "echo"}, udp=[8000])
        balancers, groups = [], []
        for family in EACH_FAMILY:
            listeners = [config.listener(7000, protocol, group=family.name) for protocol in ("tcp", "udp")]
            balancers.append(config.load_balancer(f"lb-{family.name}", family.vip(), *listeners))
            groups.append(config.group(family.name, family, 8000))
        self.balance(balancers, groups, workers=2)
        for family in EACH_FAMILY:
            with self.client.echo(family.vip(), 7000) as connection:
                self.assertEqual(connection.say("tcp"), "tcp")
            self.assertEqual(self.client.ask_udp(family.vip(), 7000)[1], b"ping")
