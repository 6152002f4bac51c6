"""HTTP listeners as clients and servers see them: real servers (nginx, Python's http.server), curl and raw sockets."""

import base64
import hashlib
import json
import os
import signal
import time

from harness import config, http
from harness.case import SystemCase, for_each
from harness.clients import Background
from harness.plan import FAMILIES, IPV4, IPV6
from harness.servers import Nginx, Web
from harness.shell import eventually

EACH_FAMILY = list(FAMILIES.values())
WORKERS = [1, 2]
SCALE = float(os.environ.get("STEELYARD_TEST_SCALE", "1"))
PATTERN = bytes(range(251))


def pattern(octets):
    return (PATTERN * (octets // 251 + 1))[:octets]


class HttpCase(SystemCase):
    def web_servers(self, count=3):
        servers = [Web(self.net, index) for index in range(count)]
        for server in servers:
            self.addCleanup(server.kill)
        return servers

    def listen(self, family=IPV4, workers=1, groups=None, sections=None, **settings):
        listener = config.listener(80, "http", **settings)
        balancers = [config.load_balancer("shop", family.vip(), listener)]
        groups = groups or [config.group("web", family, 80, weights=(100, 100, 100))]
        return self.balance(balancers, groups, workers, **(sections or {}))

    def connect(self, family=IPV4, source=None):
        opened = http.connect(self.client, family.vip(), 80, source)
        self.addCleanup(opened.socket.close)
        return opened

    def when_up(self, count=3, family=IPV4):
        """Waits until so many servers answer."""

        def all_answer():
            with http.connect(self.client, family.vip(), 80) as connection:
                names = {connection.ask().header("X-Server") for _ in range(3 * count)}
            return len(names - {None}) == count

        eventually(all_answer, f"{count} servers answer", timeout=15)


class HttpForwarding(HttpCase):
    @for_each(family=EACH_FAMILY, workers=WORKERS)
    def test_requests_of_one_connection_reach_all_servers_with_the_clients_address(self, family, workers):
        self.web_servers()
        self.listen(family, workers)
        for source in (None, *(family.far(number) for number in range(8))):
            names = set()
            with http.connect(self.client, family.vip(), 80, source) as connection:
                for number in range(12):
                    answer = connection.ask(f"/{number}", headers=[("X-Forwarded-For", "203.0.113.99")])
                    self.assertEqual(answer.status, 200)
                    said = answer.json()
                    self.assertEqual(said["path"], f"/{number}")
                    headers = dict(said["headers"])
                    self.assertEqual(headers["X-Forwarded-For"], f"203.0.113.99, {source or family.client}")
                    self.assertEqual(headers["Host"], "www.example")
                    names.add(said["server"])
            self.assertEqual(names, {"a", "b", "c"})

    def test_servers_of_the_other_family(self):
        self.web_servers()
        self.listen(IPV6, groups=[config.group("web", IPV4, 80)])
        with self.connect(IPV6) as connection:
            answer = connection.ask()
        self.assertEqual(dict(answer.json()["headers"])["X-Forwarded-For"], IPV6.client)

    @for_each(workers=WORKERS)
    def test_connections_to_servers_are_used_again(self, workers):
        servers = self.web_servers()
        self.listen(workers=workers)
        before = sum(server.report()["connections"] for server in servers)
        for number in range(16):
            with http.connect(self.client, IPV4.vip(), 80, IPV4.far(number)) as connection:
                for _ in range(20):
                    self.assertEqual(connection.ask().status, 200)
        opened = sum(server.report()["connections"] for server in servers) - before
        self.assertLess(opened, 60)  # of 320 requests; the probes' connections among them

    def test_pipelined_requests_are_answered_in_order(self):
        self.web_servers()
        self.listen()
        with self.connect() as connection:
            connection.send("".join(f"GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n" for number in range(100)))
            for number in range(100):
                self.assertEqual(connection.answer().json()["path"], f"/{number}")

    def test_head_options_and_answers_without_content(self):
        self.web_servers()
        self.listen()
        with self.connect() as connection:
            self.assertGreater(int(connection.ask("/", "HEAD").header("Content-Length")), 50)
            self.assertEqual(connection.ask("/", "OPTIONS").json()["method"], "OPTIONS")
            self.assertEqual(connection.ask("/status/204").status, 204)
            self.assertEqual(connection.ask("/status/304").status, 304)
            self.assertEqual(connection.ask("/status/404").status, 404)
            self.assertEqual(connection.ask().status, 200)

    @for_each(octets=[0, 1, 1_000, 100_000, 20_000_000])
    def test_bodies_go_up_and_down_byte_for_byte(self, octets):
        self.web_servers(1)
        self.listen(groups=[config.group("web", IPV4, 80, weights=(100,))])
        content = pattern(octets)
        with self.connect() as connection:
            said = connection.ask("/", "POST", [("Content-Length", "0")] if not octets else [], content).json()
            self.assertEqual(said["length"], octets)
            self.assertEqual(said["sha256"], hashlib.sha256(content).hexdigest())
            for way in ("bytes", "chunks"):
                answer = connection.ask(f"/{way}/{octets}")
                self.assertEqual(len(answer.body), octets)
                self.assertEqual(answer.body, content)
            self.assertEqual(answer.header("X-Trailer"), "end")

    def test_a_chunked_upload_of_curl_arrives_with_100_continue(self):
        self.web_servers(1)
        self.listen(groups=[config.group("web", IPV4, 80, weights=(100,))])
        content = pattern(3_000_000)
        path = self.net.dir / "upload"
        path.write_bytes(content)
        options = ["-T", path, "-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"]
        said = json.loads(http.curl(self.client, IPV4.vip(), 80, "/put", *options))
        self.assertEqual(said["sha256"], hashlib.sha256(content).hexdigest())
        self.assertEqual(dict(said["headers"])["Transfer-Encoding"], "chunked")

    def test_large_bodies_take_little_memory(self):
        nginx = Nginx(self.net, 0)
        self.addCleanup(nginx.stop)
        size = max(int(4 * SCALE * 2**30), 200 * 2**20)
        with (nginx.root / "large").open("wb") as large:
            large.truncate(size)
        steelyard = self.listen(groups=[config.group("web", IPV4, 80, weights=(100,))])
        http.curl(self.client, IPV4.vip(), 80, "/files/large", "-r", "0-1000000", "-o", "/dev/null")
        before = steelyard.resident()
        got = http.curl(
            self.client, IPV4.vip(), 80, "/files/large", "-o", "/dev/null", "-w", "%{size_download}", timeout=600
        )
        self.assertEqual(int(got), size)
        self.assertLess(steelyard.resident() - before, 64 * 2**20)

    def test_websockets_pass(self):
        self.web_servers()
        self.listen()
        key = base64.b64encode(b"0123456789abcdef").decode()
        with self.connect() as connection:
            fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", key)]
            answer = connection.ask("/socket", headers=[*fields, ("Sec-WebSocket-Version", "13")])
            self.assertEqual(answer.status, 101)
            self.assertEqual(answer.header("Upgrade"), "websocket")
            for text in (b"hello", b"x" * 5_000):
                size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
                connection.send(b"\x81" + size + bytes(4) + text)
                self.assertEqual(connection.take(1), b"\x81")
                length = connection.take(1)[0]
                length = int.from_bytes(connection.take(2), "big") if length == 126 else length
                self.assertEqual(connection.take(length), text)
            connection.send(b"\x88\x80" + bytes(4))
            self.assertEqual(connection.take(2), b"\x88\x00")
            self.assertTrue(connection.closed())

    def test_the_other_headers_about_the_client(self):
        self.web_servers()
        on = {name: True for name in ("x_forwarded_proto", "x_forwarded_port", "x_forwarded_client_srcport", "slb_id", "slb_ip")}
        self.listen(x_forwarded_for="replace", **on)
        with self.connect() as connection:
            said = connection.ask(headers=[("X-Forwarded-For", "6.6.6.6"), ("SLB-ID", "forged"), ("X-Forwarded-Proto", "https")])
            headers = said.json()["headers"]
            port = connection.socket.getsockname()[1]
        wanted = {
            "X-Forwarded-For": IPV4.client,
            "X-Forwarded-Proto": "http",
            "X-Forwarded-Port": "80",
            "X-Forwarded-Client-srcport": str(port),
            "SLB-ID": "shop",
            "SLB-IP": IPV4.vip(),
        }
        self.assertEqual({name: value for name, value in headers if name in wanted}, wanted)
        self.assertEqual(len([name for name, _ in headers if name in wanted]), len(wanted))


class HttpSessions(HttpCase):
    @for_each(workers=WORKERS)
    def test_an_inserted_cookie_keeps_the_server_over_reload_and_restart(self, workers):
        self.web_servers()
        key = self.net.dir / "cookie.key"
        key.write_bytes(os.urandom(32))
        key.chmod(0o600)
        sticky = {"type": "insert", "cookie_timeout": 600}
        steelyard = self.listen(workers=workers, sections={"cookie_key_file": str(key)}, sticky_session=sticky)
        with self.connect() as connection:
            first = connection.ask()
        cookie = first.header("Set-Cookie").split(";")[0]
        self.assertTrue(cookie.startswith("SERVERID="))
        self.assertIn("HttpOnly", first.header("Set-Cookie"))

        def stays():
            for number in range(9):
                with http.connect(self.client, IPV4.vip(), 80, IPV4.far(number)) as connection:
                    answer = connection.ask(headers=[("Cookie", f"a=b; {cookie}")])
                self.assertEqual(answer.json()["server"], first.json()["server"])
                self.assertEqual(dict(answer.json()["headers"])["Cookie"], "a=b")
                self.assertIsNone(answer.header("Set-Cookie"))

        stays()
        steelyard.reload(steelyard.document)
        stays()
        steelyard.restart()
        stays()

    def test_a_failed_servers_session_moves(self):
        servers = self.web_servers()
        self.listen(sticky_session={"type": "insert", "cookie_timeout": 600})
        with self.connect() as connection:
            first = connection.ask()
        cookie, name = first.header("Set-Cookie").split(";")[0], first.json()["server"]
        next(server for server in servers if server.name == name).kill()
        with self.connect() as connection:
            again = connection.ask(headers=[("Cookie", cookie)])
        self.assertEqual(again.status, 200)
        self.assertNotEqual(again.json()["server"], name)
        self.assertNotEqual(again.header("Set-Cookie").split(";")[0], cookie)


class HttpRules(HttpCase):
    def test_domains_and_prefixes_choose_the_group_and_change_by_reload(self):
        self.web_servers()
        groups = [config.group(name, IPV4, 80, weights=(100,), first=place) for place, name in enumerate(("web", "api", "img"))]
        rules = [
            {"name": "api", "url": "/api/", "server_group": "api"},
            {"name": "img", "domain": "*.img.example", "server_group": "img"},
        ]
        steelyard = self.listen(groups=groups, rules=rules)

        def who(host, path):
            with http.connect(self.client, IPV4.vip(), 80) as connection:
                connection.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
                return connection.answer().json()["server"]

        def check(expected):
            got = {question: who(*question) for question in expected}
            self.assertEqual(got, expected)

        check({("x", "/"): "a", ("x", "/api/1"): "b", ("x", "/apix"): "a", ("a.img.example", "/api/"): "c", ("img.example", "/"): "a"})
        with self.connect() as running:
            running.send("GET /slow/2 HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.3)
            document = steelyard.document
            document["load_balancers"][0]["listeners"][0]["rules"] = [{"name": "all", "url": "/api", "server_group": "img"}]
            steelyard.reload(document)
            check({("x", "/"): "a", ("x", "/api/1"): "c", ("x", "/apix"): "c", ("a.img.example", "/"): "a"})
            self.assertEqual(running.answer().json()["server"], "a")

    def test_messages_are_changed_and_answered_as_the_file_says(self):
        self.web_servers(1)
        rules = [
            {"name": "api", "url": "/api/", "server_group": "web", "path_prefix": {"replace": "/api/", "with": "/v2/"}},
            {"name": "no", "url": "/no", "answer": "deny"},
            {"name": "gone", "url": "/gone", "answer": {"status": 410, "body": "gone for good"}},
        ]
        changes = {
            "request_headers": [{"set": "X-Site", "value": "shop"}, {"remove": "X-Debug"}],
            "response_headers": [{"set": "X-Frame-Options", "value": "DENY"}, {"remove": "X-Server"}],
            "error_pages": [{"status": [403, 503], "content_type": "text/plain", "body": "not now"}],
        }
        steelyard = self.listen(groups=[config.group("web", IPV4, 80, weights=(100,))], rules=rules, **changes)
        with self.connect() as connection:
            answer = connection.ask("/api/list?of=/api/", headers=[("X-Site", "mine"), ("X-Debug", "1")])
            headers = dict(answer.json()["headers"])
            self.assertEqual(answer.json()["path"], "/v2/list?of=/api/")
            self.assertEqual((headers.get("X-Site"), headers.get("X-Debug")), ("shop", None))
            self.assertEqual((answer.header("X-Frame-Options"), answer.header("X-Server")), ("DENY", None))
            answer = connection.ask("/no")
            self.assertEqual((answer.status, answer.header("Content-Type"), answer.body), (403, "text/plain", b"not now"))
            answer = connection.ask("/gone")
            self.assertEqual((answer.status, answer.body), (410, b"gone for good"))
            document = steelyard.document
            del document["load_balancers"][0]["listeners"][0]["rules"]
            steelyard.reload(document)
            self.assertEqual(connection.ask("/no").status, 200)

    def test_the_same_path_and_the_same_user_have_the_same_server(self):
        self.web_servers()
        rules = [{"name": "users", "url": "/user", "server_group": "web", "scheduler": "header", "hash_header": "X-User"}]
        self.listen(scheduler="uri", rules=rules)

        def servers(paths, headers=()):
            with self.connect() as connection:
                return [connection.ask(path, headers=headers).json()["server"] for path in paths]

        paths = [f"/{number}" for number in range(60)]
        eventually(lambda: set(servers(paths)) == {"a", "b", "c"}, "all servers answer", timeout=15)
        self.assertEqual(len(set(servers(["/same?a=1", "/same", "/same?b=2"] * 3))), 1)
        users = [servers([f"/user/{number}" for number in range(6)], [("X-User", f"user{user}")]) for user in range(40)]
        self.assertEqual({len(set(own)) for own in users}, {1})
        self.assertEqual({own[0] for own in users}, {"a", "b", "c"})

    def test_a_backup_serves_while_nobody_else_can(self):
        servers = self.web_servers(2)
        group = config.group("web", IPV4, 80, weights=(100, 100))
        group["servers"][1]["backup"] = True
        self.listen(groups=[group])

        def who():
            with self.connect() as connection:
                return {connection.ask().header("X-Server") for _ in range(6)}

        eventually(lambda: who() == {"a"}, "the first server answers everything", timeout=15)
        servers[0].kill()
        eventually(lambda: who() == {"b"}, "the backup answers everything", timeout=15)
        servers[0].start()
        eventually(lambda: who() == {"a"}, "the first server answers everything again", timeout=15)

    @for_each(workers=WORKERS)
    def test_a_source_that_asks_too_often_is_told_429(self, workers):
        self.web_servers(1)
        group = config.group("web", IPV4, 80, weights=(100,))
        steelyard = self.listen(workers=workers, groups=[group], per_source={"max_request_rate": 20})
        statuses = []
        for _ in range(5):
            with http.connect(self.client, IPV4.vip(), 80, IPV4.far(1)) as connection:
                statuses += [connection.ask().status for _ in range(40)]
        self.assertEqual(set(statuses), {200, 429})
        with http.connect(self.client, IPV4.vip(), 80, IPV4.far(2)) as connection:
            self.assertEqual({connection.ask().status for _ in range(10)}, {200})
        listener = steelyard.stats()["listeners"][0]
        self.assertEqual(listener["refused"]["source_requests_exceeded"], statuses.count(429))
        requests = listener["requests"]
        self.assertEqual(requests["by_cause"], {"RL": statuses.count(429)})
        self.assertEqual(requests["by_class"]["4xx"], statuses.count(429))
        self.assertEqual(requests["by_class"]["2xx"], statuses.count(200) + 10)
        self.assertEqual(requests["times"]["total"]["count"], len(statuses) + 10)
        self.assertEqual(listener["servers"][0]["requests"]["first_byte"]["count"], statuses.count(200) + 10)

    def test_a_redirect_listener(self):
        listener = {"protocol": "http", "port": 80, "redirect": {"status": 301}}
        self.balance([config.load_balancer("shop", IPV4.vip(), listener)], [])
        options = ["-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "-H", "Host: www.example"]
        got = http.curl(self.client, IPV4.vip(), 80, "/a?b=c", *options)
        self.assertEqual(got, "301 https://www.example/a?b=c")


class HttpFailures(HttpCase):
    @for_each(workers=WORKERS)
    def test_a_server_that_dies_costs_no_idempotent_request(self, workers):
        servers = self.web_servers()
        self.listen(workers=workers)
        self.when_up()
        failures = []

        def ask(number):
            with http.connect(self.client, IPV4.vip(), 80, IPV4.far(number)) as connection:
                for _ in range(10):
                    answer = connection.ask()
                    if answer.status != 200:
                        failures.append((answer.status, answer.cause))

        running = [Background(lambda number=number: ask(number)) for number in range(4)]
        time.sleep(0.7)
        servers[1].kill()
        time.sleep(3)
        servers[1].start()
        time.sleep(3)
        turns = sum(background.finish() for background in running)
        self.assertGreater(turns, 20)
        # Answers that had begun when the server died, at most one for each client, may be lost.
        self.assertEqual(failures, [])

    def test_without_servers_the_answer_says_why(self):
        servers = self.web_servers()
        self.listen()
        for server in servers:
            server.kill()

        def unavailable():
            with http.connect(self.client, IPV4.vip(), 80) as connection:
                answer = connection.ask()
                return (answer.status, answer.cause) == (503, "NS")

        eventually(unavailable, "503 without a server", timeout=15)

    def test_slow_requests_are_answered_408(self):
        self.web_servers()
        self.listen(header_timeout=1)
        with self.connect() as connection:
            connection.send("GET / HTTP/1.1\r\nHo")
            answer = connection.answer()
            self.assertEqual((answer.status, answer.cause), (408, "HT"))
            self.assertTrue(connection.closed())

    def test_slow_servers_are_answered_504(self):
        self.web_servers()
        self.listen(request_timeout=1)
        with self.connect() as connection:
            answer = connection.ask("/slow/3")
            self.assertEqual((answer.status, answer.cause), (504, "AT"))
            self.assertEqual(connection.ask().status, 200)

    def test_malformed_requests_are_answered_400_and_never_reach_a_server(self):
        servers = self.web_servers()
        self.listen()
        self.when_up()
        for request in (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
        ):
            with self.connect() as connection:
                connection.send(request)
                answer = connection.answer()
                self.assertEqual((answer.status, answer.cause), (400, "BR"), request)
                self.assertTrue(connection.closed())
        with self.connect() as connection:
            self.assertEqual(connection.ask("/last").json()["path"], "/last")
        self.assertEqual({server.process.running() for server in servers}, {True})

    def test_a_client_that_goes_frees_its_server(self):
        self.web_servers(1)
        self.listen(groups=[config.group("web", IPV4, 80, weights=(100,))])
        for _ in range(20):
            with http.connect(self.client, IPV4.vip(), 80) as connection:
                connection.send("GET /bytes/50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
                connection.socket.recv(1000)
        with self.connect() as connection:
            self.assertEqual(connection.ask().status, 200)

    def test_stalled_readers_do_not_disturb_others(self):
        self.web_servers(1)
        self.listen(groups=[config.group("web", IPV4, 80, weights=(100,))])
        stalled = []
        for number in range(int(max(20, 200 * SCALE))):
            connection = http.connect(self.client, IPV4.vip(), 80, IPV4.far(number % 64))
            self.addCleanup(connection.socket.close)
            connection.send("GET /bytes/10000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            stalled.append(connection)
        with self.connect() as other:
            for _ in range(50):
                self.assertEqual(other.ask().status, 200)
        self.assertEqual(stalled[0].answer().body, pattern(10_000_000))

    @for_each(workers=WORKERS)
    def test_a_stopped_listener_finishes_what_runs_and_takes_no_more(self, workers):
        self.web_servers()
        steelyard = self.listen(workers=workers)
        with self.connect() as idle, self.connect() as running:
            self.assertEqual(idle.ask().status, 200)
            running.send("GET /slow/2 HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.3)
            document = steelyard.document
            document["load_balancers"][0]["listeners"][0]["status"] = "stopped"
            steelyard.reload(document)
            self.assertTrue(idle.closed())
            answer = running.answer()
            self.assertEqual((answer.status, answer.header("Connection")), (200, "close"))
            self.assertTrue(running.closed())
        with self.assertRaises(ConnectionError):
            self.connect()


class HttpLog(HttpCase):
    def test_every_request_has_a_line_and_a_renamed_file_is_opened_anew(self):
        self.web_servers()
        path = self.net.dir / "access.log"
        steelyard = self.listen(sections={"access_log": {"to": str(path)}})

        def lines(file):
            return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

        with self.connect() as connection:
            for place in range(3):
                connection.ask(f"/{place}", headers=[("X", 'a "quote"')])
            connection.send("GET / HTTP/1.1\r\n\r\n")
            self.assertEqual(connection.answer().status, 400)
        seen = eventually(lambda: lines(path) if len(lines(path)) == 4 else None, "four lines")
        self.assertEqual([line["status"] for line in seen], [200, 200, 200, 400])
        self.assertEqual([line["target"] for line in seen[:3]], ["/0", "/1", "/2"])
        self.assertEqual({line["client"] for line in seen}, {IPV4.client})
        self.assertEqual(seen[3]["cause"], "BR")
        renamed = path.rename(path.with_suffix(".1"))
        steelyard.process.signal(signal.SIGUSR1)
        eventually(path.exists, "a new file")
        with self.connect() as connection:
            connection.ask("/after")
        eventually(lambda: lines(path), "a line in the new file")
        self.assertEqual(lines(path)[0]["target"], "/after")
        self.assertEqual(len(lines(renamed)), 4)
