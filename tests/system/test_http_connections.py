"""Connections of http listeners as an administrator sees and ends them."""

from harness import config
from harness.case import for_each
from harness.plan import IPV4, endpoint
from harness.shell import eventually
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
