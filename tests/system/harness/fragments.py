"""IP fragments made by hand and put onto the client's wire (AF_PACKET), where the order is ours and not the kernel's."""

import ipaddress
import random
import socket
import struct

ETHER_TYPE = {4: 0x0800, 6: 0x86DD}
FRAGMENT_HEADER = 44
PIECE = 1440  # bytes of a fragment: a multiple of eight that fits 1,500 with an IPv6 header


def _sum(content):
    if len(content) % 2:
        content += b"\0"
    total = sum(struct.unpack(f"!{len(content) // 2}H", content))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def udp_datagram(source, source_port, destination, destination_port, payload):
    """A UDP datagram with its checksum, from its header on."""
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    length = 8 + len(payload)
    pseudo = ends + struct.pack("!II", length, socket.IPPROTO_UDP)
    header = struct.pack("!HHH", source_port, destination_port, length)
    checksum = 0xFFFF - _sum(pseudo + header + b"\0\0" + payload) or 0xFFFF
    return header + struct.pack("!H", checksum) + payload


def fragment(source, destination, identification, data, offset, more):
    """An IP packet: `data` at `offset` of the UDP datagram with this identification."""
    source, destination = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if source.version == 6:
        header = struct.pack("!BBHI", socket.IPPROTO_UDP, 0, offset | more, identification)
        fixed = struct.pack("!IHBB", 6 << 28, len(header) + len(data), FRAGMENT_HEADER, 64)
        return fixed + source.packed + destination.packed + header + data
    flags = offset // 8 | (0x2000 if more else 0)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), identification, flags, 64, socket.IPPROTO_UDP, 0)
    header += source.packed + destination.packed
    return header[:10] + struct.pack("!H", 0xFFFF - _sum(header)) + header[12:] + data


def cut(source, destination, identification, datagram):
    """The datagram as a list of fragments."""
    return [
        fragment(source, destination, identification, datagram[at : at + PIECE], at, at + PIECE < len(datagram))
        for at in range(0, len(datagram), PIECE)
    ]


class Wire:
    """Sends IP packets from the client's eth0 to the link address of `address`, whom the client has talked to."""

    def __init__(self, client, address):
        self._header = b"".join(
            bytes.fromhex(mac.replace(":", "")) for mac in (client.link_address(address), client.namespace.mac("eth0"))
        )
        with client.namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self._socket.bind(("eth0", 0))

    def send(self, packets):
        for packet in packets:
            self._socket.send(self._header + struct.pack("!H", ETHER_TYPE[packet[0] >> 4]) + packet)

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Flood:
    """Later fragments of datagrams that have no first one, 32 a step."""

    def __init__(self, wire, source, destination, seed=1):
        self.wire, self.source, self.destination = wire, source, destination
        self.random = random.Random(seed)
        self.sent = 0

    def step(self):
        ids = (self.random.randrange(1 << 16) for _ in range(32))
        self.wire.send([fragment(self.source, self.destination, number, b"x" * 64, PIECE, True) for number in ids])
        self.sent += 32
