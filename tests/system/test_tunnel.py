"""Mode `tunnel`: servers get the clients' packets behind an outer IPv4 or IPv6 header, and answer past Steelyard."""

import contextlib

from harness import config, shell
from harness.case import SystemCase, for_each, near_and_far
from harness.clients import Client
from harness.plan import FAMILIES
from harness.servers import EchoServer
from harness.tunnels import TunnelEnd

EACH_FAMILY = list(FAMILIES.values())
WORKERS = [1, 2]
PORT = 7000
CONTENT = bytes(range(256)) * 40960  # 10 MiB


class TunnelCase(SystemCase):
    def setUp(self):
        super().setUp()
        self.net.forget_path_mtus()
        self.addCleanup(self.net.direct_way())

    def tunnel_end(self, namespace):
        end = TunnelEnd(self.net, namespace)
        self.addCleanup(end.close)
        return end

    def listen(self, family, protocol, workers, servers, **sections):
        listener = config.listener(PORT, protocol, mode="tunnel")
        balancers = [config.load_balancer("lb", family.vip(), listener)]
        groups = [{"name": "web", "servers": [{"address": server, "port": PORT} for server in servers]}]
        return self.balance(balancers, groups, workers, **sections)

    def forward(self, inner, outer, workers, protocol="tcp", **sections):
        """One listener before all servers, which are tunnel ends and have its address and its port."""
        for index in range(self.servers):
            self.addCleanup(self.net.accept_vip(index, inner, inner.vip()))
        ports = {"tcp": {PORT: "echo"}} if protocol == "tcp" else {"udp": [PORT]}
        servers = self.echo_servers(**ports, vips=[inner.vip()])
        ends = [self.tunnel_end(server) for server in self.net.servers]
        addresses = [outer.server(index) for index in range(self.servers)]
        return servers, ends, self.listen(inner, protocol, workers, addresses, **sections)


class Tunnel(TunnelCase):
    @for_each(inner=EACH_FAMILY, outer=EACH_FAMILY, workers=WORKERS)
    def test_tcp_connections_of_near_and_far_clients_echo(self, inner, outer, workers):
        servers, ends, steelyard = self.forward(inner, outer, workers)
        self.assert_connections_echo(inner, PORT)
        peers = {peer for server in servers for peer in server.report()["accepted"]}
        self.assertGreaterEqual(peers, {inner.far(number) for number in range(15)}, "servers see the clients")
        senders = {sender for end in ends for sender in end.report()["sources"]}
        self.assertLessEqual(senders, {outer.lan, outer.local()})
        if workers == 2:
            self.assertGreater(steelyard.counted("hand"), 0, "the hand-off path carried nothing")

    @for_each(inner=EACH_FAMILY, outer=EACH_FAMILY, workers=WORKERS)
    def test_udp_datagrams_of_near_and_far_clients_echo(self, inner, outer, workers):
        self.forward(inner, outer, workers, "udp")
        self.assert_datagrams_echo(inner, PORT)

    @for_each(inner=EACH_FAMILY, outer=EACH_FAMILY)
    def test_flows_come_from_several_addresses(self, inner, outer):
        """So that the server's NIC spreads them over its queues."""
        locals_ = [outer.local(number) for number in range(8)]
        _, ends, _ = self.forward(inner, outer, 1, local_addresses=locals_)
        for source in near_and_far(inner):
            with self.client.echo(inner.vip(), PORT, source) as connection:
                self.assertEqual(connection.say("hello"), "hello")
        senders = {sender for end in ends for sender in end.report()["sources"]}
        self.assertLessEqual(senders, set(locals_))
        self.assertGreater(len(senders), 3)

    @for_each(family=EACH_FAMILY)
    def test_an_idle_connection_is_reset_at_both_ends(self, family):
        for index in range(self.servers):
            self.addCleanup(self.net.accept_vip(index, family, family.vip()))
        servers = self.echo_servers(tcp={PORT: "echo"}, vips=[family.vip()])
        for server in self.net.servers:
            self.tunnel_end(server)
        listener = config.listener(PORT, mode="tunnel", established_timeout=10)
        self.balance([config.load_balancer("lb", family.vip(), listener)], [config.group("web", family, PORT)])
        with self.client.echo(family.vip(), PORT) as connection:
            self.assertEqual(connection.say("hello"), "hello")
            self.assertTrue(connection.wait_for_reset(30))
        shell.eventually(
            lambda: any(family.client in server.report()["reset"] for server in servers), "the server hears of the reset"
        )


