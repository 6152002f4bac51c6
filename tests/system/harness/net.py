"""Network namespaces with veth pairs: clients, the balancer and servers on one machine without touching that machine.

Every name carries a prefix and our pid, the veth pairs are born inside their namespaces, and everything is removed at
exit, also after a failure. Namespaces of an earlier run that was killed are removed at the next start (its pid is gone).
"""

import atexit
import contextlib
import os
import pathlib
import re
import shutil
import signal
import tempfile
import time

from . import shell
from .plan import FAMILIES, FAR_CLIENTS

CLONE_NEWNET = 0x40000000
PREFIX = "syt"
LINKS = ("wan0", "lan0")
NAMES = "abcdefghijklmnop"


class Namespace:
    """One network namespace; `entered()` opens sockets in it from this very process."""

    def __init__(self, name):
        self.name = name
        shell.run("ip", "netns", "add", name)
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *argv, **options):
        return shell.run("ip", "netns", "exec", self.name, *argv, **options)

    def spawn(self, argv, log, **options):
        return shell.Process(["ip", "netns", "exec", self.name, *argv], log, **options)

    @contextlib.contextmanager
    def entered(self):
        """Moves the calling thread here; sockets that it opens stay here after it has left."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _setns(there)
            yield self
        finally:
            _setns(back)
            os.close(there)
            os.close(back)

    def sysctl(self, **settings):
        """Sets /proc/sys/net/... of this namespace; `__` in a name stands for a slash."""
        with self.entered():
            for name, value in settings.items():
                path = pathlib.Path("/proc/sys/net") / name.replace("__", "/")
                path.write_text(str(value))

    def batch(self, *lines):
        """Runs many `ip` commands in one go."""
        shell.run("ip", "-n", self.name, "-batch", "-", stdin="\n".join(lines) + "\n")

    def plain_checksums(self, *interfaces):
        """The kernel computes checksums itself and sends no oversized packets: AF_PACKET carries no offload metadata."""
        features = ("rx", "off", "tx", "off", "tso", "off", "gso", "off", "gro", "off")
        for interface in interfaces:
            self.run("ethtool", "-K", interface, *features)

    def mac(self, interface):
        with self.entered():
            return self.run("cat", f"/sys/class/net/{interface}/address").strip()

    def remove(self):
        """Ends what still runs inside (all of it was started by us: nobody else knows this namespace) and removes it."""
        end_namespace(self.name)


def end_namespace(name):
    """Kills by pid every process inside the namespace `name`, which must be one of ours, and deletes it."""
    for _ in range(50):
        pids = shell.run("ip", "netns", "pids", name, check=False).split()
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.02)
    shell.run("ip", "netns", "del", name, check=False)


def _setns(descriptor):
    if shell.LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(f"setns failed; the system tests need root (euid is {os.geteuid()})")


def remove_leftovers(prefix=PREFIX):
    """Removes the namespaces of runs whose process is gone."""
    for line in shell.run("ip", "netns", "list").splitlines():
        found = re.match(rf"{prefix}(\d+)-", line)
        if found and not os.path.exists(f"/proc/{found[1]}"):
            end_namespace(line.split()[0])


class Net:
    """The whole test network (see plan.py); `servers` server namespaces, `dir` for files of this network."""

    def __init__(self, servers=3, prefix=PREFIX, identity=None):
        remove_leftovers(prefix)
        self.stem = f"{prefix}{os.getpid() if identity is None else identity}"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.stem}-"))
        self.namespaces = []
        self._at_exit = atexit.register(self.close)
        self.client = self._namespace("client")
        self.lb = self._namespace("lb")
        self.lan = self._namespace("lan")
        self.servers = [self._namespace(f"server-{NAMES[index]}") for index in range(servers)]
        self._quiet_kernels()
        self._wire()
        self._client_addresses()
        self._server_addresses()
        self.balancer_ends_off()

    def _namespace(self, role):
        namespace = Namespace(f"{self.stem}-{role}")
        self.namespaces.append(namespace)
        return namespace

    def _quiet_kernels(self):
        for namespace in self.namespaces:
            namespace.sysctl(
                ipv6__conf__default__accept_dad=0,
                ipv6__conf__default__accept_ra=0,
                ipv6__conf__default__router_solicitations=0,
                ipv4__conf__all__rp_filter=0,
                ipv4__conf__default__rp_filter=0,
            )
        self.lan.sysctl(ipv6__conf__default__disable_ipv6=1)
        self.client.sysctl(ipv4__conf__all__arp_announce=2, ipv4__ip_local_port_range="10000 65000")
        for server in self.servers:
            server.sysctl(core__somaxconn=16384, ipv4__tcp_max_syn_backlog=65536, ipv4__tcp_syncookies=1)

    def _wire(self):
        lan, lb = self.lan.name, self.lb.name
        shell.run("ip", "link", "add", "wan0", "netns", lb, "type", "veth", "peer", "name", "eth0", "netns", self.client.name)
        shell.run("ip", "link", "add", "lan0", "netns", lb, "type", "veth", "peer", "name", "tolb", "netns", lan)
        self.lan.batch("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set br0 up")
        ports = ["tolb"]
        for index, server in enumerate(self.servers):
            ports.append(f"to{NAMES[index]}")
            shell.run("ip", "link", "add", ports[-1], "netns", lan, "type", "veth", "peer", "name", "eth0", "netns", server.name)
        for port in ports:
            self.lan.batch(f"link set {port} master br0", f"link set {port} up")
        self.lan.plain_checksums(*ports)
        for namespace in [self.client, *self.servers]:
            namespace.plain_checksums("eth0")
            namespace.batch("link set eth0 up")

    def _client_addresses(self):
        lines = []
        for family in FAMILIES.values():
            lines.append(f"addr add {family.on(family.wan_network, family.client)} dev eth0{_nodad(family)}")
            for number in range(FAR_CLIENTS):
                lines.append(f"addr add {family.far(number)} dev lo{_nodad(family)}")
            lines.append(f"route add {family.lan_network} via {family.wan}")
        self.client.batch(*lines)

    def _server_addresses(self):
        for index, server in enumerate(self.servers):
            for family in FAMILIES.values():
                server.batch(
                    f"addr add {family.on(family.lan_network, family.server(index))} dev eth0{_nodad(family)}",
                    f"route add default via {family.lan}",
                )

    def balancer_ends_off(self):
        """The kernel must not answer beside AF_PACKET, which only copies: IPv6 off, and ingress drops what the tap has seen."""
        rules = "".join(
            f"add table netdev {link}\nadd chain netdev {link} in "
            f"{{ type filter hook ingress device {link} priority 0; policy drop; }}\n"
            for link in LINKS
        )
        with self.lb.entered():
            for link in LINKS:
                pathlib.Path(f"/proc/sys/net/ipv6/conf/{link}/disable_ipv6").write_text("1")
        self.lb.plain_checksums(*LINKS)
        self.lb.batch(*(f"link set {link} up" for link in LINKS))
        self.lb.run("nft", "-f", "-", stdin=rules)

    def direct_way(self, only_far_half=False):
        """Servers answer clients past the balancer from now on: the client's namespace gets a second link, into the lan,
        and is every server's gateway, or the one to the upper half of the far clients alone. Returns what undoes it."""
        client, lan = self.client, self.lan
        # Always the same link address: servers remember it from the test before.
        client.batch(f"link add back address 02:00:5e:00:00:fa type veth peer name back netns {lan.name}")
        lan.batch("link set back master br0", "link set back up")
        lan.plain_checksums("back")
        client.plain_checksums("back")
        client.batch(
            "link set back up", *(f"addr add {family.back}/{family.bits} dev back{_nodad(family)}" for family in FAMILIES.values())
        )
        if only_far_half:
            for server in self.servers:
                server.batch(*(f"route add {family.upper_far_half} via {family.back}" for family in FAMILIES.values()))
        else:
            self._default_routes("back")

        def undo():
            client.batch("link del back")
            if only_far_half:
                for server in self.servers:
                    server.batch(*(f"route del {family.upper_far_half}" for family in FAMILIES.values()))
            self._default_routes("lan")

        return undo

    def _default_routes(self, via):
        for server in self.servers:
            server.batch(*(f"route replace default via {getattr(family, via)}" for family in FAMILIES.values()))

    def narrow_way_back(self, index, via, mtu):
        """The server sends no larger packets than this to clients and to full NAT, but takes segments of any size. Returns
        what undoes it."""
        server = self.servers[index]
        locals_of_full_nat = [f"{family.local()}/{family.bits} dev eth0" for family in FAMILIES.values()]
        for family, local in zip(FAMILIES.values(), locals_of_full_nat):
            limits = f"mtu {mtu} advmss {1500 - (40 if family.version == 4 else 60)}"
            server.batch(f"route replace default via {getattr(family, via)} {limits}", f"route add {local} {limits}")

        def undo():
            server.batch(*(f"route del {local}" for local in locals_of_full_nat))
            self._default_routes(via)

        return undo

    def accept_vip(self, index, family, vip):
        """The server takes packets for the VIP and does not say on the link that it has it. Returns what undoes it."""
        server = self.servers[index]
        server.sysctl(ipv4__conf__all__arp_ignore=1, ipv4__conf__all__arp_announce=2)
        server.batch(f"addr add {vip}/{family.bits} dev lo{_nodad(family)}")
        return lambda: server.batch(f"addr del {vip}/{family.bits} dev lo")

    def behind(self, namespace, name, mtu):
        """A host behind `namespace`, which is its router and has links of this MTU to it and from it: the far end of a
        path with a narrow part. Returns (namespace of the host, what undoes it)."""
        host = self._namespace(name)
        shell.run("ip", "link", "add", name, "netns", namespace.name, "type", "veth", "peer", "name", "eth0", "netns", host.name)
        host.sysctl(ipv6__conf__all__accept_dad=0)
        namespace.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1, ipv4__conf__all__send_redirects=0)
        namespace.plain_checksums(name)
        host.plain_checksums("eth0")
        for family in FAMILIES.values():
            nodad, router = _nodad(family), family.hidden(254)
            namespace.batch(
                f"addr add {router}/{family.bits} dev {name}{nodad}",
                f"link set {name} up",
                f"route add {family.hidden_network} dev {name} mtu lock {mtu}",
            )
            host.batch(
                f"addr add {family.on(family.hidden_network, family.hidden(1))} dev eth0{nodad}",
                "link set eth0 up",
                f"route replace default via {router}",
            )

        def undo():
            self.namespaces.remove(host)
            host.remove()
            namespace.sysctl(ipv4__ip_forward=0, ipv6__conf__all__forwarding=0)

        return host, undo

    def forget_path_mtus(self):
        """What the kernels have learned of paths by ICMP."""
        for namespace in (self.client, *self.servers):
            namespace.run("ip", "route", "flush", "cache")
            namespace.run("ip", "-6", "route", "flush", "cache")

    def lose(self, index, rule):
        """The server's kernel does not get what matches an nftables rule any more. Returns what undoes it."""
        server = self.servers[index]
        server.run(
            "nft",
            "-f",
            "-",
            stdin="add table netdev loss\nadd chain netdev loss in { type filter hook ingress device eth0 priority 0; }\n"
            f"add rule netdev loss in meta l4proto tcp {rule} counter drop\n",
        )
        return lambda: server.run("nft", "delete", "table", "netdev", "loss")

    def lost(self, index):
        """How many packets lose() has cost the server."""
        return int(re.search(r"counter packets (\d+)", self.servers[index].run("nft", "list", "table", "netdev", "loss"))[1])

    def server_link(self, index, up):
        """Plugs or pulls the cable of a server."""
        self.lan.batch(f"link set to{NAMES[index]} {'up' if up else 'down'}")

    def close(self):
        atexit.unregister(self._at_exit)
        for namespace in self.namespaces:
            namespace.remove()
        self.namespaces = []
        shutil.rmtree(self.dir, ignore_errors=True)


def _nodad(family):
    return " nodad" if family.version == 6 else ""
