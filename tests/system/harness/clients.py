"""What users do: open connections, send datagrams, fetch pages; singly from this process or by the thousand from a helper.

Sockets are opened inside the client namespace and then used from anywhere. `source` is one of the client's addresses
(plan.py: the near one, or a far one behind the gateway).
"""

import contextlib
import json
import socket
import threading
import time

from .build import helper
from .shell import PATIENCE


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Client:
    def __init__(self, net, namespace=None):
        self.net = net
        self.namespace = namespace or net.client

    def _socket(self, address, kind, source, timeout):
        with self.namespace.entered():
            opened = socket.socket(family_of(address), kind)
        opened.settimeout(timeout * PATIENCE)
        if source is not None:
            opened.bind((source, 0))
        return opened

    def tcp(self, address, port, source=None, timeout=5, receive_buffer=None):
        """A connected TCP socket; `receive_buffer`: octets (SO_RCVBUF)."""
        opened = self._socket(address, socket.SOCK_STREAM, source, timeout)
        if receive_buffer is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            opened.connect((address, port))
        except BaseException:
            opened.close()
            raise
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def udp(self, address, port, source=None, timeout=5):
        """A connected UDP socket, so that ICMP errors arrive as exceptions."""
        opened = self._socket(address, socket.SOCK_DGRAM, source, timeout)
        opened.connect((address, port))
        return opened

    def echo(self, address, port, source=None):
        """An EchoConnection to an echo listener."""
        return EchoConnection(self.tcp(address, port, source))

    def ask_udp(self, address, port, source=None, payload=b"ping", tries=1):
        """Sends one datagram; returns (server's name, echoed payload)."""
        with self.udp(address, port, source, timeout=2) as opened:
            for attempt in range(tries):
                opened.send(payload)
                try:
                    name, _, echoed = opened.recv(65536).partition(b" ")
                    return name.decode(), echoed
                except TimeoutError:
                    if attempt + 1 == tries:
                        raise

    def get(self, address, port, path="/", source=None, timeout=5):
        """(status, body) of an HTTP/1.0 request."""
        with self.tcp(address, port, source, timeout) as opened:
            opened.sendall(f"GET {path} HTTP/1.0\r\nHost: test\r\n\r\n".encode())
            answer = b"".join(iter(lambda: opened.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def _connector(self, address, port, count, concurrency, sources, flags):
        arguments = [helper("connector"), address, port, "--count", count, "--concurrency", concurrency]
        arguments += ["--timeout", int(10000 * PATIENCE)]
        for source in sources:
            arguments += ["--from", source]
        return [*arguments, *flags]

    def connect_many(self, address, port, count, concurrency=16, sources=(), close_first=False, timeout=300):
        """Opens `count` connections, each until its greeting; the connector's report (see helpers/connector.c)."""
        flags = ["--close-first"] if close_first else []
        arguments = self._connector(address, port, count, concurrency, sources, flags)
        return json.loads(self.namespace.run(*arguments, timeout=timeout))

    @contextlib.contextmanager
    def hold_many(self, address, port, count, sources=()):
        """Holds `count` connections open meanwhile; gives the report, `alive` joins it at the end."""
        arguments = self._connector(address, port, count, count, sources, ["--hold"])
        process = self.namespace.spawn(arguments, self.net.dir / "connector.log", pipes=True)
        try:
            report = json.loads(process.popen.stdout.readline())
            yield report
            process.popen.stdin.close()
            report.update(json.loads(process.popen.stdout.readline()))
        finally:
            process.kill()

    def syn_flood(self, address, port, rate, seconds, seed=1):
        """Starts a flood of spoofed IPv4 SYNs; the Process prints {"sent": n} at its end."""
        link = self.link_address(address)
        arguments = [helper("synflood"), "eth0", link, address, port, int(rate), seconds, seed]
        return self.namespace.spawn(arguments, self.net.dir / "synflood.log", pipes=True)

    def link_address(self, address):
        """The link address that the client's kernel has learned for an address it has talked to."""
        for word in (words := self.namespace.run("ip", "neigh", "show", address).split()):
            if word == "lladdr":
                return words[words.index(word) + 1]
        raise AssertionError(f"the client's kernel has no neighbour entry for {address}")

    def ping(self, address, count=3, size=56):
        """True when every echo request was answered."""
        self.namespace.run("ping", "-n", "-c", count, "-i", "0.2", "-W", "2", "-s", size, address)
        return True


class EchoConnection:
    """A connection to an echo server: knows who answered and can prove that it still works."""

    def __init__(self, opened):
        self.socket = opened
        self.name = self._line()

    def _line(self):
        line = b""
        while not line.endswith(b"\n"):
            byte = self.socket.recv(1)
            if not byte:
                raise ConnectionError("closed before a line was complete")
            line += byte
        return line[:-1].decode()

    def say(self, text):
        """Sends a line and returns what came back."""
        self.socket.sendall(text.encode() + b"\n")
        return self._line()

    def exchange(self, content, timeout=30):
        """Sends everything while receiving everything; returns what came back."""
        self.socket.settimeout(timeout * PATIENCE)
        sender = threading.Thread(target=self.socket.sendall, args=(content,), daemon=True)
        sender.start()
        received = bytearray()
        while len(received) < len(content):
            chunk = self.socket.recv(1 << 16)
            if not chunk:
                break
            received += chunk
        sender.join(timeout * PATIENCE)
        return bytes(received)

    def wait_for_reset(self, timeout):
        """Blocks until the peer ends the connection; True when by a reset, False when orderly."""
        self.socket.settimeout(timeout * PATIENCE)
        try:
            self.socket.recv(1)
            return False
        except ConnectionResetError:
            return True

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Background:
    """A thread that repeats `step()` until stopped; `check()` raises what it raised."""

    def __init__(self, step, pause=0.0):
        self._step, self._pause = step, pause
        self._stop = threading.Event()
        self.turns, self.error = 0, None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.is_set():
                self._step()
                self.turns += 1
                time.sleep(self._pause)
        except BaseException as error:  # handed to the test's thread by check()
            self.error = error

    def check(self):
        if self.error is not None:
            raise AssertionError(f"broke after {self.turns} turns: {self.error!r}") from self.error

    def finish(self, timeout=30):
        self._stop.set()
        self._thread.join(timeout * PATIENCE)
        if self._thread.is_alive():
            raise AssertionError(f"a background step hangs after {self.turns} turns")
        self.check()
        return self.turns


class Download:
    """A slow HTTP download in a thread; `finish()` returns the body."""

    def __init__(self, client, address, port, path, source=None):
        self.socket = client.tcp(address, port, source, timeout=30)
        self.socket.sendall(f"GET {path} HTTP/1.0\r\nHost: test\r\n\r\n".encode())
        self.received, self.error = b"", None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        chunks = []
        try:
            while chunk := self.socket.recv(1 << 16):
                chunks.append(chunk)
        except OSError as error:
            self.error = error
        self.received = b"".join(chunks).partition(b"\r\n\r\n")[2]
        self.socket.close()

    def running(self):
        return self._thread.is_alive()

    def finish(self, timeout=120):
        self._thread.join(timeout * PATIENCE)
        if self.running():
            raise AssertionError("the download hangs")
        if self.error is not None:
            raise AssertionError(f"the download broke: {self.error!r}")
        return self.received
