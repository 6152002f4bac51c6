"""Ports that are not a plain link with frames of 1,514 bytes: VLANs, jumbo frames, and cables that are pulled."""

import re

from harness import config
from harness.case import SystemCase, for_each
from harness.net import LINKS
from harness.plan import FAMILIES
from harness.shell import eventually
from harness.vlans import VlanEnd

EACH_FAMILY = list(FAMILIES.values())
MODES = ["nat", "fullnat"]
WORKERS = [1, 2]
CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Vlans(SystemCase):
    """Clients are in one VLAN and servers in another; the links carry nothing without a tag."""

    vlans = {"wan": 100, "lan": 4094}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        net = cls.net
        cls.addClassCleanup(VlanEnd(net, net.client, "eth0", cls.vlans["wan"], "tagged").close)
        cls.addClassCleanup(VlanEnd(net, net.lan, "tolb", cls.vlans["lan"], "tagged").close)
        net.lan.batch("link set tolb nomaster", "link set tagged master br0", "link set tagged up")
        net.client.batch("link set tagged up")
        for family in EACH_FAMILY:
            nodad = " nodad" if family.version == 6 else ""
            address = family.on(family.wan_network, family.client)
            net.client.batch(
                f"addr del {address} dev eth0",
                f"addr add {address} dev tagged{nodad}",
                f"route replace {family.lan_network} via {family.wan} dev tagged",
            )

    def document(self, family, mode, protocol, workers):
        port = 7000 if mode == "dr" else 8000
        document = config.base(
            workers,
            load_balancers=[config.load_balancer("lb", family.vip(), config.listener(7000, protocol, mode=mode))],
            server_groups=[config.group("web", family, port)],
        )
        untagged = [{"name": f"trunk-{port['name']}", "device": port.pop("device"), "exception": {"enabled": False}}
                    for port in document["ports"]]
        for port in document["ports"]:
            port["vlan"] = {"port": f"trunk-{port['name']}", "id": self.vlans[port["name"]]}
        document["ports"] += untagged
        return document

    def forward(self, family, mode, protocol, workers):
        port, vips = 8000, []
        if mode == "dr":
            port, vips = 7000, [family.vip()]
            self.addCleanup(self.net.direct_way())
            for index in range(self.servers):
                self.addCleanup(self.net.accept_vip(index, family, family.vip()))
        self.echo_servers(**({"tcp": {port: "echo"}} if protocol == "tcp" else {"udp": [port]}), vips=vips)
        return self.run_steelyard(self.document(family, mode, protocol, workers))

    @for_each(mode=[*MODES, "dr"], family=EACH_FAMILY, workers=WORKERS)
    def test_tcp_connections_of_near_and_far_clients_echo(self, mode, family, workers):
        steelyard = self.forward(family, mode, "tcp", workers)
        self.assert_connections_echo(family, 7000)
        if workers == 2:
            self.assertGreater(steelyard.counted("hand"), 0, "the hand-off path carried nothing")

    @for_each(mode=[*MODES, "dr"], family=EACH_FAMILY, workers=WORKERS)
    def test_udp_datagrams_of_near_and_far_clients_echo(self, mode, family, workers):
        self.forward(family, mode, "udp", workers)
        self.assert_datagrams_echo(family, 7000)

    @for_each(family=EACH_FAMILY)
    def test_the_node_and_its_checks_live_in_the_vlans(self, family):
        """The kernel's interfaces are in them: an echo to the own address is answered, and servers are found healthy."""
        steelyard = self.forward(family, "nat", "tcp", 1)
        eventually(lambda: self.client.namespace.run("ping", "-c", "1", "-W", "1", family.wan, check=False).find(" 0%") > 0,
                   "the node's own address answers")
        self.assertEqual(steelyard.wait_health(family.server(0), 8000, "up")["health"], "up")
        stats = {port["name"]: port for port in steelyard.stats()["ports"]}
        self.assertEqual((stats["wan"]["vlan"], stats["lan"]["vlan"]), (100, 4094))

    def test_frames_without_the_tag_or_of_other_vlans_are_nobodys(self):
        family = FAMILIES["ipv4"]
        steelyard = self.forward(family, "nat", "tcp", 1)
        end = VlanEnd(self.net, self.net.client, "eth0", 7, "foreign")
        self.addCleanup(end.close)
        before = steelyard.counted("vlan_unknown")
        self.net.client.batch("link set foreign up", "addr add 192.0.2.77/32 dev foreign", "route add 192.0.2.16/32 dev foreign")
        with self.assertRaises(OSError):
            self.client.tcp("192.0.2.16", 7000, "192.0.2.77", timeout=1)
        eventually(lambda: steelyard.counted("vlan_unknown") > before, "the foreign VLAN's frames are counted by name")


class OneServer(SystemCase):
    servers = 1

    def forward(self, mode, family, protocol, **port_settings):
        """`port_settings` with {number}, {name} and {link} of each port."""
        self.echo_servers(tcp={8000: "echo"}, udp=[8000])
        listener = config.listener(7000, protocol, mode=mode, check={"enabled": False})
        document = config.base(
            load_balancers=[config.load_balancer("lb", family.vip(), listener)],
            server_groups=[{"name": "web", "servers": [{"address": family.server(0), "port": 8000}]}],
        )
        for number, (port, link) in enumerate(zip(document["ports"], LINKS)):
            port["device"] = port_settings["device"].format(number=number, name=port["name"], link=link)
            port["mtu"] = port_settings.get("mtu", 1500)
        return self.run_steelyard(document)


