"""The part of the show that is about layer 7: an http listener with sessions, a rule, the client's address, WebSocket,
a server that dies under load, and the answer to "why 503?".
"""

import base64
import re
import time

from harness import config, http
from harness.plan import FAMILIES
from harness.servers import Web

FAMILY = FAMILIES["ipv4"]
VIP = FAMILY.vip()
SHOP, LOAD, WEB = 8080, 8081, 8000
LOAD_SECONDS = 6


def listeners():
    sticky = {"type": "insert", "cookie_timeout": 600}
    rules = [{"name": "api", "url": "/api/", "server_group": "api", "sticky_session": "off"}]
    return [
        config.listener(SHOP, "http", group="shop", sticky_session=sticky, rules=rules),
        config.listener(LOAD, "http", group="pages"),
    ]


def groups():
    return [
        config.group("shop", FAMILY, WEB, (100, 100)),
        config.group("api", FAMILY, WEB, (100,), first=2),
    ]


class HttpSteps:
    """Steps of the demo; `demo` has the network, the client, Steelyard, nginx servers and notes."""

    def __init__(self, demo):
        self.demo = demo
        self.web = [Web(demo.net, index, WEB) for index in range(3)]

    def steps(self):
        return (
            (f"http listener on port {SHOP}: a session by cookie", self.session),
            ("the rule: /api/ goes to another group", self.rule),
            ("what a server sees of a request", self.request),
            ("WebSocket", self.websocket),
            (f"a server is killed while wrk asks for {LOAD_SECONDS} seconds", self.killed_under_load),
            ("why 503?", self.why_503),
        )

    def connect(self):
        return http.connect(self.demo.client, VIP, SHOP)

    def session(self):
        with self.connect() as connection:
            first = connection.ask()
        cookie = first.header("Set-Cookie").split(";")[0]
        print(f"    the first answer sets {first.header('Set-Cookie')}")
        met = set()
        for _ in range(20):
            with self.connect() as connection:
                met.add(connection.ask(headers=[("Cookie", cookie)]).json()["server"])
        free = set()
        for _ in range(20):
            with self.connect() as connection:
                free.add(connection.ask().json()["server"])
        ok = met == {first.json()["server"]} and len(free) == 2
        self.demo.note("session by cookie", "with it one server, without it both", f"{sorted(met)}, {sorted(free)}", ok)

    def rule(self):
        with self.connect() as connection:
            seen = [(path, connection.ask(path).json()["server"]) for path in ("/", "/api/orders", "/apis")]
        names = dict(seen)
        ok = names["/api/orders"] == "c" and names["/"] in "ab" and names["/apis"] in "ab"
        self.demo.note("rule by URL", "/api/ to c, the rest to a or b", str(seen), ok)

    def request(self):
        with self.connect() as connection:
            said = connection.ask("/hello?x=1").json()
        for name, value in said["headers"]:
            print(f"    | {name}: {value}")
        address = dict(said["headers"]).get("X-Forwarded-For")
        self.demo.note("X-Forwarded-For", FAMILY.client, str(address), address == FAMILY.client)

    def websocket(self):
        key = base64.b64encode(b"0123456789abcdef").decode()
        fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", key)]
        with self.connect() as connection:
            status = connection.ask("/socket", headers=[*fields, ("Sec-WebSocket-Version", "13")]).status
            connection.send(b"\x81\x8a" + bytes(4) + b"weigh this")
            echoed = connection.take(12)[2:]
        self.demo.note("WebSocket echo", "101, weigh this", f"{status}, {echoed.decode()}", (status, echoed) == (101, b"weigh this"))

    def killed_under_load(self):
        namespace, log = self.demo.net.client, self.demo.net.dir / "wrk.log"
        load = namespace.spawn(["wrk", "-t1", "-c32", f"-d{LOAD_SECONDS}s", f"http://{VIP}:{LOAD}/"], log)
        time.sleep(LOAD_SECONDS / 3)
        print("    nginx of b is killed")
        self.demo.nginx[1].kill()
        load.wait(LOAD_SECONDS + 20)
        report = load.log()
        for line in report.splitlines():
            print(f"    | {line}")
        rate = re.search(r"Requests/sec:\s+([\d.]+)", report)
        failed = "Non-2xx" in report or "Socket errors" in report
        seen = f"{rate[1] if rate else 'no'} requests/s, {'some' if failed else 'none'} failed"
        self.demo.note("a server dies under load", "no request fails", seen, rate is not None and not failed)
        self.demo.nginx[1].start()
        self.demo.steelyard.wait_health(FAMILY.server(1), 80, "up")

    def why_503(self):
        print("    the only server behind /api/ is stopped")
        self.web[2].kill()
        entry = self.demo.steelyard.wait_health(FAMILY.server(2), WEB, "down")
        with self.connect() as connection:
            answer = connection.ask("/api/orders")
        print(f"    | HTTP {answer.status}, cause {answer.cause}")
        self.demo.show_status()
        why = f"{answer.status} {answer.cause}; {entry.get('check')}: {entry.get('last_result')}"
        self.demo.note("503 and why", "503 NS; which check failed, how", why, (answer.status, answer.cause) == (503, "NS"))
