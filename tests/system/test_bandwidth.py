"""What a listener's clients are sent: how much at most, and that every byte on the wire is metered."""

import contextlib
import re
import threading
import time

from harness import config, http
from harness.case import SystemCase, for_each
from harness.net import LINKS
from harness.plan import FAMILIES, endpoint
from harness.servers import Nginx
from harness.shell import eventually, scaled

EACH_FAMILY = list(FAMILIES.values())
MODES = ["nat", "fullnat"]
# The kernel puts IPv4 fragments together before net_af_packet sees them.
DEVICE = "net_pcap{number},rx_iface_in={link},tx_iface={link}"


class ListenerTraffic(SystemCase):
    def document(self, family, workers=2, servers=(100, 100, 100), first=0, mode="nat", **settings):
        listeners = [
            config.listener(7000, protocol, mode=mode, check={"enabled": False}, **settings)
            for protocol in ("tcp", "udp")
        ]
        return config.base(
            workers,
            load_balancers=[config.load_balancer("lb", family.vip(), *listeners)],
            server_groups=[config.group("web", family, 8000, servers, first)],
        )

    def serve(self, family, document):
        self.echo_servers(tcp={8000: "echo"}, udp=[8000])
        return self.run_steelyard(document)

    @staticmethod
    def listener(steelyard, protocol):
        return next(one for one in steelyard.stats()["listeners"] if one["protocol"] == protocol)

    @contextlib.contextmanager
    def on_the_wire(self, family):
        """Counts what the client's link brings from the VIP, ICMP excepted; gives a function: protocol -> (packets, bytes)
        of IP packets."""
        # IPv6 fragments (44) have their protocol behind.
        word, protocol, udp = ("ip", "protocol", "udp") if family.version == 4 else ("ip6", "nexthdr", "{ udp, 44 }")
        self.client.namespace.run(
            "nft",
            "-f",
            "-",
            stdin=f"""table netdev wire {{
                counter of_tcp {{}}
                counter of_udp {{}}
                chain arrived {{
                    type filter hook ingress device eth0 priority 0;
                    {word} saddr {family.vip()} {word} {protocol} tcp counter name of_tcp
                    {word} saddr {family.vip()} {word} {protocol} {udp} counter name of_udp
                }}
            }}""",
        )

        def counted(protocol):
            text = self.client.namespace.run("nft", "list", "counter", "netdev", "wire", f"of_{protocol}")
            return tuple(int(number) for number in re.search(r"packets (\d+) bytes (\d+)", text).groups())

        try:
            yield counted
        finally:
            self.client.namespace.run("nft", "delete", "table", "netdev", "wire")


class Metering(ListenerTraffic):
    def assert_metered(self, steelyard, wire):
        for protocol in ("tcp", "udp"):

            def equal(protocol=protocol):
                metered = self.listener(steelyard, protocol)
                return (metered["packets_out"], metered["bytes_out"]) == wire(protocol)

            eventually(equal, f"{protocol} is metered as it is on the wire", timeout=3)

    def talk(self, family, rounds=10):
        for number in range(rounds):
            with self.client.echo(family.vip(), 7000, family.far(number)) as connection:
                content = bytes(range(256)) * 500
                self.assertEqual(connection.exchange(content), content)
            for size in (1, 1400, 4000):
                self.client.ask_udp(family.vip(), 7000, family.far(number), bytes(size))

    @for_each(mode=MODES, family=EACH_FAMILY, workers=[1, 2])
    def test_every_byte_to_clients_is_metered_whatever_becomes_of_the_servers(self, mode, family, workers):
        document = self.document(family, workers, mode=mode)
        for number, (port, link) in enumerate(zip(document["ports"], LINKS)):
            port["device"] = DEVICE.format(number=number, link=link)
        steelyard = self.serve(family, document)
        with self.on_the_wire(family) as wire:
            self.talk(family)
            self.assert_metered(steelyard, wire)
            before = self.listener(steelyard, "tcp")["bytes_out"]
            self.assertGreater(before, 10 * 128_000)
            held = self.client.echo(family.vip(), 7000)
            for servers, first in (((100, 100), 1), ((100,), 2)):
                document["server_groups"] = [config.group("web", family, 8000, servers, first)]
                steelyard.reload(document)
                self.assertGreaterEqual(self.listener(steelyard, "tcp")["bytes_out"], before)
                self.talk(family, 3)
                self.assertEqual(held.say("still metered"), "still metered")
                self.assert_metered(steelyard, wire)
            held.close()
            steelyard.reload()
            self.assertEqual(steelyard.status()["load_balancers"][0]["listeners"][0]["bytes_out"], wire("tcp")[1])
            self.assert_metered(steelyard, wire)


