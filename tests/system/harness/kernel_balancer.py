"""A stand-in for Steelyard made of kernel routing and nftables, for the tests of the harness itself.

It shows that the network, the servers and the clients work without a line of ours on the path; whatever then fails with
the real binary in its place is the binary's.
"""

import pathlib

from .plan import FAMILIES


class KernelBalancer:
    """Balances `port` of every family's first VIP over all servers, round robin by connection; undone by `close()`."""

    def __init__(self, net, port, protocol="tcp"):
        self.net = net
        lb = net.lb
        lb.run("nft", "flush", "ruleset")
        with lb.entered():
            for link in ("wan0", "lan0"):
                pathlib.Path(f"/proc/sys/net/ipv6/conf/{link}/disable_ipv6").write_text("0")
        lb.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        for family in FAMILIES.values():
            nodad = " nodad" if family.version == 6 else ""
            lb.batch(
                f"addr add {family.on(family.wan_network, family.wan)} dev wan0{nodad}",
                f"addr add {family.on(family.wan_network, family.vip())} dev wan0{nodad}",
                f"addr add {family.on(family.lan_network, family.lan)} dev lan0{nodad}",
                f"route add {family.far_network} via {family.client}",
            )
            lb.run("nft", "-f", "-", stdin=self._rules(family, port, protocol))

    def _rules(self, family, port, protocol):
        table = "ip" if family.version == 4 else "ip6"
        servers = ", ".join(f"{index} : {family.server(index)}" for index in range(len(self.net.servers)))
        return f"""table {table} balance {{
    chain in {{
        type nat hook prerouting priority -100;
        {table} daddr {family.vip()} {protocol} dport {port} dnat to numgen inc mod {len(self.net.servers)} map {{ {servers} }}
    }}
}}
"""

    def close(self):
        lb = self.net.lb
        lb.run("nft", "flush", "ruleset")
        lb.batch("addr flush dev wan0", "addr flush dev lan0")
        lb.sysctl(ipv4__ip_forward=0, ipv6__conf__all__forwarding=0)
        self.net.balancer_ends_off()
