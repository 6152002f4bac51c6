"""The server behind the proxies that are compared: records exactly which octets arrive, answers each whole request by 200
and closes, and records what still comes on the connection after it. Speaks only what RFC 9112 allows without a doubt."""

import dataclasses
import re
import socket
import threading

from .listening import Listening

TIMEOUT = 10  # of a connection; no proxy is that slow
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Malformed(Exception):
    """What has arrived is not what a proxy should send."""


@dataclasses.dataclass
class Request:
    """One request as it arrived."""

    method: str
    target: str
    version: str
    fields: list  # (name, value), as they came
    framing: str = "none"  # or length, chunked
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)

    def values(self, name):
        return [value for key, value in self.fields if key.lower() == name]


@dataclasses.dataclass
class Arrival:
    """What came on one connection."""

    request: Request = None  # None: it was never whole
    octets: bytes = b""
    problem: str = ""


class _Reader:
    def __init__(self, connection, arrival):
        self.connection, self.arrival, self.at = connection, arrival, 0

    def _more(self):
        octets = self.connection.recv(65536)
        if not octets:
            raise EOFError
        self.arrival.octets += octets

    def line(self):
        """Up to the next CRLF."""
        while (end := self.arrival.octets.find(b"\r\n", self.at)) < 0:
            self._more()
        taken, self.at = self.arrival.octets[self.at : end], end + 2
        return taken.decode("latin-1")

    def take(self, count):
        while len(self.arrival.octets) < self.at + count:
            self._more()
        taken, self.at = self.arrival.octets[self.at : self.at + count], self.at + count
        return taken

    def fields(self):
        fields = []
        while line := self.line():
            found = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*", line, re.S)
            if not found or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", found[2]):
                raise Malformed(f"field {line!r}")
            fields.append((found[1], found[2]))
        return fields


def _read(reader):
    line = reader.line()
    found = re.fullmatch(r"([^ ]+) ([^ ]+) (HTTP/1\.[01])", line)
    if not found:
        raise Malformed(f"request line {line!r}")
    request = Request(*found.groups(), reader.fields())
    lengths, codings = request.values("content-length"), request.values("transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise Malformed(f"framing {lengths} {codings}")
    if codings:
        if codings[0].lower() != "chunked":
            raise Malformed(f"coding {codings[0]!r}")
        request.framing = "chunked"
        while size := _size(reader.line()):
            request.body += reader.take(size)
            if reader.take(2) != b"\r\n":
                raise Malformed("a chunk's end")
        request.trailers = reader.fields()
    elif lengths:
        if not re.fullmatch(r"[0-9]+", lengths[0]):
            raise Malformed(f"length {lengths[0]!r}")
        request.framing = "length"
        request.body = reader.take(int(lengths[0]))
    return request


def _size(line):
    if not re.fullmatch(r"[0-9A-Fa-f]+", line):
        raise Malformed(f"chunk {line!r}")
    return int(line, 16)


class Recorder:
    """Listens at one address; `take()` gives what has arrived since the last call."""

    def __init__(self, address, port):
        self._changed = threading.Condition()
        self._arrivals, self._open = [], 0
        self.close = Listening(address, port, self._serve, self._arrive).close

    def _arrive(self, connection):
        connection.settimeout(TIMEOUT)
        arrival = Arrival()
        with self._changed:
            self._open += 1
            self._arrivals.append(arrival)
        return arrival

    def _serve(self, connection, arrival):
        reader = _Reader(connection, arrival)
        try:
            with connection:
                request = _read(reader)
                arrival.request = request
                connection.sendall(ANSWER.removesuffix(b"ok") if request.method == "HEAD" else ANSWER)
                connection.shutdown(socket.SHUT_WR)
                while octets := connection.recv(65536):
                    arrival.octets += octets
                if len(arrival.octets) > reader.at:
                    arrival.problem = f"octets behind the request: {arrival.octets[reader.at:]!r}"
        except Malformed as fault:
            arrival.problem = str(fault)
        except TimeoutError:
            arrival.problem = "an open end"
        except (EOFError, OSError):
            pass  # the proxy has broken it off
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def take(self):
        """All arrivals since the last call, once their connections are over."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._open == 0, TIMEOUT + 2):
                raise AssertionError("a connection to the recording server stays open")
            arrivals, self._arrivals = self._arrivals, []
        return arrivals
