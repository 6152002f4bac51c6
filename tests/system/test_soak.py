"""Everything at once: loads of every mode and family, a reload each second, a server that dies and comes back, a link
that flaps, malformed packets. Accounting stays exact, memory flat, and no established flow of a healthy server is lost.

STEELYARD_SOAK_SECONDS says for how long (default 60; an hour before a release).
"""

import copy
import os
import random
import socket
import time

from harness import config
from harness.case import SystemCase, for_each
from harness.clients import Background
from harness.plan import FAMILIES
from harness.tunnels import TunnelEnd

SECONDS = float(os.environ.get("STEELYARD_SOAK_SECONDS", "60"))
MODES = {"nat": 7000, "fullnat": 7001, "dr": 7002, "tunnel": 7003}
DIRECT = ("dr", "tunnel")
DYING = 2  # index of the server that dies
FLAPPING = 3  # index of the server whose link flaps
HEALTHY = ("a", "b")
ETHERNET = {4: 0x0800, 6: 0x86DD}


def server_port(mode, protocol):
    """Servers that answer clients directly have the listener's port."""
    port = MODES[mode] + (100 if protocol == "udp" else 0)
    return port if mode in DIRECT else port + 1000


def document(workers):
    balancers, groups = [], []
    for family in FAMILIES.values():
        listeners = []
        for mode, number in MODES.items():
            for protocol in ("tcp", "udp"):
                name = f"{mode}-{protocol}-{family.name}"
                port = number + (100 if protocol == "udp" else 0)
                listeners.append(config.listener(port, protocol, group=name, mode=mode, established_timeout=60))
                groups.append(config.group(name, family, server_port(mode, protocol), weights=(100, 100, 50, 50)))
        balancers.append(config.load_balancer(f"lb-{family.name}", family.vip(), *listeners))
    return config.base(workers, load_balancers=balancers, server_groups=groups)


def variant(original, number):
    """The number-th change; the healthy servers stay what they are."""
    changed = copy.deepcopy(original)
    for group in changed["server_groups"]:
        group["servers"][DYING]["weight"] = 1 + 13 * number % 100
        if number % 5 == 1:
            del group["servers"][FLAPPING]
    if number % 3 == 2:
        changed["load_balancers"][0]["listeners"].append(config.listener(9000, group="nat-tcp-ipv4"))
    return changed


class Holder:
    """A long connection that says something at every step. Before a server that may die it is made anew when it breaks."""

    def __init__(self, client, family, mode, source):
        self.client, self.vip, self.port, self.source = client, family.vip(), MODES[mode], source
        self.what = f"{mode} {family.name} from {source}"
        self.connection, self.said = None, 0

    def step(self):
        try:
            if self.connection is None:
                self.connection = self.client.echo(self.vip, self.port, self.source)
            self.said += 1
            word = f"{self.said:06}" * random.randint(1, 300)
            if self.connection.say(word) != word:
                raise AssertionError(f"{self.what}: something else came back")
        except OSError as error:
            name = self.connection.name if self.connection else None
            if name in HEALTHY:
                raise AssertionError(f"{self.what}: lost its connection to {name}: {error!r}") from error
            if self.connection:
                self.connection.close()
            self.connection = None


class Churn:
    """Short connections and single datagrams to any listener. They may meet a server that has just died."""

    def __init__(self, client, seed):
        self.client, self.random, self.done, self.failed = client, random.Random(seed), 0, 0

    def step(self):
        family = self.random.choice(list(FAMILIES.values()))
        mode = self.random.choice(list(MODES))
        source = family.far(self.random.randrange(30) + (31 if mode in DIRECT else 0))
        try:
            if self.random.random() < 0.5:
                with self.client.echo(family.vip(), MODES[mode], source) as connection:
                    connection.say("x" * self.random.randint(1, 5000))
            else:
                self.client.ask_udp(family.vip(), MODES[mode] + 100, source)
            self.done += 1
        except (OSError, AssertionError):
            self.failed += 1


