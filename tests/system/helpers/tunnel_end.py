"""The server's end of IP tunnels, for kernels without ipip and sit: takes outer packets of both families from raw sockets
and gives what is inside to its own kernel by a TUN device. Outer fragments have been joined by the kernel before.

Prints "ready"; a line "report" on standard input prints {"sources": {outer source: packets}, "largest": bytes}; the end of
standard input ends the program. The device goes with it.
"""

import collections
import fcntl
import json
import os
import selectors
import socket
import struct
import subprocess
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
IPV4_INSIDE, IPV6_INSIDE = 4, 41
LARGEST = 65536


def open_device(name):
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", name, "up", "mtu", "65535"], check=True)
    return device


def main():
    device = open_device("tunnel0")
    selector = selectors.DefaultSelector()
    sources, largest = collections.Counter(), 0
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol in (IPV4_INSIDE, IPV6_INSIDE):
            opened = socket.socket(family, socket.SOCK_RAW, protocol)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            opened.setblocking(False)
            selector.register(opened, selectors.EVENT_READ, family)
    sys.stdin.reconfigure(line_buffering=True)
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                if not sys.stdin.readline():
                    return
                print(json.dumps({"sources": sources, "largest": largest}), flush=True)
                continue
            try:
                packet, peer = key.fileobj.recvfrom(LARGEST)
            except BlockingIOError:
                continue
            # A raw socket of IPv4 shows the header, one of IPv6 does not.
            inner = packet[(packet[0] & 15) * 4 :] if key.data == socket.AF_INET else packet
            sources[peer[0]] += 1
            largest = max(largest, len(inner))
            os.write(device, inner)


if __name__ == "__main__":
    main()
