"""HTTP listeners between programs that people use: Node's server and client, Python's http.client, h2load, curl."""

import hashlib
import http.client
import json

from harness import config, http as raw
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES, IPV4, endpoint
from harness.servers import HELPERS, NodeWeb
from harness.shell import SCALE, scaled

EACH_FAMILY = list(FAMILIES.values())


class HttpPeers(SystemCase):
    def listen(self, family=IPV4, keep_alive_ms=5_000, workers=1, **settings):
        """Node on all three servers."""
        for index in range(self.servers):
            server = NodeWeb(self.net, index, keep_alive_ms=keep_alive_ms)
            self.addCleanup(server.kill)
        listener = config.listener(80, "http", **settings)
        groups = [config.group("web", family, 80, weights=(100, 100, 100))]
        return self.balance([config.load_balancer("shop", family.vip(), listener)], groups, workers)

    def python(self, family=IPV4):
        """A connection of http.client."""
        connection = http.client.HTTPConnection(family.vip(), 80, timeout=20)
        with self.net.client.entered():
            connection.connect()
        self.addCleanup(connection.close)
        return connection

    @for_each(family=EACH_FAMILY, workers=[1, 2])
    def test_nodes_agent_and_nodes_server(self, family, workers):
        self.listen(family, workers=workers)
        count = scaled(1_500, 300)
        url = f"http://{endpoint(family.vip(), 80)}"
        result = json.loads(self.net.client.run("node", HELPERS / "node_client.js", url, count, 20, timeout=60))
        self.assertEqual(result["problems"], [])
        self.assertEqual(result["good"], count)
        self.assertLessEqual(result["connections"], 20)

    def test_a_server_that_closes_idle_connections_soon_costs_no_request(self):
        self.listen(keep_alive_ms=2)
        connection = self.python()
        for number in range(scaled(1_500, 300)):
            connection.request("GET", f"/{number}")
            answer = connection.getresponse()
            self.assertEqual((answer.status, json.loads(answer.read())["path"]), (200, f"/{number}"))

    def test_pythons_http_client(self):
        self.listen()
        connection = self.python()
        content = bytes(range(256)) * 5_000
        for body, options in ((content, {}), (iter([content[:1_000], content[1_000:]]), {"encode_chunked": True})):
            headers = {"Transfer-Encoding": "chunked"} if options else {}
            connection.request("POST", "/form?a=b", body, headers, **options)
            answer = connection.getresponse()
            said = json.loads(answer.read())
            self.assertEqual((said["path"], said["length"]), ("/form?a=b", len(content)))
            self.assertEqual(said["sha256"], hashlib.sha256(content).hexdigest())
            self.assertEqual(said["headers"]["x-forwarded-for"], IPV4.client)
        connection.request("GET", "/bytes/3000000")
        self.assertEqual(connection.getresponse().read(), b"x" * 3_000_000)
        connection.request("HEAD", "/")
        self.assertEqual(connection.getresponse().read(), b"")
        connection.request("GET", "/hints")
        self.assertEqual(connection.getresponse().status, 103)

    @for_each(workers=[1, 2])
    def test_h2load_in_http_1(self, workers):
        self.listen(workers=workers)
        count = scaled(20_000, 2_000)
        url = f"http://{IPV4.vip()}/"
        said = self.net.client.run("h2load", "--h1", "-n", count, "-c", 20, url, timeout=60)
        self.assertRegex(said, rf"{count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout")
        self.assertRegex(said, rf"status codes: {count} 2xx, 0 3xx, 0 4xx, 0 5xx")

    def test_large_uploads_and_downloads_take_little_memory(self):
        steelyard = self.listen(request_timeout=60)
        size = max(int(4 * SCALE * 2**30), 200 * 2**20)
        path = self.net.dir / "large"

        def upload(octets, *options):
            with path.open("wb") as large:
                large.truncate(octets)
            said = json.loads(raw.curl(self.client, IPV4.vip(), 80, "/count", "-T", path, *options, timeout=600))
            self.assertEqual(said["length"], octets)

        raw.curl(self.client, IPV4.vip(), 80, "/bytes/10000000", "-o", "/dev/null")
        before = steelyard.resident()
        upload(size)
        upload(size // 8, "-H", "Transfer-Encoding: chunked")
        options = ["-o", "/dev/null", "-w", "%{size_download}"]
        got = raw.curl(self.client, IPV4.vip(), 80, f"/bytes/{size}", *options, timeout=600)
        self.assertEqual(int(got), size)
        self.assertLess(steelyard.resident() - before, 64 * 2**20)
