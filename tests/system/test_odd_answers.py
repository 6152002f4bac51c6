"""Whatever a server says: a client gets exactly HTTP, or a reset, and the next request gets its own answer and no other."""

import re
import socket
import unittest

from differential.answers import OddServer
from harness import config
from harness.one_place import OnePlace
from harness.plan import IPV4
from harness.servers import EchoServer
from harness.steelyard import Steelyard

PORT, SERVER_PORT, CHECKED = 80, 8000, 9
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")


class Cut(Exception):
    """The octets end in the middle of a message."""


class Wrong(Exception):
    """They are no HTTP."""


class _Reader:
    def __init__(self, octets):
        self.octets, self.at = octets, 0

    def line(self):
        end = self.octets.find(b"\r\n", self.at)
        if end < 0:
            raise Cut
        line, self.at = self.octets[self.at : end], end + 2
        return line

    def take(self, count):
        if len(self.octets) < self.at + count:
            raise Cut
        self.at += count
        return self.octets[self.at - count : self.at]

    def fields(self):
        fields = []
        while line := self.line():
            found = FIELD.fullmatch(line)
            if not found:
                raise Wrong(f"field {line!r}")
            fields.append((found[1].lower(), found[2].strip()))
        return fields

    def chunks(self):
        while True:
            size = self.line()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", size):
                raise Wrong(f"chunk {size!r}")
            if int(size, 16) == 0:
                self.fields()
                return
            self.take(int(size, 16))
            if self.take(2) != b"\r\n":
                raise Wrong("a chunk's end")


def final_answers(octets, reset, method):
    """[is it the canary's], of the whole answers; raises Wrong."""
    reader, canaries = _Reader(octets), []
    try:
        while reader.at < len(octets):
            line = reader.line()
            found = re.fullmatch(rb"HTTP/1\.1 ([1-5][0-9]{2}) [\t -~\x80-\xff]*", line)
            if not found:
                raise Wrong(f"status line {line!r}")
            status, fields = int(found[1]), reader.fields()
            framing = [(name, value) for name, value in fields if name in (b"content-length", b"transfer-encoding")]
            if len(framing) > 1:
                raise Wrong(f"framing {framing}")
            if status < 200:
                continue
            if status not in (204, 304) and (method != "HEAD" or canaries):
                _body(reader, framing, reset)
            canaries.append((b"x-canary", b"yes") in fields)
    except Cut:
        if not reset:
            raise Wrong("an answer that ends too early, and no reset") from None
    return canaries


def _body(reader, framing, reset):
    if not framing:
        if reset:
            raise Cut
        reader.at = len(reader.octets)
    elif framing[0][0] == b"content-length":
        reader.take(int(framing[0][1]))
    elif framing[0][1] == b"chunked":
        reader.chunks()
    else:
        raise Wrong(f"framing {framing}")


class OddAnswers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.net = OnePlace()
        cls.addClassCleanup(cls.net.close)
        checked = EchoServer(cls.net, 0, {CHECKED: "close"}, namespace=cls.net.client, addresses=[IPV4.server(0)])
        cls.addClassCleanup(checked.kill)
        with cls.net.client.entered():
            cls.server = OddServer(IPV4.server(0), SERVER_PORT)
        cls.addClassCleanup(cls.server.close)
        check = {"type": "tcp", "port": CHECKED, "interval": 50, "timeout": 50}
        balancer = config.load_balancer("shop", IPV4.vip(), config.listener(PORT, "http", "web", check))
        groups = [config.group("web", IPV4, SERVER_PORT, weights=(100,))]
        cls.steelyard = Steelyard(cls.net, config.base(load_balancers=[balancer], server_groups=groups)).start()
        cls.addClassCleanup(cls.steelyard.kill)

    def ask(self, target, method="GET"):
        """Asks for this and then for the canary: (what came, was it ended by a reset)."""
        request = f"{method} {target} HTTP/1.1\r\nHost: a\r\n\r\nGET /canary HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        received = b""
        with self.net.client.entered():
            opened = socket.create_connection((IPV4.vip(), PORT), 30)
        with opened:
            opened.sendall(request.encode())
            try:
                while octets := opened.recv(65536):
                    received += octets
            except ConnectionResetError:
                return received, True
        return received, False

    def test_clients_get_exactly_http_and_never_an_answer_of_somebody_else(self):
        for number, answer in enumerate(self.server.answers):
            with self.subTest(answer=answer.name):
                received, reset = self.ask(f"/{number}", answer.method)
                try:
                    canaries = final_answers(received, reset, answer.method)
                    self.assertIn(canaries, ([], [False], [False, True]), received)
                    received, reset = self.ask("/canary")
                    self.assertEqual((final_answers(received, reset, "GET"), reset), ([True, True], False), received)
                except Wrong as fault:
                    self.fail(f"{fault}: {received!r}")
        self.assertTrue(self.steelyard.running())
        self.steelyard.assert_exact_accounting()
        self.assertEqual(self.steelyard.stop(), 0)
