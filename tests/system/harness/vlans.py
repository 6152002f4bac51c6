"""The other ends of VLANs."""

from .servers import HELPERS, PYTHON


class VlanEnd:
    """helpers/vlan_end.py: the device `name` in a namespace, tagged with `vlan` on `link`."""

    def __init__(self, net, namespace, link, vlan, name):
        log = net.dir / f"{name}-{namespace.name}.log"
        self.process = namespace.spawn([PYTHON, HELPERS / "vlan_end.py", link, str(vlan), name], log, pipes=True)
        if self.process.popen.stdout.readline().strip() != "ready":
            raise AssertionError(f"a VLAN's end did not start: {self.process.log_tail()}")

    def close(self):
        self.process.kill()
