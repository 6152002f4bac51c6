"""Session cookies as dataplane/http/cookie.h describes them, made by other means: values for tests that need one which a
server of their own would not give them (old, of the future, forged, of a server that is gone)."""

import base64
import ipaddress

MASK = (1 << 64) - 1


def _rotate(word, bits):
    return (word << bits | word >> (64 - bits)) & MASK


def siphash(key, words):
    """SipHash-2-4 (Aumasson, Bernstein 2012) of whole 64-bit words; `key` is two words."""
    v0, v1 = key[0] ^ 0x736F6D6570736575, key[1] ^ 0x646F72616E646F6D
    v2, v3 = key[0] ^ 0x6C7967656E657261, key[1] ^ 0x7465646279746573

    def rounds(count):
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0, v1 = (v0 + v1) & MASK, _rotate(v1, 13)
            v1, v0 = v1 ^ v0, _rotate(v0, 32)
            v2, v3 = (v2 + v3) & MASK, _rotate(v3, 16)
            v3 ^= v2
            v0, v3 = (v0 + v3) & MASK, _rotate(v3, 21)
            v3 ^= v0
            v2, v1 = (v2 + v1) & MASK, _rotate(v1, 17)
            v1, v2 = v1 ^ v2, _rotate(v2, 32)

    for word in [*words, (8 * len(words) & 0xFF) << 56]:
        v3 ^= word
        rounds(2)
        v0 ^= word
    v2 ^= 0xFF
    rounds(4)
    return v0 ^ v1 ^ v2 ^ v3


def _text(*words):
    octets = b"".join(word.to_bytes(8, "big") for word in words)
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


class Cookies:
    """What a Steelyard with this key (32 octets) makes and understands."""

    def __init__(self, key):
        halves = [[int.from_bytes(key[at : at + 8], "little") for at in range(begin, begin + 16, 8)] for begin in (0, 16)]

        def derived(purpose):
            return [siphash(halves[0], [purpose, place]) ^ siphash(halves[1], [purpose, place + 2]) for place in (0, 1)]

        self._tag_key, self._value_key, self._mark_key = derived(1), derived(2), derived(3)

    def _tag(self, address, port):
        parsed = ipaddress.ip_address(address)
        octets = parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed
        words = [int.from_bytes(octets[at : at + 8], "little") for at in (0, 8)]
        return siphash(self._tag_key, [*words, port])

    def value(self, address, port, last_seen, first_seen):
        """The value of an inserted cookie; times in seconds since 1970."""
        tag, stamps = self._tag(address, port), int(last_seen) << 32 | int(first_seen)
        return _text(tag, stamps, siphash(self._value_key, [tag, stamps]))

    def mark(self, address, port):
        """What stands before a server's own value."""
        tag = self._tag(address, port)
        return _text(tag, siphash(self._mark_key, [tag])) + "~"