class Jumbo(OneServer):
    mtu = 9000

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        net = cls.net
        for namespace, links in (
            (net.lb, LINKS),
            (net.client, ["eth0"]),
            (net.servers[0], ["eth0"]),
            (net.lan, ["tolb", "toa", "br0"]),
        ):
            namespace.batch(*(f"link set {link} mtu {cls.mtu}" for link in links))

    def forward(self, mode, family, protocol):
        # net_af_packet has no such frames.
        device = "net_pcap{number},rx_iface_in={link},tx_iface={link}"
        return super().forward(mode, family, protocol, device=device, mtu=self.mtu)

    @for_each(mode=MODES, family=EACH_FAMILY)
    def test_segments_as_long_as_the_frames_pass(self, mode, family):
        steelyard = self.forward(mode, family, "tcp")
        with self.client.echo(family.vip(), 7000) as connection:
            self.assertTrue(connection.exchange(CONTENT) == CONTENT, "the content has changed on its way")
        metered = steelyard.stats()["listeners"][0]
        self.assertGreater(metered["bytes_in"] / metered["packets_in"], 2000, "segments are longer than those of small frames")

    @for_each(mode=MODES, family=EACH_FAMILY)
    def test_datagrams_pass_in_one_piece(self, mode, family):
        steelyard = self.forward(mode, family, "udp")
        payload = bytes(range(256)) * 34
        self.assertEqual(self.client.ask_udp(family.vip(), 7000, payload=payload, tries=5)[1], payload)
        self.assertEqual(sum(worker["fragments_forwarded"] for worker in steelyard.stats()["workers"]), 0)


class Cables(OneServer):
    """Steelyard's ports are TAP devices, bridged to the test network: their links can go down."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for link in LINKS:
            cls.net.lb.run("nft", "delete", "table", "netdev", link)

    def test_a_link_that_goes_down_and_comes_back_is_reported_and_used_again(self):
        family = FAMILIES["ipv4"]
        steelyard = self.forward("nat", family, "tcp", device="net_tap{number},iface=tap-{name}")
        for number, (name, link) in enumerate(zip(("wan", "lan"), LINKS)):
            self.net.lb.batch(
                f"link add br-{name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                # The driver gives its own address to the kernel's end, too, and the bridge would keep frames for it.
                f"link set tap-{name} address 02:00:5e:00:01:0{number} master br-{name}",
                f"link set {link} master br-{name}",
                f"link set br-{name} up",
            )
            self.addCleanup(self.net.lb.batch, f"link del br-{name}")

        def link_up():
            return next(port["link_up"] for port in steelyard.stats()["ports"] if port["name"] == "wan")

        def told(what):
            eventually(lambda: what in steelyard.process.log_tail(1000), f"the log says: {what}")

        with self.client.echo(family.vip(), 7000) as connection:
            self.assertEqual(connection.say("hello"), "hello")
            self.net.lb.batch("link set tap-wan down")
            told("link is down port=wan")
            self.assertFalse(link_up())
            self.net.lb.batch("link set tap-wan up")
            told("link is up port=wan")
            self.assertTrue(link_up())
            self.assertEqual(connection.say("still there"), "still there")


class Groups(SystemCase):
    """The link is told who listens for IPv6 addresses (MLD): switches may bring solicitations to nobody else."""

    servers = 1

    def document(self, *vips):
        family = FAMILIES["ipv6"]
        balancers = [
            config.load_balancer(f"lb{number}", family.vip(number), config.listener(7000, mode="fullnat", check={"enabled": False}))
            for number in vips
        ]
        return config.base(load_balancers=balancers, server_groups=[config.group("web", family, 8000, (100,))])

    def joined(self, link):
        return set(re.findall(r"inet6 (ff02::1:ff\S+)", self.net.lb.run("ip", "-6", "maddr", "show", "dev", f"sy-{link}")))

    def test_vips_are_listened_for_as_long_as_they_are_there(self):
        def group(number):
            return f"ff02::1:ff00:{0x10 + number:x}"

        self.client.namespace.run(
            "nft",
            "-f",
            "-",
            stdin="""table netdev mld {
                chain arrived {
                    type filter hook ingress device eth0 priority 0;
                    ip6 daddr ff02::16 counter
                }
            }""",
        )
        self.addCleanup(self.client.namespace.run, "nft", "delete", "table", "netdev", "mld")
        steelyard = self.run_steelyard(self.document(0, 1))
        for link in ("wan", "lan"):
            self.assertLessEqual({group(0), group(1)}, self.joined(link))
        eventually(
            lambda: "packets 0 " not in self.client.namespace.run("nft", "list", "table", "netdev", "mld"),
            "a report has come over the link",
        )
        steelyard.reload(self.document(1, 2))
        self.assertLessEqual({group(1), group(2)}, self.joined("wan"))
        self.assertNotIn(group(0), self.joined("wan"))
