"""The other end of a VLAN, for kernels without 8021q: a TAP device whose frames are tagged on a link, and back.

    vlan_end.py LINK ID NAME

Prints "ready" when the device NAME is there; the end of standard input ends the program. The device goes with it.
"""

import fcntl
import os
import selectors
import socket
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
ETH_P_ALL = 3
TAG = 0x8100
SOL_PACKET, PACKET_AUXDATA = 263, 8
PACKET_OUTGOING = 4
# struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
AUXDATA = struct.Struct("IIIHHHH")
TP_STATUS_VLAN_VALID = 1 << 4
LARGEST = 65536


def open_device(name):
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    os.set_blocking(device, False)
    return device


def tag_of(ancillary):
    """The VLAN of a received frame: the kernel has taken the tag out of it."""
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            fields = AUXDATA.unpack(data)
            if fields[0] & TP_STATUS_VLAN_VALID:
                return fields[5] & 0xFFF
    return 0


def main():
    link, vlan, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    device = open_device(name)
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    wire.bind((link, 0))
    wire.setblocking(False)
    selector = selectors.DefaultSelector()
    for source in (device, wire, sys.stdin):
        selector.register(source, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            try:
                if key.fileobj is wire:
                    frame, ancillary, _, sender = wire.recvmsg(LARGEST, 256)
                    if sender[2] != PACKET_OUTGOING and tag_of(ancillary) == vlan:
                        os.write(device, frame)
                elif key.fileobj == device:
                    frame = os.read(device, LARGEST)
                    wire.send(frame[:12] + struct.pack(">HH", TAG, vlan) + frame[12:])
                elif not sys.stdin.readline():
                    return
            except BlockingIOError:
                continue
            except OSError:
                continue  # the device is down


if __name__ == "__main__":
    main()
