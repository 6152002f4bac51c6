"""The odd answers: a table like that of the odd requests, and the server that gives them."""

import dataclasses

from .cases import BODIES, CHUNKS, CODINGS, LENGTHS, named
from .listening import Listening

OK = "HTTP/1.1 200 OK\r\n"
HINTS = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
SHORT = f"{OK}Content-Length: 3\r\n\r\nabc"
CANARY = b"HTTP/1.1 200 OK\r\nX-Canary: yes\r\nContent-Length: 6\r\n\r\ncanary"


@dataclasses.dataclass(frozen=True)
class OddAnswer:
    """What a server says to a request of `method`; `stays`: its connection stays open then."""

    name: str
    octets: bytes
    method: str = "GET"
    stays: bool = False


STATUS_LINES = ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1  200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 099 OK", "HTTP/1.1 600 OK",
                "HTTP/1.1 999 OK", "HTTP/1.1 2x0 OK", "HTTP/1.1 -200 OK", "HTTP/1.0 200 OK", "HTTP/1.2 200 OK", "HTTP/2.0 200 OK", "HTTP/2 200 OK",
                "http/1.1 200 OK", "ICY 200 OK", "HTTP/1.1\t200\tOK", "HTTP/1.1 200\tOK", " HTTP/1.1 200 OK", "\r\nHTTP/1.1 200 OK", "\nHTTP/1.1 200 OK",
                "HTTP/1.1 200 O\1K", "HTTP/1.1 200 O\0K", "HTTP/1.1 200 \xe4", "HTTP/1.1 200 O\rK", "HTTP/1.1 200OK", "200 OK", "hello", "",
                "HTTP/1.1 200 \r\nX: y"]
FIELDS = ["X: y\n", "X: y\rz\r\n", "X: y\0z\r\n", "X: y\7\r\n", "X: y\x7f\r\n", "X: y\r\n z\r\n", "X: y\r\n Transfer-Encoding: chunked\r\n", "X : y\r\n", ": y\r\n",
          "X\r\n", "X Y: z\r\n", "X: \xe4\r\n", "X\xe4: y\r\n", " X: y\r\n", "X:\r\n", "Connection: Content-Length\r\n", "Connection: X\r\nX: y\r\n",
          "Upgrade: h2c\r\nConnection: Upgrade\r\n", "Content-Length: 4\r\n", "Content-Length: 3\r\n", "Content-Length:\r\n", "content_length: 4\r\n",
          "Transfer-Encoding: chunked\r\n", "Transfer-Encoding:\r\n", "Transfer-Encoding : chunked\r\n", "Transfer_Encoding: chunked\r\n",
          "X: y\nTransfer-Encoding: chunked\r\n", "X-Long: " + "y" * 9000 + "\r\n", "X: y\r\n" * 300, "x" * 300 + ": y\r\n"]
FRAMINGS = {"none": ("", ""), "length-0": ("Content-Length: 0\r\n", ""), "length": ("Content-Length: 3\r\n", ""), "body": ("Content-Length: 3\r\n", "abc"),
            "coding": ("Transfer-Encoding: chunked\r\n", ""), "chunks": ("Transfer-Encoding: chunked\r\n", CHUNKS)}
WHOLE = {
    "two": SHORT + SHORT,
    "garbage-behind": SHORT + "garbage",
    "crlf-behind": SHORT + "\r\n",
    "hints-behind": SHORT + HINTS,
    "hints": HINTS + SHORT,
    "much-hints": HINTS * 100 + SHORT,
    "hints-alone": HINTS,
    "hints-with-length": "HTTP/1.1 103 E\r\nContent-Length: 3\r\n\r\n" + SHORT,
    "hints-with-body": "HTTP/1.1 103 E\r\nContent-Length: 3\r\n\r\nabc" + SHORT,
    "hints-with-coding": "HTTP/1.1 103 E\r\nTransfer-Encoding: chunked\r\n\r\n" + SHORT,
    "switching": "HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + SHORT,
    "until-close": OK + "\r\nabc",
    "until-close-1.0": "HTTP/1.0 200 OK\r\n\r\nabc",
    "keep-alive-without-length": OK + "Connection: keep-alive\r\n\r\nabc",
    "half-a-head": OK + "X: y",
    "nothing": "",
    "answer-in-a-body": f"{OK}Content-Length: {len(SHORT)}\r\n\r\n{SHORT}",
}


def odd_answers():
    texts = {f"line/{named(line)}": f"{line}\r\nContent-Length: 3\r\n\r\nabc" for line in STATUS_LINES}
    texts |= {f"field/{named(field)}": f"{OK}{field}Content-Length: 3\r\n\r\nabc" for field in FIELDS}
    texts |= {f"length/{named(length)}": f"{OK}Content-Length: {length}\r\n\r\nabc" for length in LENGTHS}
    texts |= {f"coding/{named(coding)}": f"{OK}Transfer-Encoding: {coding}\r\n\r\n{CHUNKS}" for coding in CODINGS}
    texts |= {f"chunks/{name}": f"{OK}Transfer-Encoding: chunked\r\n\r\n{body}" for name, body in BODIES.items()}
    for status in ("150 X", "204 No Content", "205 Reset Content", "304 Not Modified"):
        texts |= {f"{status[:3]}/{name}": f"HTTP/1.1 {status}\r\n{fields}\r\n{body}" for name, (fields, body) in FRAMINGS.items()}
    odd = [OddAnswer(name, text.encode("latin-1")) for name, text in {**texts, **WHOLE}.items()]
    odd += [OddAnswer(f"head/{name}", f"{OK}{fields}\r\n{body}".encode(), "HEAD", True) for name, (fields, body) in FRAMINGS.items()]
    odd += [OddAnswer(f"stays/{name}", WHOLE[name].encode(), stays=True) for name in ("two", "garbage-behind", "crlf-behind", "hints-behind")]
    return odd


class OddServer:
    """Answers `/N` by the N-th odd answer, and `/canary` as it should be; connections stay when that is so."""

    def __init__(self, address, port):
        self.answers = odd_answers()
        self.close = Listening(address, port, self._serve).close

    def _serve(self, connection, _):
        received = b""
        try:
            with connection:
                while True:
                    while b"\r\n\r\n" not in received:
                        octets = connection.recv(65536)
                        if not octets:
                            return
                        received += octets
                    head, _, received = received.partition(b"\r\n\r\n")
                    target = head.split()[1].decode()
                    if target == "/canary":
                        connection.sendall(CANARY)
                        continue
                    answer = self.answers[int(target[1:])]
                    connection.sendall(answer.octets)
                    if not answer.stays:
                        return
        except OSError:
            pass  # the other side has had enough
