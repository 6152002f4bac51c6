"""HTTP, everything at once: answers and uploads of all sizes, sessions, WebSockets, clients that go away; a reload each
second, servers that die and come back, packets that are lost on both sides. No octet is wrong, no idempotent request
fails, nothing leaks.

STEELYARD_SOAK_SECONDS says for how long (default 60; an hour before a release).
"""

import copy
import hashlib
import os
import random
import time

from harness import config, http
from harness.case import SystemCase, for_each
from harness.clients import Background
from harness.plan import FAMILIES
from harness.servers import Web
from harness.shell import eventually

SECONDS = float(os.environ.get("STEELYARD_SOAK_SECONDS", "60"))
SERVERS = 4
DYING = ("c", "d")  # of these two one is dead at times
PATTERN = bytes(range(251))
LOSS = 1  # packets of a hundred, on their way into each server and to the clients


def pattern(octets):
    return (PATTERN * (octets // 251 + 1))[:octets]


def document(workers):
    balancers, groups = [], []
    for family in FAMILIES.values():
        group = f"web-{family.name}"
        session = {"type": "insert", "cookie_timeout": 600}
        listener = config.listener(80, "http", group=group, sticky_session=session, x_forwarded_proto=True)
        balancers.append(config.load_balancer(f"lb-{family.name}", family.vip(), listener))
        groups.append(config.group(group, family, 80, weights=(100,) * SERVERS))
    return config.base(workers, load_balancers=balancers, server_groups=groups)


def variant(original, number):
    """The number-th change: of rules, weights, what happens to messages, and limits that nobody reaches."""
    changed = copy.deepcopy(original)
    for balancer, group in zip(changed["load_balancers"], changed["server_groups"]):
        group["servers"][number % SERVERS]["weight"] = 20 + 7 * number % 80
        listener = balancer["listeners"][0]
        listener["scheduler"] = ("wrr", "wlc", "rr", "sch", "uri")[number % 5]
        listener["max_headers"] = 100 + number % 20
        if number % 3 == 1:
            listener["request_headers"] = [{"set": "X-Number", "value": str(number)}]
            listener["response_headers"] = [{"add": "X-Number", "value": str(number)}]
        if number % 4 >= 2:
            rule = {"name": f"r{number % 8}", "url": "/bytes", "server_group": group["name"], "scheduler": "wlc"}
            listener["rules"] = [rule]
        if number % 7 == 3:
            balancer["listeners"].append(config.listener(81, "http", group=group["name"]))
    return changed


class Visitor:
    """A client that keeps its connection, and its cookie, as long as it can."""

    def __init__(self, client, seed):
        self.client, self.random = client, random.Random(seed)
        self.family = self.random.choice(list(FAMILIES.values()))
        self.source = self.family.far(seed % 60)
        self.connection, self.cookie = None, None
        self.done, self.cut, self.refused_uploads = 0, 0, 0

    def step(self):
        if self.connection is None:
            self.connection = http.connect(self.client, self.family.vip(), 80, self.source, timeout=30)
        what = self.random.choices((self.get, self.upload, self.leave, self.pipeline), weights=(70, 15, 5, 10))[0]
        what()

    def close(self):
        self.connection.socket.close()
        self.connection = None

    def fields(self):
        return [("Cookie", self.cookie)] if self.cookie else []

    def learn(self, answer):
        if cookie := answer.header("Set-Cookie"):
            self.cookie = cookie.partition(";")[0]
        if answer.header("Connection") == "close":
            self.close()

    def get(self):
        octets = int(10 ** self.random.uniform(0, 5.5))
        kind = self.random.choice(("bytes", "chunks"))
        connection = self.connection
        try:
            answer = connection.ask(f"/{kind}/{octets}", headers=self.fields())
        except OSError as error:
            # An answer that has begun ends with its server.
            self.excuse(connection, error)
            return
        if (answer.status, answer.body) != (200, pattern(octets)):
            raise AssertionError(f"GET /{kind}/{octets}: {answer.status} {answer.cause}, {len(answer.body)} octets")
        self.done += 1
        self.learn(answer)

    def excuse(self, connection, error):
        server = connection.begun.header("X-Server") if connection.begun else None
        if server not in DYING:
            raise AssertionError(f"a GET failed, with an answer of server {server}: {error!r}") from error
        self.cut += 1
        self.close()

    def pipeline(self):
        sizes = [self.random.randrange(3000) for _ in range(5)]
        connection = self.connection
        connection.send("".join(f"GET /bytes/{size} HTTP/1.1\r\nHost: a\r\n\r\n" for size in sizes))
        for size in sizes:
            try:
                answer = connection.answer()
            except OSError as error:
                self.excuse(connection, error)
                return
            if (answer.status, answer.body) != (200, pattern(size)):
                raise AssertionError(f"pipelined GET /bytes/{size}: {answer.status} {answer.cause}")
            self.done += 1

    def upload(self):
        """Not idempotent: when its server dies, so may it."""
        body = self.random.randbytes(int(10 ** self.random.uniform(0, 5)))
        try:
            answer = self.connection.ask("/upload", "POST", headers=self.fields(), body=body)
        except OSError:
            self.refused_uploads += 1
            self.close()
            return
        if answer.status == 200:
            said = answer.json()
            if (said["length"], said["sha256"]) != (len(body), hashlib.sha256(body).hexdigest()):
                raise AssertionError(f"another body than the {len(body)} octets arrived: {said}")
            self.done += 1
        elif answer.status in (502, 503, 504):
            self.refused_uploads += 1
        else:
            raise AssertionError(f"an upload was answered {answer.status} {answer.cause}")
        self.learn(answer)

    def leave(self):
        """In the middle of a request, or of its answer."""
        self.connection.send("GET /bytes/300000 HTTP/1.1\r\nHost: a\r\n" + self.random.choice(("", "\r\n")))
        if self.random.random() < 0.5:
            time.sleep(0.05)
        self.close()


class HttpSoak(SystemCase):
    servers = SERVERS

    def lose(self, namespace):
        rules = f"""
            add table inet loss
            add chain inet loss in {{ type filter hook input priority 0; policy accept; }}
            add rule inet loss in meta l4proto tcp numgen random mod 100 < {LOSS} drop
        """
        namespace.run("nft", "-f", "-", stdin=rules)
        self.addCleanup(namespace.run, "nft", "delete", "table", "inet", "loss")

    @for_each(workers=[2])
    def test_everything_at_once(self, workers):
        servers = [Web(self.net, index) for index in range(SERVERS)]
        for server in servers:
            self.addCleanup(server.kill)
        original = document(workers)
        steelyard = self.run_steelyard(original)
        self.lose(self.client.namespace)
        for namespace in self.net.servers:
            self.lose(namespace)
        visitors = [Visitor(self.client, seed) for seed in range(8)]
        backgrounds = [Background(visitor.step, pause=0.01) for visitor in visitors]
        began = time.monotonic()
        number, warm, dead = 0, None, None
        while time.monotonic() < began + SECONDS:
            steelyard.reload(variant(original, number))
            if number % 10 == 4:
                dead = servers[2 + number // 10 % 2]
                dead.kill()
            elif number % 10 == 8 and dead is not None:
                dead.start()
                dead = None
            for background in backgrounds:
                background.check()
            number += 1
            if warm is None and time.monotonic() > began + SECONDS / 3:
                warm = steelyard.resident()
            time.sleep(max(0.0, began + number - time.monotonic()))
        for background in backgrounds:
            background.finish(60)
        self.assertLess(steelyard.resident(), warm * 1.02 + 4 * 2**20, "memory grows")
        done, cut = sum(visitor.done for visitor in visitors), sum(visitor.cut for visitor in visitors)
        self.assertGreater(done, SECONDS, "hardly anything was asked")
        self.assertLess(cut, done / 100 + 5)
        for visitor in visitors:
            if visitor.connection is not None:
                visitor.close()
        steelyard.reload(original)
        for server in servers:
            server.kill()  # which ends the connections that wait for a request
        eventually(lambda: self.open_connections(steelyard) == 0, "no connection is left", timeout=90)
        eventually(lambda: self.buffers_held(steelyard) == {}, "all buffers are back", timeout=30)
        steelyard.assert_exact_accounting()

    @staticmethod
    def open_connections(steelyard):
        return sum(
            worker["http"][what] for worker in steelyard.stats()["workers"] for what in ("clients", "servers", "exchanges")
        )

    @staticmethod
    def buffers_held(steelyard):
        return {
            (worker["worker"], pool): counts["used"]
            for worker in steelyard.stats()["workers"]
            for pool, counts in worker["buffers"].items()
            if counts["used"]
        }