class LimitedTraffic(ListenerTraffic):
    alone = True  # no other test beside it: it compares rates with the clock of a program that needs its time
    seconds = scaled(10, least=3)

    def rate(self, wire, protocol="udp"):
        """Mbit/s on the client's link."""

        def look():
            began = time.monotonic()
            _, counted = wire(protocol)
            return counted, (began + time.monotonic()) / 2

        before, began = look()
        time.sleep(self.seconds)
        after, ended = look()
        return (after - before) * 8 / 1e6 / (ended - began)

    def assert_rate(self, wire, protocol="udp"):
        """Never more, and as much whenever servers send without a pause, which a busy machine may not let them do."""
        for _ in range(3):
            rate = self.rate(wire, protocol)
            self.assertLess(rate, 1.05 * self.mbit)
            if rate > 0.95 * self.mbit:
                return
        self.fail(f"{rate:.1f} Mbit/s of {self.mbit} are used")


class Bandwidth(LimitedTraffic):
    mbit = 8  # and thrice as much offered, which a busy machine can do

    @contextlib.contextmanager
    def pumping(self, family, mbit, clients=16):
        """Clients send datagrams that servers return, `mbit` in all."""
        size = 1400
        sockets = [self.client.udp(family.vip(), 7000, family.far(number)) for number in range(clients)]
        stop = threading.Event()

        def pump():
            began, sent = time.monotonic(), 0
            while not stop.is_set():
                due = (time.monotonic() - began) * mbit * 1e6 / 8 / size
                while sent < due:
                    with contextlib.suppress(OSError):
                        sockets[sent % clients].send(bytes(size))
                    sent += 1
                time.sleep(0.002)

        thread = threading.Thread(target=pump, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            for opened in sockets:
                opened.close()

    @for_each(mode=MODES, family=EACH_FAMILY, workers=[1, 2])
    def test_clients_are_sent_the_listeners_bandwidth_within_five_percent(self, mode, family, workers):
        steelyard = self.serve(family, self.document(family, workers, mode=mode, bandwidth=self.mbit))
        with self.on_the_wire(family) as wire:
            with self.pumping(family, 3 * self.mbit):
                time.sleep(0.5)
                self.assert_rate(wire)
                # The other listener has a bandwidth of its own.
                with self.client.echo(family.vip(), 7000) as connection:
                    self.assertEqual(connection.say("hello"), "hello")

            def agree():
                metered = self.listener(steelyard, "udp")
                return (metered["packets_out"], metered["bytes_out"]) == wire("udp")

            eventually(agree, "what was dropped is not metered", timeout=3)
        metered = self.listener(steelyard, "udp")
        self.assertGreater(metered["bandwidth_exceeded_bytes"], 0)
        self.assertEqual(steelyard.counted("bandwidth_exceeded"), metered["bandwidth_exceeded_packets"])
        self.assertIn(f"at most {self.mbit} Mbit/s", steelyard.command("status"))

    def test_a_limit_binds_connections_that_ran_before_it_and_lets_them_go_again(self):
        family = FAMILIES["ipv4"]
        steelyard = self.serve(family, self.document(family))
        with self.on_the_wire(family) as wire, self.pumping(family, 3 * self.mbit):
            self.seconds = 2
            self.assertGreater(self.rate(wire), 2 * self.mbit)
            steelyard.reload(self.document(family, bandwidth=self.mbit))
            eventually(
                lambda: self.listener(steelyard, "udp")["bandwidth_exceeded_bytes"] > 0, "the limit takes effect"
            )
            time.sleep(0.5)  # for every flow
            self.assertLess(self.rate(wire), 1.2 * self.mbit)
            steelyard.reload(self.document(family))
            self.assertGreater(self.rate(wire), 2 * self.mbit)

    def test_a_download_uses_what_there_is(self):
        family = FAMILIES["ipv4"]
        steelyard = self.serve(family, self.document(family, bandwidth=self.mbit))
        content = bytes(1 << 20) * 8
        began = time.monotonic()
        with self.client.echo(family.vip(), 7000) as connection:
            self.assertEqual(len(connection.exchange(content, 120)), len(content))
        took = time.monotonic() - began
        self.assertGreater(took, 0.9 * len(content) * 8 / 1e6 / self.mbit, "faster than the limit")
        self.assertGreater(self.listener(steelyard, "tcp")["bytes_out"], len(content))


class HttpBandwidth(LimitedTraffic):
    """What a listener of layer 7 has no credit for is not dropped: it waits, and clients take turns."""

    mbit = 40

    def serve(self, family, workers, **settings):
        nginx = Nginx(self.net, 0)
        self.addCleanup(nginx.stop)
        with (nginx.root / "large").open("wb") as large:
            large.truncate(1 << 30)
        (nginx.root / "small").write_bytes(bytes(100_000))
        listener = config.listener(80, "http", **settings)
        groups = [config.group("web", family, 80, weights=(100,))]
        balancers = [config.load_balancer("lb", family.vip(), listener)]
        document = config.base(workers, load_balancers=balancers, server_groups=groups)
        return self.run_steelyard(document), document

    def download(self, family, name):
        url = f"http://{endpoint(family.vip(), 80)}/files/{name}"
        options = ["-sS", "-o", "/dev/null", "--retry", "3", "--retry-all-errors", url]
        return self.client.namespace.spawn(["curl", *options], self.net.dir / "downloads.log")

    @contextlib.contextmanager
    def downloads(self, family, count):
        running = [self.download(family, "large") for _ in range(count)]
        try:
            yield running
        finally:
            for process in running:
                process.kill()

    @for_each(family=EACH_FAMILY, workers=[1, 2])
    def test_clients_are_sent_the_listeners_bandwidth_within_five_percent(self, family, workers):
        steelyard, document = self.serve(family, workers, bandwidth=self.mbit)
        with self.on_the_wire(family) as wire, self.downloads(family, 8) as running:
            time.sleep(1)
            self.assert_rate(wire, "tcp")
            # Whoever comes later has his turn, too.
            began = time.monotonic()
            self.assertEqual(len(http.curl(self.client, family.vip(), 80, "/files/small").encode()), 100_000)
            self.assertLess(time.monotonic() - began, 10)
            self.assertTrue(all(process.running() for process in running), "all downloads go on")
            self.assertEqual(steelyard.stats()["listeners"][0]["bandwidth_exceeded_packets"], 0)
            # Without a limit those who wait go on at once.
            document["load_balancers"][0]["listeners"][0].pop("bandwidth")
            steelyard.reload(document)
            self.seconds = 2
            self.assertGreater(self.rate(wire, "tcp"), 2 * self.mbit)

    def test_a_limit_binds_connections_that_ran_before_it_and_lets_them_go_again(self):
        family = FAMILIES["ipv4"]
        steelyard, document = self.serve(family, 1)
        listener = document["load_balancers"][0]["listeners"][0]
        with self.on_the_wire(family) as wire, self.downloads(family, 4):
            self.seconds = 2
            self.assertGreater(self.rate(wire, "tcp"), 2 * self.mbit)
            listener["bandwidth"] = self.mbit
            steelyard.reload(document)
            time.sleep(1)  # what is in the send buffers
            self.assertLess(self.rate(wire, "tcp"), 1.2 * self.mbit)
            listener.pop("bandwidth")
            steelyard.reload(document)
            self.assertGreater(self.rate(wire, "tcp"), 2 * self.mbit)

    def test_a_download_uses_what_there_is(self):
        family = FAMILIES["ipv4"]
        self.serve(family, 1, bandwidth=self.mbit)
        octets = 20 << 20
        began = time.monotonic()
        got = http.curl(
            self.client, family.vip(), 80, "/files/large", "-r", f"0-{octets - 1}", "-o", "/dev/null", "-w", "%{size_download}"
        )
        self.assertEqual(int(got), octets)
        self.assertGreater(time.monotonic() - began, 0.9 * octets * 8 / 1e6 / self.mbit, "faster than the limit")
