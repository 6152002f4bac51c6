"""The servers' ends of tunnels."""

import json

from .servers import HELPERS, PYTHON


class TunnelEnd:
    """helpers/tunnel_end.py in one namespace."""

    def __init__(self, net, namespace):
        self.process = namespace.spawn([PYTHON, HELPERS / "tunnel_end.py"], net.dir / f"tunnel-{namespace.name}.log", pipes=True)
        if self.process.popen.stdout.readline().strip() != "ready":
            raise AssertionError(f"a tunnel's end did not start: {self.process.log_tail()}")

    def report(self):
        """{"sources": {address of an outer packet's sender: packets}, "largest": bytes of the largest inner packet}."""
        self.process.popen.stdin.write("report\n")
        self.process.popen.stdin.flush()
        return json.loads(self.process.popen.stdout.readline())

    def close(self):
        self.process.kill()
