"""The addresses of the test network, once for each family.

         client namespace             lb namespace                   lan namespace        one namespace a server
    .1 eth0 -------------------- wan0 (port wan) .2
    far clients on lo                 lan0 (port lan) .254 --------- br0 ---------------- eth0 .1, .2, .3 ...

VIPs lie in the wan's network (the clients ask for their link address); far clients are reached through the client
namespace as the gateway. The servers' default gateway is Steelyard's lan address, as `nat` mode needs it.
"""

import dataclasses
import ipaddress


@dataclasses.dataclass(frozen=True)
class Family:
    """The addresses of one family; all plain text without prefix length unless the name says `network`."""

    name: str
    wan_network: str
    client: str
    wan: str
    lan_network: str
    lan: str
    far_network: str
    spoof_network: str
    hidden_network: str

    @property
    def version(self):
        return 4 if self.name == "ipv4" else 6

    def vip(self, number=0):
        """The number-th service address."""
        return self._at(self.wan_network, 0x10 + number)

    def server(self, index):
        """The address of the index-th server (0, 1, ...)."""
        return self._at(self.lan_network, 1 + index)

    def local(self, number=0):
        """The number-th address of the full NAT pool."""
        return self._at(self.lan_network, 200 + number)

    @property
    def bits(self):
        """The length of an address."""
        return 32 if self.version == 4 else 128

    @property
    def back(self):
        """The clients' second address, in the servers' network (see Net.direct_way)."""
        return self._at(self.lan_network, 250)

    def hidden(self, number):
        """The number-th address of the network behind a narrow link (see Net.behind)."""
        return self._at(self.hidden_network, number)

    def far(self, number):
        """The number-th far client (0 .. FAR_CLIENTS - 1)."""
        return self._at(self.far_network, 1 + number)

    @property
    def upper_far_half(self):
        """The network of the far clients 31 to 62."""
        return f"{self._at(self.far_network, FAR_CLIENTS // 2)}/{self.bits - 5}"

    def on(self, network, address):
        """`address` with the prefix length of `network`."""
        return f"{address}/{ipaddress.ip_network(network).prefixlen}"

    @staticmethod
    def _at(network, offset):
        return str(ipaddress.ip_network(network)[offset])


FAR_CLIENTS = 64

IPV4 = Family(
    name="ipv4",
    wan_network="192.0.2.0/24",
    client="192.0.2.1",
    wan="192.0.2.2",
    lan_network="10.0.0.0/24",
    lan="10.0.0.254",
    far_network="198.51.100.0/24",
    spoof_network="198.18.0.0/15",
    hidden_network="203.0.113.0/24",
)
IPV6 = Family(
    name="ipv6",
    wan_network="2001:db8:1::/64",
    client="2001:db8:1::1",
    wan="2001:db8:1::2",
    lan_network="2001:db8:2::/64",
    lan="2001:db8:2::fe",
    far_network="2001:db8:100::/64",
    spoof_network="2001:db8:bad::/64",
    hidden_network="2001:db8:3::/64",
)
FAMILIES = {"ipv4": IPV4, "ipv6": IPV6}


def endpoint(address, port):
    """`address:port` as people write it: IPv6 addresses in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
