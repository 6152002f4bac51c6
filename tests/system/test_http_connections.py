"""Connections of http listeners as an administrator sees and ends them."""

import json
import signal

from harness import config
from harness.case import for_each
from harness.plan import IPV4, endpoint
from harness.shell import eventually
from harness.steelyard import binary
from test_http import WORKERS, HttpCase

UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "a"), ("Sec-WebSocket-Version", "13")]


class HttpConnections(HttpCase):
    def one_server(self, **settings):
        self.web_servers(1)
        return self.listen(groups=[config.group("web", IPV4, 80, weights=(100,))], **settings)

    def waiting(self, steelyard, connection, seconds):
        """A client that waits for its answer."""
        connection.send(f"GET /slow/{seconds} HTTP/1.1\r\nHost: a\r\n\r\n")

        def is_under_way():
            return any(each["doing"] == "waiting" for each in steelyard.json("conns", "list")["connections"])

        eventually(is_under_way, "a request is under way")

    @for_each(workers=WORKERS)
    def test_a_trace_and_a_capture_show_both_sides_of_a_request(self, workers):
        steelyard = self.one_server(workers=workers, idle_timeout=60)
        path = self.net.dir / "request.pcapng"
        watches = []
        for command, more in (("trace", ["--json"]), ("capture", ["-o", path])):
            argv = [binary(), command, "--client", IPV4.far(1), *more, "--socket", steelyard.socket]
            watches.append(self.net.lb.spawn(argv, self.net.dir / f"{command}.log"))
            self.addCleanup(watches[-1].kill)
            eventually(lambda: f"{command} client=" in steelyard.process.log(), f"the {command} has begun")
        trace, capture = watches
        with self.connect(source=IPV4.far(2)) as other:  # whose server's connection is used again
            self.assertEqual(other.ask().status, 200)
        with self.connect(source=IPV4.far(1)) as mine:
            self.assertEqual(mine.ask("/slow/1").status, 200)
            port = mine.socket.getsockname()[1]
        server = endpoint(IPV4.server(0), 80)

        def events():
            lines = [json.loads(line) for line in trace.log().split("\n")[:-1] if line.startswith("{")]
            return [line for line in lines if "verdict" in line]

        def last_words():
            return [each for each in events() if each["from"] == "client" and "F" in each["flags"]]

        eventually(last_words, "the client's FIN")
        for watch in watches:
            watch.signal(signal.SIGINT)
            self.assertEqual(watch.wait(), 0, watch.log_tail())
        of_client = [each for each in events() if each["from"] == "client"]
        self.assertEqual({each["source"] for each in of_client}, {endpoint(IPV4.far(1), port)})
        # The first answer of a worker waits until it knows where the router is.
        verdicts = {verdict for each in of_client for verdict in each["verdict"]}
        self.assertLessEqual(verdicts, {"consumed", "handed_over", "waits"}, of_client)
        of_server = [each for each in events() if each["from"] == "server"]
        self.assertTrue(any(each["payload"] > 0 for each in of_server), "the answer")
        self.assertEqual({each["source"] for each in of_server}, {server})
        self.assertEqual({each["server"] for each in of_server}, {server})
        lines = self.net.lb.run("tcpdump", "-nr", path).splitlines()
        self.assertTrue([line for line in lines if f"{IPV4.server(0)}.80 > " in line and "HTTP/1.1 200" in line], lines)
        self.assertTrue([line for line in lines if f" > {IPV4.server(0)}.80" in line and "GET /slow/1" in line], lines)
        self.assertTrue([line for line in lines if f"{IPV4.far(1)}.{port} > " in line and "GET /slow/1" in line], lines)
        self.assertFalse([line for line in lines if f"{IPV4.far(2)}." in line], lines)

    @for_each(workers=WORKERS)
    def test_they_are_listed_counted_and_cleared(self, workers):
        steelyard = self.one_server(workers=workers, idle_timeout=60)
        idle = self.connect(source=IPV4.far(1))
        self.assertEqual(idle.ask().status, 200)
        waiting = self.connect(source=IPV4.far(2))
        self.waiting(steelyard, waiting, 20)
        tunnel = self.connect(source=IPV4.far(3))
        self.assertEqual(tunnel.ask("/socket", headers=UPGRADE).status, 101)

        def of(number, *more):
            return steelyard.json("conns", *more, "--client", IPV4.far(number))

        seen = {number: of(number, "list")["connections"] for number in (1, 2, 3)}
        for number, doing in ((1, "idle"), (2, "waiting"), (3, "tunnel")):
            clients = [each for each in seen[number] if each["side"] == "client"]
            self.assertEqual([each["doing"] for each in clients], [doing])
            self.assertEqual(clients[0]["state"], "established")
            self.assertEqual(clients[0]["listener"], endpoint(IPV4.vip(), 80))
            self.assertEqual(clients[0]["requests"], 1)
            self.assertGreater(clients[0]["cwnd"], 0)
            servers = [each for each in seen[number] if each["side"] == "server"]
            if doing == "idle":
                self.assertEqual((servers, clients[0]["server"]), ([], None))
            else:
                self.assertEqual(clients[0]["server"], endpoint(IPV4.server(0), 80))
                self.assertEqual([each["client"] for each in servers], [clients[0]["client"]])
                self.assertEqual(servers[0]["doing"], doing)
        everything = steelyard.json("conns", "count", "--listener", "shop:http:80")["count"]
        self.assertGreaterEqual(everything, 5)
        self.assertEqual(of(1, "count"), {"count": 1})
        self.assertEqual(of(9, "count"), {"count": 0})
        self.assertIn("tunnel", steelyard.command("conns", "list"))
        self.assertIn(of(3, "clear")["cleared"], (1, 2))  # when the client's is first, its server's ends with it
        with self.assertRaises(ConnectionResetError):
            tunnel.socket.recv(1)
        self.assertEqual(idle.ask().status, 200)
        steelyard.command("conns", "clear")
        for connection in (idle, waiting):
            with self.assertRaises(ConnectionResetError):
                connection.socket.recv(1)
        eventually(lambda: steelyard.json("conns", "count")["count"] == 0, "no connection is left")

    def test_status_tells_what_memory_they_have(self):
        steelyard = self.one_server()
        octets = steelyard.status()["memory"]["connection_tables"] / 65536  # as many as there may be by default
        self.assertGreater(octets, 512)
        self.assertLess(octets, 1536)
        self.assertRegex(steelyard.command("status"), r"connections \d+ MiB")
