"""HTTP as its users speak it: curl for what people do, and raw connections for what nobody should do."""

import json
import re

from .plan import endpoint


class Answer:
    """What came back: status, headers ([name, value], lower-case names), body."""

    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = [[name.lower(), value.strip()] for name, _, value in (line.partition(":") for line in lines[1:])]
        self.body = body

    def header(self, name):
        values = [value for key, value in self.headers if key == name.lower()]
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    @property
    def cause(self):
        """The two letters of an answer that Steelyard has made itself; None: a server has made it."""
        found = re.search(rb"Steelyard: ([A-Z]{2})", self.body)
        return found[1].decode() if found else None


class Connection:
    """A client's connection on which requests follow one another; `opened` is its socket. `begun` is the answer whose head
    has come and whose rest has not."""

    def __init__(self, opened):
        self.socket = opened
        self.buffer, self.begun = b"", None

    def send(self, octets):
        self.socket.sendall(octets if isinstance(octets, bytes) else octets.encode("latin-1"))

    def ask(self, path="/", method="GET", headers=(), body=b""):
        fields = "".join(f"{name}: {value}\r\n" for name, value in [("Host", "www.example"), *headers])
        if body:
            fields += f"Content-Length: {len(body)}\r\n"
        self.send(f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode() + body)
        return self.answer(method)

    def _more(self):
        octets = self.socket.recv(65536)
        if not octets:
            raise ConnectionError("the connection ends in the middle of an answer")
        self.buffer += octets

    def _until(self, mark):
        while mark not in self.buffer:
            self._more()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def take(self, octets):
        while len(self.buffer) < octets:
            self._more()
        taken, self.buffer = self.buffer[:octets], self.buffer[octets:]
        return taken

    def answer(self, method="GET"):
        """The next answer, whole."""
        self.begun = answer = Answer(self._until(b"\r\n\r\n"), b"")
        self._body_of(answer, method)
        self.begun = None
        return answer

    def _body_of(self, answer, method):
        if method == "HEAD" or answer.status in (204, 304) or answer.status < 200:
            return
        if answer.header("Transfer-Encoding") == "chunked":
            while size := int(self._until(b"\r\n").split(b";")[0], 16):
                answer.body += self.take(size)
                self.take(2)
            while line := self._until(b"\r\n"):
                answer.headers.append([part.strip().decode() for part in line.lower().split(b":")])
        elif answer.header("Content-Length") is not None:
            answer.body = self.take(int(answer.header("Content-Length")))
        else:
            answer.body = self.rest()

    def rest(self):
        """Everything until the other side closes."""
        while octets := self.socket.recv(65536):
            self.buffer += octets
        taken, self.buffer = self.buffer, b""
        return taken

    def closed(self):
        """Has the other side ended, orderly and without another word?"""
        return self.socket.recv(1) == b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def connect(client, address, port, source=None, timeout=10):
    return Connection(client.tcp(address, port, source, timeout))


def curl(client, address, port, path="/", *options, timeout=60):
    """What curl prints of the body; fails when curl does."""
    url = f"http://{endpoint(address, port)}{path}"
    return client.namespace.run("curl", "-sS", "--fail-with-body", "--max-time", timeout, *options, url, timeout=timeout + 5)
