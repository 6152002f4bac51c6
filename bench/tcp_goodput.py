#!/usr/bin/python3
"""Goodput of the userspace TCP over a wire with losses, beside the kernel's over the same wire (root; namespaces of its own).

    bench/tcp_goodput.py [--loss PPM] [--reorder PPM] [--delay-us N] [--octets N] [--rounds N]

Rounds in turns: kernel to kernel, ours to the kernel, the kernel to ours; CUBIC on every kernel socket, TSO, GSO and GRO off. The seeds of
the wire are the rounds' numbers, the same for all three. Prints megabits a second, medians, and the ratios (goal: 0.9).
"""

import argparse
import pathlib
import socket
import statistics
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "system"))

from harness.clients import Client  # noqa: E402  (the path above comes first)
from harness.plan import FAMILIES  # noqa: E402
from harness.tcp_services import TcpServices  # noqa: E402
from harness.wire import WireNet  # noqa: E402

FAMILY = FAMILIES["ipv4"]
DISCARD, SOURCE, KERNEL = 9, 19, 5001
BUFFER = 262_144


def prepare(opened):
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    return opened


def read_all(connection):
    count = 0
    while part := connection.recv(1 << 20):
        count += len(part)
    return count


def megabits(octets, seconds):
    return octets * 8 / seconds / 1e6


def serve(net, octets):
    """A kernel in the balancer's place: sends `octets` to whoever connects."""
    with net.lb.entered():
        listener = socket.create_server((FAMILY.vip(), KERNEL))
    prepare(listener)

    def one():
        connection, _ = listener.accept()
        with connection:
            prepare(connection).sendall(bytes(octets))
        listener.close()

    thread = threading.Thread(target=one)
    thread.start()
    return thread


def receive(client, port, octets, request):
    begun = time.monotonic()
    with client.tcp(FAMILY.vip(), port, timeout=300) as connection:
        if request:
            connection.sendall(b"%d\n" % octets)
        if read_all(connection) != octets:
            raise SystemExit("octets are missing")
    return megabits(octets, time.monotonic() - begun)


def send(client, octets):
    begun = time.monotonic()
    with prepare(client.tcp(FAMILY.vip(), DISCARD, timeout=300)) as connection:
        connection.sendall(bytes(octets))
        connection.shutdown(socket.SHUT_WR)
        read_all(connection)  # its FIN says that it has everything
    return megabits(octets, time.monotonic() - begun)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loss", type=int, default=10_000, help="of a million")
    parser.add_argument("--reorder", type=int, default=0, help="of a million")
    parser.add_argument("--delay-us", type=int, default=10_000, help="each way")
    parser.add_argument("--octets", type=int, default=12_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    results = {"kernel to kernel": [], "ours to the kernel": [], "the kernel to ours": []}
    for number in range(options.rounds):
        wire = {"delay_us": options.delay_us, "loss": options.loss, "reorder": options.reorder, "seed": number}
        net = WireNet(kernel=True, **wire)
        thread = serve(net, options.octets)
        results["kernel to kernel"].append(receive(Client(net), KERNEL, options.octets, request=False))
        thread.join()
        net.close()
        for name, measure in (
            ("ours to the kernel", lambda client: receive(client, SOURCE, options.octets, request=True)),
            ("the kernel to ours", lambda client: send(client, options.octets)),
        ):
            net = WireNet(**wire)
            tcp = TcpServices(net).start()
            results[name].append(measure(Client(net)))
            tcp.process.kill()
            net.close()
    base = statistics.median(results["kernel to kernel"])
    for name, figures in results.items():
        median = statistics.median(figures)
        each = " ".join(f"{figure:.1f}" for figure in figures)
        print(f"{name:20} {median:8.2f} Mbit/s  {median / base:5.2f}  ({each})")


if __name__ == "__main__":
    main()
