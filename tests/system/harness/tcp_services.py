"""The userspace TCP as a process: steelyard_tcp_services on the wan link, and its control channel (tests/README.md)."""

import base64
import json
import os
import pathlib
import signal
import socket

from . import shell
from .plan import FAMILIES
from .steelyard import ROOT

READY = "ready"


def binary():
    """The program: $STEELYARD_TCP_SERVICES, else the one beside the steelyard under test, else the release build's."""
    named = os.environ.get("STEELYARD_TCP_SERVICES")
    build = pathlib.Path(os.environ.get("STEELYARD", ROOT / "build/release/control/steelyard")).resolve().parents[1]
    return pathlib.Path(named or build / "tests/services/steelyard_tcp_services")


class CallFailed(Exception):
    """An answer that says `ok: false`; `error` is its name, `answer` all of it."""

    def __init__(self, call, answer):
        super().__init__(f"{call}: {answer}")
        self.error, self.answer = answer["error"], answer


class Channel:
    """One client of the control channel. Calls may be begun before earlier ones have been answered."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60 * shell.PATIENCE)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")
        self._next, self._answers, self._calls = 0, {}, {}

    def begin(self, call, **fields):
        """Sends a call; returns what finish() takes."""
        self._next += 1
        if isinstance(fields.get("data"), bytes):
            fields["data"] = base64.b64encode(fields["data"]).decode()
        self._calls[self._next] = {"call": call, **fields}
        line = json.dumps({"id": self._next, "call": call, **fields})
        self._socket.sendall(line.encode() + b"\n")
        return self._next

    def finish(self, number):
        """Waits for the answer of a call; `data` in it is bytes."""
        while number not in self._answers:
            answer = json.loads(self._file.readline())
            self._answers[answer["id"]] = answer
        answer, call = self._answers.pop(number), self._calls.pop(number)
        if not answer["ok"]:
            call.pop("data", None)
            raise CallFailed(call, answer)
        if "data" in answer:
            answer["data"] = base64.b64decode(answer["data"])
        return answer

    def call(self, call, **fields):
        return self.finish(self.begin(call, **fields))

    def raw(self, line):
        """Sends a line as it is and returns the next answer."""
        self._socket.sendall(line + b"\n")
        return json.loads(self._file.readline())

    def listen(self, port, **fields):
        return TcpSocket(self, self.call("listen", port=port, **fields))

    def connect(self, address, port, **fields):
        return TcpSocket(self, self.call("connect", address=address, port=port, **fields))

    def close(self):
        self._file.close()
        self._socket.close()


class TcpSocket:
    """A socket of our TCP; what it can do is tests/README.md's list of calls."""

    def __init__(self, channel, answer):
        self.channel, self.answer, self.number = channel, answer, answer["socket"]

    def call(self, call, **fields):
        return self.channel.call(call, socket=self.number, **fields)

    def begin(self, call, **fields):
        return self.channel.begin(call, socket=self.number, **fields)

    def accept(self, **fields):
        return TcpSocket(self.channel, self.call("accept", **fields))

    def read(self, count, **fields):
        return self.call("read", count=count, **fields)["data"]

    def read_all(self, piece=1 << 20):
        """Reads to the end."""
        parts = []
        while data := self.read(piece):
            parts.append(data)
        return b"".join(parts)

    def write(self, data, **fields):
        return self.call("write", data=data, **fields)["count"]

    def shutdown(self, how="write"):
        self.call("shutdown", how=how)

    def close(self, **fields):
        self.call("close", **fields)

    def abort(self):
        self.call("abort")

    def info(self):
        return self.call("info")

    def wait(self, until, **fields):
        return self.call("wait", until=until, **fields)


class TcpServices:
    """The process, with the first VIP of both families, in the balancer's namespace."""

    def __init__(self, net, *arguments, device="net_af_packet0,iface=wan0", mtu=1500, name="tcp_services", gateway=False):
        self.net, self.path, self.log = net, net.dir / f"{name}.sock", net.dir / f"{name}.log"
        addresses = [f"--address={family.on(family.wan_network, family.vip())}" for family in FAMILIES.values()]
        gateways = [f"--gateway={family.client}" for family in FAMILIES.values()] if gateway else []
        argv = [binary(), f"--device={device}", *addresses, *gateways, f"--control={self.path}", f"--mtu={mtu}", *arguments]
        self.process = net.lb.spawn(argv, self.log)
        self.channels = []

    def start(self, timeout=20):
        shell.eventually(
            lambda: READY in self.process.log() or not self.process.running(), f"`{READY}` in {self.log}", timeout
        )
        if not self.process.running():
            raise AssertionError(f"steelyard_tcp_services ended at start:\n{self.process.log_tail()}")
        self.channel = self.open()
        return self

    def open(self):
        """Another client of the channel."""
        self.channels.append(Channel(self.path))
        return self.channels[-1]

    def counters(self):
        return self.channel.call("counters")

    def stop(self):
        """Ends it as an administrator would; the exit code."""
        for channel in self.channels:
            channel.close()
        self.process.signal(signal.SIGTERM)
        return self.process.wait()
