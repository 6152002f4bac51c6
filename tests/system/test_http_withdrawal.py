"""What becomes of requests and sessions whose server is removed, drained or cleared."""

import copy
import threading
import time

from harness import config, http
from harness.case import for_each
from harness.plan import IPV4, endpoint
from harness.shell import eventually
from test_http import WORKERS, HttpCase


class HttpWithdrawnServers(HttpCase):
    def under_way(self, steelyard):
        """Servers of requests whose answers have not begun."""

        def seen():
            listed = steelyard.json("conns", "list")["connections"]
            return [each["server"] for each in listed if each["doing"] == "waiting" and each["side"] == "client"]

        return eventually(seen, "a request is under way")

    def asked(self, connection, path):
        """The answer of a request that is under way meanwhile; `join()` first."""
        got = []
        thread = threading.Thread(target=lambda: got.append(connection.ask(path)), daemon=True)
        thread.start()
        return thread, got

    def test_flows_clear_ends_requests_and_leaves_their_clients(self):
        self.web_servers(1)
        steelyard = self.listen(groups=[config.group("web", IPV4, 80, weights=(100,))])
        with self.connect() as idle, self.connect() as waiting:
            self.assertEqual(idle.ask().status, 200)
            waiting.send("GET /slow/20 HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(self.under_way(steelyard), [endpoint(IPV4.server(0), 80)])
            self.assertEqual(steelyard.json("flows", "clear", "--server", endpoint(IPV4.server(0), 80))["requests"], 1)
            answer = waiting.answer()
            self.assertEqual((answer.status, answer.cause), (502, "SW"))
            self.assertEqual(idle.ask().status, 200)

    @for_each(workers=WORKERS)
    def test_what_a_removed_server_has_is_answered_by_another(self, workers):
        self.web_servers(2)
        groups = [config.group("web", IPV4, 80, weights=(100, 100))]
        steelyard = self.listen(workers=workers, groups=groups, on_removed="reset")
        self.when_up(2)
        with self.connect() as connection:
            thread, got = self.asked(connection, "/slow/3")
            server = self.under_way(steelyard)[0]
            document = copy.deepcopy(steelyard.document)
            servers = document["server_groups"][0]["servers"]
            document["server_groups"][0]["servers"] = [each for each in servers if endpoint(each["address"], 80) != server]
            steelyard.reload(document)
            thread.join(20)
            self.assertEqual(got[0].status, 200)
            index = next(place for place in range(2) if endpoint(IPV4.server(place), 80) == server)
            self.assertNotEqual(got[0].json()["server"], "ab"[index])

    def test_an_answer_that_has_begun_ends_at_the_drains_deadline(self):
        self.web_servers(1)
        steelyard = self.listen(groups=[config.group("web", IPV4, 80, weights=(100,))])
        with self.connect() as connection:
            connection.send("GET /bytes/50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.take(100)
            steelyard.command("server", "drain", "web", endpoint(IPV4.server(0), 80), "1")
            time.sleep(0.3)
            with self.assertRaises(ConnectionResetError):
                time.sleep(2)
                connection.rest()

    def test_sessions_stay_during_a_drain_and_move_after_it(self):
        self.web_servers(2)
        sticky = {"type": "insert", "cookie_timeout": 600}
        steelyard = self.listen(groups=[config.group("web", IPV4, 80, weights=(100, 100))], sticky_session=sticky)
        self.when_up(2)
        with self.connect() as connection:
            first = connection.ask()
        cookie, name = first.header("Set-Cookie").split(";")[0], first.json()["server"]
        server = endpoint(IPV4.server("ab".index(name)), 80)

        def who():
            with http.connect(self.client, IPV4.vip(), 80) as connection:
                return connection.ask(headers=[("Cookie", cookie)]).json()["server"]

        steelyard.command("server", "drain", "web", server)
        self.assertEqual(who(), name)
        steelyard.command("server", "drain", "web", server, "1")
        eventually(lambda: who() != name, "the session moves", timeout=15)
        steelyard.command("server", "enable", "web", server)
        self.assertEqual(who(), name)
