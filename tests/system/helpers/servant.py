"""A server for the system tests: TCP and UDP on any number of sockets, told apart by its name.

Runs inside a server's namespace. Specification (one JSON argument):
    {"name": "a", "tcp": [[address, port, "echo" | "close" | "proxied"], ...], "udp": [[address, port], ...]}
A TCP connection is greeted with "<name>\n"; `echo` then returns every byte, `close` closes at once (so that this side
has the TIME_WAIT), `proxied` reads a PROXY header of version 2, says in a line whose it is and then returns every byte.
A datagram is answered with "<name> " and the datagram. Prints "ready"; a line "report" on standard input prints, per
peer address, what happened, and the most connections that there were at a time; the end of standard input ends the
program.
"""

import collections
import ipaddress
import json
import selectors
import socket
import sys

BACKLOG = 16384
# Accepting in batches keeps a flood of connections from starving the established ones, and the other way round.
ACCEPT_BATCH = 64
EVENTS = ("accepted", "ended", "reset", "datagrams")


class Servant:
    def __init__(self, spec):
        self.greeting = spec["name"].encode() + b"\n"
        self.answer = spec["name"].encode() + b" "
        self.selector = selectors.EpollSelector()
        self.counts = {event: collections.Counter() for event in EVENTS}
        self.open = self.most_open = 0
        self.running = True
        for address, port, behaviour in spec.get("tcp", []):
            self._listen(address, port, behaviour)
        for address, port in spec.get("udp", []):
            self._bind(address, port)
        sys.stdin.reconfigure(line_buffering=True)
        self.selector.register(sys.stdin, selectors.EVENT_READ, self._command)

    @staticmethod
    def _socket(address, kind):
        opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return opened

    def _listen(self, address, port, behaviour):
        listener = self._socket(address, socket.SOCK_STREAM)
        listener.bind((address, port))
        listener.listen(BACKLOG)
        accept = {
            "echo": lambda listener, _mask: self._accept_streams(listener, Stream),
            "proxied": lambda listener, _mask: self._accept_streams(listener, ProxiedStream),
            "close": self._accept_close,
        }[behaviour]
        self.selector.register(listener, selectors.EVENT_READ, accept)

    def _bind(self, address, port):
        opened = self._socket(address, socket.SOCK_DGRAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        opened.bind((address, port))
        self.selector.register(opened, selectors.EVENT_READ, self._datagram)

    def _accepted(self, listener):
        for _ in range(ACCEPT_BATCH):
            try:
                connection, peer = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            self.counts["accepted"][peer[0]] += 1
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            try:
                connection.send(self.greeting)
            except OSError:
                self._over(connection, peer[0], "reset")
                continue
            yield connection, peer[0]

    def _accept_close(self, listener, _mask):
        for connection, peer in self._accepted(listener):
            self._over(connection, peer, "ended")

    def _accept_streams(self, listener, kind):
        for connection, peer in self._accepted(listener):
            connection.setblocking(False)
            stream = kind(self, connection, peer)
            self.selector.register(connection, selectors.EVENT_READ, stream.ready)

    def _over(self, connection, peer, how):
        self.counts[how][peer] += 1
        self.open -= 1
        connection.close()

    def forget(self, connection, peer, how):
        self.selector.unregister(connection)
        self._over(connection, peer, how)

    def _datagram(self, opened, _mask):
        for _ in range(ACCEPT_BATCH):
            try:
                data, peer = opened.recvfrom(65536)
                self.counts["datagrams"][peer[0]] += 1
                opened.sendto(self.answer + data, peer)
            except BlockingIOError:
                return
            except OSError:
                continue

    def _command(self, stdin, _mask):
        line = stdin.readline()
        if not line:
            self.running = False
        elif line.strip() == "report":
            print(json.dumps({**self.counts, "most_open": self.most_open}), flush=True)

    def run(self):
        print("ready", flush=True)
        while self.running:
            for key, mask in self.selector.select():
                key.data(key.fileobj, mask)


class Stream:
    """One echo connection; reads nothing more while the peer does not take what it was sent."""

    def __init__(self, servant, connection, peer):
        self.servant, self.connection, self.peer = servant, connection, peer
        self.pending = b""

    def answer_to(self, received):
        return received

    def ready(self, connection, _mask):
        try:
            if not self.pending:
                received = connection.recv(65536)
                if not received:
                    self.servant.forget(connection, self.peer, "ended")
                    return
                self.pending = self.answer_to(received)
                if not self.pending:
                    return
            sent = connection.send(self.pending)
            self.pending = self.pending[sent:]
        except BlockingIOError:
            pass
        except OSError:
            self.servant.forget(connection, self.peer, "reset")
            return
        wanted = selectors.EVENT_WRITE if self.pending else selectors.EVENT_READ
        self.servant.selector.modify(connection, wanted, self.ready)


class ProxiedStream(Stream):
    """Expects a PROXY header first (haproxy's doc/proxy-protocol.txt, section 2.2) and answers it by a line."""

    SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

    def __init__(self, servant, connection, peer):
        super().__init__(servant, connection, peer)
        self.header = b""
        self.complete = False

    def answer_to(self, received):
        if self.complete:
            return received
        self.header += received
        length = 16 + int.from_bytes(self.header[14:16], "big")
        if len(self.header) < max(16, length):
            return b""
        self.complete = True
        return self._describe(self.header[:length]) + self.header[length:]

    def _describe(self, header):
        size = {0x11: 4, 0x21: 16}.get(header[13])
        if not header.startswith(self.SIGNATURE) or header[12] != 0x21 or size is None or len(header) != 20 + 2 * size:
            return f"no header: {header.hex()}\n".encode()
        client, vip = (ipaddress.ip_address(header[16 + at : 16 + at + size]) for at in (0, size))
        ports = [int.from_bytes(header[at : at + 2], "big") for at in (len(header) - 4, len(header) - 2)]
        return f"{client} {ports[0]} {vip} {ports[1]}\n".encode()


if __name__ == "__main__":
    Servant(json.loads(sys.argv[1])).run()
