#!/usr/bin/python3
"""Clients that ask for 10 MB and never read: what they cost those who do.

    sudo bench/http_stalled.py [--readers N] [--pairs N] [--seconds N] [--buffers N]

Runs wrk against a listener with and without so many stalled readers beside it, in turns, and compares the 99th percentiles;
a layer-4 listener of the same process is asked meanwhile. Where buffers are short, those who hold most are reset so that others come
in; how many is told. Afterwards one of the readers takes what it asked for, byte for byte. Fails when a goal is missed.
"""

import argparse
import contextlib
import pathlib
import re
import resource
import socket
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import http_compare  # noqa: E402  (the path above comes first)
from harness import config, http  # noqa: E402
from harness.clients import Client  # noqa: E402
from harness.plan import IPV4  # noqa: E402
from harness.shell import eventually  # noqa: E402
from harness.steelyard import Steelyard  # noqa: E402

LARGE_PORT = 8001
LARGE = bytes(range(251)) * (10_000_000 // 251)
SOURCES = 64
# What each of them makes this kernel hold: with much more all of them come near its limit for TCP (tcp_mem), and it is what is
# measured.
SMALL = 8_192
# The server has half a CPU for ten thousand connections that begin: it is late, not ill.
PATIENT = {"path": "/large", "timeout": 60, "unhealthy_threshold": 10}


class LargeFiles(http_compare.Stage):
    """The server has a large file, too, of which it keeps little for each reader."""

    def __init__(self):
        super().__init__()
        folder = self.net.dir / "files"
        folder.mkdir()
        folder.chmod(0o755)
        (folder / "large").write_bytes(LARGE)
        configuration = f"""daemon off;
worker_processes 4;  # a reader costs a worker two of 20,000 files
worker_rlimit_nofile 20000;
pid {folder}/pid;
error_log {folder}/error.log crit;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    sendfile on;
    server {{
        listen {IPV4.server(0)}:{LARGE_PORT} backlog=8192 sndbuf=32k;
        send_timeout 600s;
        root {folder};
    }}
}}
"""
        (folder / "nginx.conf").write_text(configuration)
        argv = ["nginx", "-e", folder / "start.log", "-c", folder / "nginx.conf", "-p", folder]
        self.spawn(self.net.servers[0], 0, *argv, name="large")
        eventually((folder / "pid").exists, "nginx starts")


@contextlib.contextmanager
def stalled(stage, steelyard, count):
    """So many connections whose answers have begun, and are not read; on leaving they are gone everywhere, in the kernels, too."""
    client, readers = Client(stage.net), []
    try:
        for number in range(count):
            reader = http.Connection(client.tcp(IPV4.vip(), 81, IPV4.far(number % SOURCES), 30, SMALL))
            readers.append(reader)
            reader.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        for reader in readers:
            with contextlib.suppress(ConnectionResetError):  # that one had to go for another
                reader.buffer = reader.socket.recv(12, socket.MSG_WAITALL)
                if reader.buffer != b"HTTP/1.1 200":
                    raise SystemExit(f"a stalled reader was answered {reader.buffer}")
        yield readers
    finally:
        for reader in readers:
            reader.socket.close()  # a reset, since there is what was not read
        eventually(lambda: steelyard.stats()["workers"][0]["http"]["exchanges"] == 0, "no request is left", timeout=60)


def is_reset(reader):
    try:
        reader.socket.setblocking(False)
        reader.socket.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    finally:
        reader.socket.settimeout(30)
    return False


def p99(stage, arguments):
    report = stage.wrk(IPV4.vip(), 80, arguments)
    if "Socket errors" in report or "Non-2xx" in report:
        raise SystemExit(f"others are disturbed: {report}")
    return http_compare.milliseconds(re.search(r"^\s+99%\s+(\S+)", report, re.MULTILINE)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readers", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    # Both kernels ask a stalled side again and again, less and less often; that is their time, on the CPU that wrk has.
    parser.add_argument("--settle", type=float, default=10, metavar="SECONDS", help="wait so long for stalled readers to rest")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--buffers", type=int, default=131_072, help="packet buffers of the worker")
    arguments = parser.parse_args()
    arguments.new = False
    resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))
    stage = LargeFiles()
    try:
        document = config.base(
            1,
            load_balancers=[
                config.load_balancer(
                    "bench",
                    IPV4.vip(),
                    config.listener(80, "http"),
                    config.listener(81, "http", group="large", check=PATIENT, request_timeout=180),
                    config.listener(82, "tcp", mode="fullnat"),
                )
            ],
            server_groups=[
                config.group("web", IPV4, http_compare.PORT, weights=(100,)),
                config.group("large", IPV4, LARGE_PORT, weights=(100,)),
            ],
            memory={"hugepages": "auto", "packet_buffers": arguments.buffers, "connections": 65_536},
        )
        document["workers"].update(cpus=[1])
        steelyard = Steelyard(stage.net, document)
        steelyard.start()
        alone, beside, memory, reset = [], [], [], []
        for _ in range(arguments.pairs):
            memory.append(steelyard.resident())
            alone.append(p99(stage, arguments))
            with stalled(stage, steelyard, arguments.readers) as readers:
                time.sleep(arguments.settle)
                beside.append(p99(stage, arguments))
                memory.append(steelyard.resident())
                layer4 = stage.wrk(IPV4.vip(), 82, argparse.Namespace(**{**vars(arguments), "seconds": 1}))
                if "Socket errors" in layer4 or "requests in" not in layer4:
                    raise SystemExit(f"layer 4 is disturbed: {layer4}")
                reset.append(sum(is_reset(reader) for reader in readers))
                kept = next(reader for reader in reversed(readers) if not is_reset(reader)).answer()
                if (kept.status, kept.body) != (200, LARGE):
                    raise SystemExit("what a stalled reader got at last is not what was sent")
        growth = (max(memory) - memory[0]) / 2**20
        steelyard.stop()
    finally:
        stage.close()
    ratio = statistics.median(with_them / without for without, with_them in zip(alone, beside))
    print(f"p99 of the others, ms: alone {alone}, beside {arguments.readers} stalled readers {beside}, reset of them {reset}")
    print(f"median ratio {ratio:.2f} (goal 2); memory grew by {growth:.0f} MiB beyond its buffers")
    if ratio > 2:
        raise SystemExit("missed")


if __name__ == "__main__":
    main()