class TunnelPathMtu(TunnelCase):
    servers = 1

    def exchange(self, client, family):
        """All of the content there and back."""
        with contextlib.closing(client.echo(family.vip(), PORT)) as connection:
            received = connection.exchange(CONTENT)
        self.assertEqual(len(received), len(CONTENT))
        self.assertTrue(received == CONTENT, "the content has changed on its way")

    def behind(self, namespace, mtu):
        host, undo = self.net.behind(namespace, "narrow", mtu)
        self.addCleanup(undo)
        return host

    @for_each(inner=EACH_FAMILY, outer=EACH_FAMILY, workers=WORKERS)
    def test_clients_learn_what_fits_into_the_tunnel(self, inner, outer, workers):
        _, ends, steelyard = self.forward(inner, outer, workers)
        self.exchange(self.client, inner)
        self.assertEqual(ends[0].report()["largest"], 1500 - (20 if outer.version == 4 else 40))
        self.assertGreater(sum(worker["too_big_sent"] for worker in steelyard.stats()["workers"]), 0)

    @for_each(inner=EACH_FAMILY, outer=EACH_FAMILY, workers=WORKERS)
    def test_a_server_behind_a_narrow_link(self, inner, outer, workers):
        host = self.behind(self.net.servers[0], 1400)
        host.batch(f"addr add {inner.vip()}/{inner.bits} dev lo{' nodad' if inner.version == 6 else ''}")
        addresses = [*(one.hidden(1) for one in EACH_FAMILY), inner.vip()]
        server = EchoServer(self.net, 0, {PORT: "echo"}, namespace=host, addresses=addresses)
        self.addCleanup(server.process.kill)
        end = self.tunnel_end(host)
        routes = [{"to": one.hidden_network, "via": one.server(0)} for one in EACH_FAMILY]
        routes += [{"to": one.far_network, "via": one.client} for one in EACH_FAMILY]
        steelyard = self.listen(inner, "tcp", workers, [outer.hidden(1)], routes=routes)
        self.exchange(self.client, inner)
        self.assertEqual(end.report()["largest"], 1400 - (20 if outer.version == 4 else 40))
        errors = sum(worker["flows"]["tunnel_errors"] for worker in steelyard.stats()["workers"])
        self.assertGreater(errors, 0, "no router's word about the tunnel was heard")

    @for_each(inner=EACH_FAMILY, outer=EACH_FAMILY, workers=WORKERS)
    def test_a_client_behind_a_narrow_link(self, inner, outer, workers):
        _, _, steelyard = self.forward(inner, outer, workers)
        self.exchange(Client(self.net, self.behind(self.net.client, 1280)), inner)
        errors = sum(worker["flows"]["errors_translated"] for worker in steelyard.stats()["workers"])
        self.assertGreater(errors, 0, "no error of the clients' router passed")

    @for_each(inner=[FAMILIES["ipv4"]], outer=EACH_FAMILY, workers=WORKERS)
    def test_a_datagram_that_may_be_split_arrives_whole(self, inner, outer, workers):
        """It fills the link, so that with the outer header it does not fit."""
        _, ends, steelyard = self.forward(inner, outer, workers, "udp")
        payload = bytes(range(256)) * 5 + bytes(192)  # 1,472 bytes
        with self.client.udp(inner.vip(), PORT) as opened:
            opened.setsockopt(0, 10, 0)  # IP_MTU_DISCOVER: IP_PMTUDISC_DONT
            opened.send(payload)
            _, _, echoed = opened.recv(65536).partition(b" ")
        self.assertEqual(echoed, payload)
        self.assertEqual(ends[0].report()["largest"], 1500)
        self.assertEqual(sum(worker["split"] for worker in steelyard.stats()["workers"]), 1)
