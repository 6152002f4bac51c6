"""Packets that gather while a worker is busy: under load it pauses between turns, unless it is told not to."""

from harness import config
from harness.case import SystemCase, for_each
from harness.plan import IPV4
from harness.servers import Nginx

REQUESTS = 40_000
CONNECTIONS = 64


class Coalescing(SystemCase):
    servers = 1

    @for_each(most_us=[0, 1000])
    def test_a_busy_worker_lets_packets_gather(self, most_us):
        server = Nginx(self.net, 0)
        self.addCleanup(server.kill)
        listener = config.listener(80, "http")
        document = config.base(
            1,
            load_balancers=[config.load_balancer("shop", IPV4.vip(), listener)],
            server_groups=[config.group("web", IPV4, 80, weights=(100,))],
        )
        document["workers"]["coalesce_us"] = most_us
        steelyard = self.run_steelyard(document)

        url = f"http://{IPV4.vip()}/"
        said = self.net.client.run("h2load", "--h1", "-n", REQUESTS, "-c", CONNECTIONS, url, timeout=120)
        self.assertRegex(said, rf"{REQUESTS} done, {REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout")
        pauses = steelyard.stats()["workers"][0]["turns"]["pauses"]
        self.assertEqual(pauses > 0, most_us > 0, f"{pauses} pauses")
