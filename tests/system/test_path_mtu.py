"""Path MTU discovery through Steelyard: routers and Steelyard itself tell the sender of what does not fit, and it arrives."""

import contextlib

from harness import config
from harness.case import SystemCase, for_each
from harness.clients import Client
from harness.plan import FAMILIES
from harness.servers import EchoServer

MODES = ["nat", "fullnat"]
EACH_FAMILY = list(FAMILIES.values())
WORKERS = [1, 2]
NARROW = 1280
CONTENT = bytes(range(256)) * 40960  # 10 MiB


class PathMtu(SystemCase):
    servers = 1

    def setUp(self):
        super().setUp()
        self.net.forget_path_mtus()

    def forward(self, mode, family, workers, server, **sections):
        listener = config.listener(7000, mode=mode)
        balancers = [config.load_balancer("lb", family.vip(), listener)]
        groups = [{"name": "web", "servers": [{"address": server, "port": 8000}]}]
        return self.balance(balancers, groups, workers, **sections)

    def behind(self, namespace, name):
        host, undo = self.net.behind(namespace, name, NARROW)
        self.addCleanup(undo)
        return host

    def errors_translated(self, steelyard):
        return sum(worker["flows"]["errors_translated"] for worker in steelyard.stats()["workers"])

    def exchange(self, client, family):
        """All of the content there and back."""
        with contextlib.closing(client.echo(family.vip(), 7000)) as connection:
            received = connection.exchange(CONTENT)
        self.assertEqual(len(received), len(CONTENT))
        self.assertTrue(received == CONTENT, "the content has changed on its way")

    @for_each(mode=MODES, family=EACH_FAMILY, workers=WORKERS)
    def test_a_client_behind_a_narrow_link(self, mode, family, workers):
        self.echo_servers(tcp={8000: "echo"})
        steelyard = self.forward(mode, family, workers, family.server(0))
        self.exchange(Client(self.net, self.behind(self.net.client, "narrow")), family)
        self.assertGreater(self.errors_translated(steelyard), 0, "no error of the clients' router passed")

    @for_each(family=EACH_FAMILY, workers=WORKERS)
    def test_a_client_behind_a_narrow_link_that_servers_answer_directly(self, family, workers):
        """The router's errors about what servers send come to the VIP, and that is where Steelyard is."""
        self.addCleanup(self.net.direct_way())
        self.addCleanup(self.net.accept_vip(0, family, family.vip()))
        self.echo_servers(tcp={7000: "echo"}, vips=[family.vip()])
        steelyard = self.balance(
            [config.load_balancer("lb", family.vip(), config.listener(7000, mode="dr"))],
            [{"name": "web", "servers": [{"address": family.server(0), "port": 7000}]}],
            workers,
        )
        self.exchange(Client(self.net, self.behind(self.net.client, "narrow")), family)
        self.assertGreater(self.errors_translated(steelyard), 0, "no error of the clients' router passed")

    @for_each(mode=MODES, family=EACH_FAMILY, workers=WORKERS)
    def test_a_server_behind_a_narrow_link(self, mode, family, workers):
        host = self.behind(self.net.servers[0], "narrow")
        addresses = [one.hidden(1) for one in EACH_FAMILY]
        server = EchoServer(self.net, 0, {8000: "echo"}, namespace=host, addresses=addresses)
        self.addCleanup(server.process.kill)
        routes = [{"to": one.hidden_network, "via": one.server(0)} for one in EACH_FAMILY]
        routes += [{"to": one.far_network, "via": one.client} for one in EACH_FAMILY]
        steelyard = self.forward(mode, family, workers, family.hidden(1), routes=routes)
        self.exchange(self.client, family)
        self.assertGreater(self.errors_translated(steelyard), 0, "no error of the servers' router passed")

    @for_each(mode=[*MODES, "dr"], family=EACH_FAMILY)
    def test_a_narrow_port_of_our_own(self, mode, family):
        """The server keeps to the narrow link, and clients do not know of it."""
        port = 7000 if mode == "dr" else 8000
        vips = []
        if mode == "dr":
            self.addCleanup(self.net.direct_way())
            self.addCleanup(self.net.accept_vip(0, family, family.vip()))
            vips = [family.vip()]
        self.echo_servers(tcp={port: "echo"}, vips=vips)
        document = config.base(
            load_balancers=[config.load_balancer("lb", family.vip(), config.listener(7000, mode=mode))],
            server_groups=[{"name": "web", "servers": [{"address": family.server(0), "port": port}]}],
        )
        document["ports"][1]["mtu"] = NARROW
        self.addCleanup(self.net.narrow_way_back(0, "back" if mode == "dr" else "lan", NARROW))
        steelyard = self.run_steelyard(document)
        self.exchange(self.client, family)
        self.assertGreater(steelyard.stats()["workers"][0]["too_big_sent"], 0, "Steelyard had nothing to say")
