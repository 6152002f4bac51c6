"""Fragments: datagrams that are larger than the link, cut by Linux kernels or by hand, in any order, under a flood."""

import random

from harness import config
from harness.case import SystemCase, for_each
from harness.clients import Background
from harness.fragments import Flood, Wire, cut, udp_datagram
from harness.net import LINKS
from harness.plan import FAMILIES
from harness.shell import eventually, scaled

MODES = ["nat", "fullnat"]
EACH_FAMILY = list(FAMILIES.values())
WORKERS = [1, 2]
LARGE = 4000  # bytes: three fragments
# net_af_packet joins a fanout for which the kernel puts IPv4 fragments together; libpcap's socket gets them as they are.
DEVICE = "net_pcap{number},rx_iface_in={link},tx_iface={link}"


class Fragments(SystemCase):
    def forward(self, mode, family, workers, protocol="udp"):
        """One listener on port 7000 before the three servers' port 8000."""
        self.echo_servers(tcp={8000: "echo"}, udp=[8000])
        balancers = [config.load_balancer("lb", family.vip(), config.listener(7000, protocol, mode=mode))]
        groups = [config.group("web", family, 8000)]
        document = config.base(workers, load_balancers=balancers, server_groups=groups)
        for number, (port, link) in enumerate(zip(document["ports"], LINKS)):
            port["device"] = DEVICE.format(number=number, link=link)
        return self.run_steelyard(document)

    def sources(self, family, count):
        return [None, *(family.far(number) for number in range(count - 1))]

    def ask_large(self, family, source, content):
        """Both kernels cut: the request, and the echo, which is a little longer."""
        _, echoed = self.client.ask_udp(family.vip(), 7000, source, content)
        self.assertEqual(echoed, content)

    def random_content(self, number, size=LARGE):
        return random.Random(number).randbytes(size)

    @for_each(mode=MODES, family=EACH_FAMILY, workers=WORKERS)
    def test_large_datagrams_echo(self, mode, family, workers):
        steelyard = self.forward(mode, family, workers)
        for number, source in enumerate(self.sources(family, 16)):
            for size in (LARGE, 1473, 20_000, 65_000):
                self.ask_large(family, source, self.random_content(number, size))
        self.assertGreaterEqual(self.forwarded(steelyard), 16 * 2 * (3 + 2 + 14 + 44))
        self.assert_no_fragment_lost(steelyard)
        if workers == 2:
            self.assertGreater(steelyard.counted("hand"), 0, "the hand-off path carried nothing")

    def forwarded(self, steelyard):
        return sum(worker["fragments_forwarded"] for worker in steelyard.stats()["workers"])

    def assert_no_fragment_lost(self, steelyard):
        workers = steelyard.stats()["workers"]
        drops = {name: count for worker in workers for name, count in worker["accounting"]["drops"].items()}
        self.assertFalse([name for name in drops if "fragment" in name], drops)

    @for_each(mode=MODES, family=EACH_FAMILY, workers=WORKERS)
    def test_reordered_fragments_make_the_same_datagram(self, mode, family, workers):
        steelyard = self.forward(mode, family, workers)
        self.ask_large(family, None, b"the client knows the balancer now" * 100)
        shuffle = random.Random(1).shuffle
        with Wire(self.client, family.vip()) as wire:
            for number in range(24):
                content = self.random_content(number)
                with self.client.udp(family.vip(), 7000, family.far(number)) as opened:
                    datagram = udp_datagram(*opened.getsockname()[:2], family.vip(), 7000, content)
                    packets = cut(family.far(number), family.vip(), 1000 + number, datagram)
                    packets.reverse() if number % 2 else shuffle(packets)
                    wire.send(packets)
                    self.assertEqual(opened.recv(65536).partition(b" ")[2], content)
        self.assert_no_fragment_lost(steelyard)

    @for_each(family=EACH_FAMILY, workers=WORKERS)
    def test_datagrams_with_one_identification_do_not_mix_behind_full_nat(self, family, workers):
        """Of two clients, one fragment after the other in turn: at the server all have the same source."""
        self.forward("fullnat", family, workers)
        self.ask_large(family, None, b"hello" * 1000)
        with Wire(self.client, family.vip()) as wire:
            for number in range(10):
                clients = [self.client.udp(family.vip(), 7000, family.far(place)) for place in (0, 1, 2, 3)]
                contents = [self.random_content(number * 4 + place) for place in range(4)]
                trains = [
                    cut(
                        opened.getsockname()[0],
                        family.vip(),
                        7,
                        udp_datagram(*opened.getsockname()[:2], family.vip(), 7000, content),
                    )
                    for opened, content in zip(clients, contents)
                ]
                for packets in zip(*trains):
                    wire.send(packets)
                for opened, content in zip(clients, contents):
                    with opened:
                        self.assertEqual(opened.recv(65536).partition(b" ")[2], content)

    @for_each(mode=MODES, family=EACH_FAMILY)
    def test_a_flood_without_first_fragments_disturbs_nobody(self, mode, family):
        steelyard = self.forward(mode, family, 2)
        self.ask_large(family, None, b"hello" * 1000)
        with Wire(self.client, family.vip()) as wire, self.client.udp(family.vip(), 7000) as small:
            flood = Flood(wire, family.far(63), family.vip())
            background = Background(flood.step, pause=0.005)
            for number in range(scaled(2000, least=200)):
                small.send(b"small")
                self.assertEqual(small.recv(100).partition(b" ")[2], b"small")
                self.ask_large(family, family.far(number % 32), self.random_content(number))
            background.finish()
            self.assertGreater(flood.sent, 1000)
            # What still waits for its first fragment is given up after five seconds.
            eventually(lambda: self.queued(steelyard) == 0, "the flood is let go", timeout=20)
            self.assertGreater(self.let_go(steelyard), flood.sent // 2)

    def queued(self, steelyard):
        return sum(worker["accounting"]["queued"] for worker in steelyard.stats()["workers"])

    def let_go(self, steelyard):
        names = ("fragment_replaced", "fragment_timed_out", "fragment_duplicate")
        drops = [worker["accounting"]["drops"] for worker in steelyard.stats()["workers"]]
        return sum(table.get(name, 0) for table in drops for name in names)

    @for_each(family=EACH_FAMILY)
    def test_fragments_for_the_node_itself_reach_its_kernel(self, family):
        self.forward("nat", family, 2)
        self.assertTrue(self.client.ping(family.wan, size=LARGE))