class Malformed:
    """Frames that are damaged versions of sensible ones, and noise."""

    def __init__(self, net, seed):
        self.random = random.Random(seed)
        self.mac = bytes.fromhex(net.lb.mac("wan0").replace(":", ""))
        with net.client.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.socket.bind(("eth0", 0))

    def step(self):
        for _ in range(10):
            family = self.random.choice(list(FAMILIES.values()))
            kind = socket.AF_INET if family.version == 4 else socket.AF_INET6
            source = socket.inet_pton(kind, family.far(self.random.randrange(64)))
            vip = socket.inet_pton(kind, family.vip())
            protocol = self.random.choice([1, 4, 6, 6, 17, 41, 44, 58, self.random.randrange(256)])
            payload = self.random.randbytes(self.random.randrange(120))
            length = len(payload)
            if family.version == 4:
                header = bytes([0x45, 0]) + (20 + length).to_bytes(2, "big") + self.random.randbytes(4)
                header += bytes([64, protocol, 0, 0]) + source + vip
                total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, 20, 2))
                total = (total & 0xFFFF) + (total >> 16)
                total = (total & 0xFFFF) + (total >> 16)
                header = header[:10] + (0xFFFF - total).to_bytes(2, "big") + header[12:]
            else:
                header = bytes([0x60, 0, 0, 0]) + length.to_bytes(2, "big") + bytes([protocol, 64]) + source + vip
            frame = bytearray(header + payload)
            for _ in range(self.random.randrange(3)):
                frame[self.random.randrange(len(frame))] ^= 1 << self.random.randrange(8)
            self.socket.send(self.mac + bytes(6) + ETHERNET[family.version].to_bytes(2, "big") + bytes(frame))


class Soak(SystemCase):
    servers = 4

    def setUp(self):
        super().setUp()
        self.backgrounds = []

    def background(self, step, pause):
        self.backgrounds.append(Background(step, pause))

    def prepare(self):
        """Servers that have the VIPs, end tunnels, and answer the upper half of the far clients directly."""
        self.addCleanup(self.net.direct_way(only_far_half=True))
        vips = [family.vip() for family in FAMILIES.values()]
        for index in range(self.servers):
            for family in FAMILIES.values():
                self.addCleanup(self.net.accept_vip(index, family, family.vip()))
            end = TunnelEnd(self.net, self.net.servers[index])
            self.addCleanup(end.close)
        tcp = {server_port(mode, "tcp"): "echo" for mode in MODES}
        udp = [server_port(mode, "udp") for mode in MODES]
        return self.echo_servers(tcp=tcp, udp=udp, vips=vips)

    @for_each(workers=[2])
    def test_everything_at_once(self, workers):
        servers = self.prepare()
        original = document(workers)
        steelyard = self.run_steelyard(original)
        for number, (mode, family) in enumerate((mode, family) for mode in MODES for family in FAMILIES.values()):
            for more in range(3):
                source = family.far(number * 3 % 24 + more + (31 if mode in DIRECT else 0))
                self.background(Holder(self.client, family, mode, source).step, pause=0.3)
        churns = [Churn(self.client, seed) for seed in range(2)]
        for churn in churns:
            self.background(churn.step, pause=0.02)
        self.background(Malformed(self.net, 1).step, pause=0.05)
        began = time.monotonic()
        number, warm = 0, None
        while time.monotonic() < began + SECONDS:
            steelyard.reload(variant(original, number))
            if number % 20 == 8:
                servers[DYING].kill()
            elif number % 20 == 14:
                servers[DYING].start()
            if number % 15 == 5:
                self.net.server_link(FLAPPING, up=False)
            elif number % 15 == 8:
                self.net.server_link(FLAPPING, up=True)
            for background in self.backgrounds:
                background.check()
            number += 1
            if warm is None and time.monotonic() > began + SECONDS / 3:
                warm = steelyard.resident()
            time.sleep(max(0.0, began + number - time.monotonic()))
        self.net.server_link(FLAPPING, up=True)
        for background in self.backgrounds:
            background.finish()
        self.assertLess(steelyard.resident(), warm * 1.02 + 4 * 2**20, "memory grows")
        done, failed = sum(churn.done for churn in churns), sum(churn.failed for churn in churns)
        self.assertGreater(done, failed * 3, "most short connections are served")
        drops = steelyard.stats()["workers"][0]["accounting"]["drops"]
        self.assertGreater(sum(drops.values()), 0, "the malformed packets did not come in")
        steelyard.assert_exact_accounting()
