"""Mode `dr`: servers that have the VIP themselves get the clients' packets as they are and answer past Steelyard."""

from harness import config
from harness.case import SystemCase, for_each, near_and_far
from harness.plan import FAMILIES, FAR_CLIENTS

EACH_FAMILY = list(FAMILIES.values())
WORKERS = [1, 2]
PORT = 7000


class DirectReturn(SystemCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.net.direct_way())

    def forward(self, family, workers, protocol="tcp", **settings):
        """One listener before the three servers, all of which have its address and its port."""
        for index in range(self.servers):
            self.addCleanup(self.net.accept_vip(index, family, family.vip()))
        ports = {"tcp": {PORT: "echo"}} if protocol == "tcp" else {"udp": [PORT]}
        servers = self.echo_servers(**ports, vips=[family.vip()])
        listener = config.listener(PORT, protocol, mode="dr", **settings)
        balancers = [config.load_balancer("lb", family.vip(), listener)]
        return servers, self.balance(balancers, [config.group("web", family, PORT)], workers)

    def assert_real_clients(self, servers, event, family):
        peers = {peer for server in servers for peer in server.report()[event]} - {family.lan}
        clients = {family.client, *(family.far(number) for number in range(FAR_CLIENTS))}
        self.assertTrue(peers <= clients, peers)
        self.assertGreater(len(peers), 10)

    @for_each(family=EACH_FAMILY, workers=WORKERS)
    def test_tcp_connections_of_near_and_far_clients_echo(self, family, workers):
        servers, steelyard = self.forward(family, workers)
        self.assert_connections_echo(family, PORT)
        self.assert_real_clients(servers, "accepted", family)
        if workers == 2:
            self.assertGreater(steelyard.counted("hand"), 0, "the hand-off path carried nothing")

    @for_each(family=EACH_FAMILY, workers=WORKERS)
    def test_udp_datagrams_of_near_and_far_clients_echo(self, family, workers):
        servers, _ = self.forward(family, workers, "udp")
        self.assert_datagrams_echo(family, PORT)
        self.assert_real_clients(servers, "datagrams", family)

    @for_each(family=EACH_FAMILY)
    def test_a_bulk_transfer_arrives_byte_for_byte(self, family):
        self.forward(family, 2)
        content = bytes(range(256)) * 16384
        with self.client.echo(family.vip(), PORT) as connection:
            received = connection.exchange(content)
        self.assertEqual(received, content)

    @for_each(family=EACH_FAMILY)
    def test_an_idle_connection_is_reset_at_both_ends(self, family):
        servers, _ = self.forward(family, 1, established_timeout=10)
        with self.client.echo(family.vip(), PORT) as connection:
            self.assertEqual(connection.say("hello"), "hello")
            self.assertTrue(connection.wait_for_reset(30))
        resets = [peer for server in servers for peer in server.report()["reset"]]
        self.assertIn(family.client, resets)

    @for_each(scheduler=["sch", "tch"], family=EACH_FAMILY, workers=WORKERS)
    def test_by_hash_established_connections_outlive_a_crash(self, scheduler, family, workers):
        _, steelyard = self.forward(family, workers, scheduler=scheduler)
        held = [self.client.echo(family.vip(), PORT, source) for source in near_and_far(family)]
        for connection in held:
            self.assertEqual(connection.say("hello"), "hello")
        steelyard.crash()
        steelyard.start()
        for _ in range(3):
            for connection in held:
                self.assertEqual(connection.say("still there"), "still there")
        flows = [worker["flows"] for worker in steelyard.stats()["workers"]]
        self.assertEqual(sum(one["adopted"] for one in flows), len(held))
        self.assertEqual(sum(one["resets_sent"] for one in flows), 0)
        for connection in held:
            connection.close()

    @for_each(family=EACH_FAMILY)
    def test_a_server_that_is_down_gets_no_new_connections(self, family):
        servers, steelyard = self.forward(family, 1)
        servers[0].kill()
        steelyard.wait_health(family.server(0), PORT, "down")
        names = {self.client.echo(family.vip(), PORT).name for _ in range(12)}
        self.assertEqual(names, {"b", "c"})
