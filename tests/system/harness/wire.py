"""A long wire with losses between the balancer's place and the kernel's: helpers/wire.c between two TAPs, each the only
link of a namespace. Without a balancer the namespace in its place speaks by its kernel: what ours is compared with."""

import atexit
import os
import pathlib
import shutil
import tempfile

from . import shell
from .build import helper
from .net import PREFIX, Namespace, _nodad, remove_leftovers
from .plan import FAMILIES


class WireNet:
    """`lb` and `client` as in Net, `dir` for files; `wire` is what helpers/wire.c is told, by name."""

    def __init__(self, identity=None, kernel=False, **wire):
        remove_leftovers()
        self.stem = f"{PREFIX}{os.getpid() if identity is None else identity}-wire"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.stem}-"))
        self.namespaces, self.process = [], None
        self._at_exit = atexit.register(self.close)
        self.client, self.lb = self._namespace("client"), self._namespace("lb")
        settings = [f"{name}={value}" for name, value in wire.items()]
        argv = [helper("wire"), self.lb.name, "wan0", self.client.name, "eth0", *settings]
        self.process = shell.Process(argv, self.dir / "wire.log")
        shell.eventually(lambda: "ready" in self.process.log() or not self.process.running(), "the wire's TAPs")
        for namespace, link in ((self.lb, "wan0"), (self.client, "eth0")):
            # Nothing is put together or cut on the way: a segment is what a sender made.
            namespace.run("ethtool", "-K", link, "tso", "off", "gso", "off", "gro", "off", "tx", "off")
            namespace.batch(f"link set {link} txqueuelen 10000 up")
        for family in FAMILIES.values():
            self.client.batch(f"addr add {family.on(family.wan_network, family.client)} dev eth0{_nodad(family)}")
            if kernel:
                self.lb.batch(f"addr add {family.on(family.wan_network, family.vip())} dev wan0{_nodad(family)}")
        if not kernel:
            self._balancer_end_off()

    def _namespace(self, role):
        namespace = Namespace(f"{self.stem}-{role}")
        self.namespaces.append(namespace)
        namespace.sysctl(
            ipv6__conf__default__accept_dad=0,
            ipv6__conf__default__router_solicitations=0,
            ipv4__tcp_no_metrics_save=1,
            ipv4__tcp_rmem="4096 262144 4194304",
            ipv4__tcp_wmem="4096 262144 4194304",
        )
        return namespace

    def _balancer_end_off(self):
        """As Net.balancer_ends_off."""
        self.lb.sysctl(ipv6__conf__wan0__disable_ipv6=1)
        rules = "add table netdev wan0\nadd chain netdev wan0 in { type filter hook ingress device wan0 priority 0; policy drop; }\n"
        self.lb.run("nft", "-f", "-", stdin=rules)

    def close(self):
        atexit.unregister(self._at_exit)
        if self.process is not None:
            self.process.kill()
        for namespace in self.namespaces:
            namespace.remove()
        self.namespaces = []
        shutil.rmtree(self.dir, ignore_errors=True)
