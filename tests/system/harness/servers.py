"""Real servers in the servers' namespaces: nginx, and a TCP/UDP echo server that knows who it is."""

import json
import pathlib
import tempfile
import time

from . import shell
from .net import NAMES
from .plan import FAMILIES

HELPERS = pathlib.Path(__file__).resolve().parent.parent / "helpers"
PYTHON = "/usr/bin/python3"


class EchoServer:
    """helpers/servant.py on one server; `tcp` is {port: "echo" | "close" | "proxied"}, `udp` a list of ports; all on both families,
    and on the VIPs that the server accepts. Or in another `namespace`, on `addresses` alone."""

    def __init__(self, net, index, tcp=None, udp=(), vips=(), namespace=None, addresses=None):
        self.net, self.index, self.name = net, index, NAMES[index]
        self.namespace = namespace or net.servers[index]
        addresses = addresses or [*(family.server(index) for family in FAMILIES.values()), *vips]
        self.spec = {
            "name": self.name,
            "tcp": [[address, port, how] for address in addresses for port, how in (tcp or {}).items()],
            "udp": [[address, port] for address in addresses for port in udp],
        }
        self.process = None
        self.start()

    def start(self):
        argv = [PYTHON, HELPERS / "servant.py", json.dumps(self.spec)]
        log = self.net.dir / f"echo-{self.name}.log"
        self.process = self.namespace.spawn(argv, log, pipes=True)
        if self.process.popen.stdout.readline().strip() != "ready":
            raise AssertionError(f"echo server {self.name} did not start: {self.process.log_tail()}")

    def report(self):
        """{"accepted" | "ended" | "reset" | "datagrams": {peer address: count}, "most_open": count} since the start."""
        self.process.popen.stdin.write("report\n")
        self.process.popen.stdin.flush()
        return json.loads(self.process.popen.stdout.readline())

    def kill(self):
        """As if it crashed: its kernel answers with RST / ICMP port unreachable from now on."""
        self.process.kill()


class Web:
    """helpers/web.py on one server: an HTTP/1.1 server that says what it was asked."""

    def __init__(self, net, index, port=80):
        self.net, self.index, self.port, self.name = net, index, port, NAMES[index]
        self.process = None
        self.start()

    def start(self):
        argv = [PYTHON, HELPERS / "web.py", self.name]
        for family in FAMILIES.values():
            argv += [family.server(self.index), str(self.port)]
        self.process = self.net.servers[self.index].spawn(argv, self.net.dir / f"web-{self.name}.log", pipes=True)
        if self.process.popen.stdout.readline().strip() != "ready":
            raise AssertionError(f"web server {self.name} did not start: {self.process.log_tail()}")

    def report(self):
        """{"requests": n, "connections": n} since the start."""
        self.process.popen.stdin.write("report\n")
        self.process.popen.stdin.flush()
        return json.loads(self.process.popen.stdout.readline())

    def kill(self):
        self.process.kill()


class NodeWeb:
    """helpers/node_web.js on one server, with Node's own HTTP; closes connections that have been idle for so long."""

    def __init__(self, net, index, port=80, keep_alive_ms=5_000):
        argv = ["node", HELPERS / "node_web.js", str(keep_alive_ms)]
        for family in FAMILIES.values():
            argv += [family.server(index), str(port)]
        self.process = net.servers[index].spawn(argv, net.dir / f"node-{NAMES[index]}.log", pipes=True)
        if self.process.popen.stdout.readline().strip() != "ready":
            raise AssertionError(f"node on server {NAMES[index]} did not start: {self.process.log_tail()}")

    def kill(self):
        self.process.kill()


class Nginx:
    """nginx on one server (with `proxied` it expects PROXY headers, and logs whose they are), answering its own name on `/`, files below `root` on `/files/`, slowly on `/slow/`."""

    def __init__(self, net, index, ports=(80,), status=200, rate="1m", proxied=False):
        self.net, self.index, self.name = net, index, NAMES[index]
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"nginx-{self.name}-", dir=net.dir))
        self.ports, self.status, self.rate, self.proxied = ports, status, rate, proxied
        self.process = None
        (self.dir / "root").mkdir()
        # The worker processes of nginx run as an unprivileged user and read the files through this path.
        for folder in (net.dir, self.dir, self.dir / "root"):
            folder.chmod(0o755)
        self.start()

    @property
    def root(self):
        return self.dir / "root"

    def _configuration(self):
        addresses = [f"{family.server(self.index)}" for family in FAMILIES.values()]
        listens = "".join(
            f"        listen {'[' + address + ']' if ':' in address else address}:{port} backlog=4096{' proxy_protocol' * self.proxied};\n"
            for address in addresses
            for port in self.ports
        )
        temporary = "".join(
            f"    {kind}_temp_path {self.dir}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""daemon off;
pid {self.dir}/pid;
error_log {self.dir}/error.log;
worker_processes 1;
events {{ worker_connections 8192; }}
http {{
    log_format proxied "$proxy_protocol_addr $proxy_protocol_port";
    access_log {self.dir}/access.log{' proxied' * self.proxied};
{temporary}    default_type text/plain;
    server {{
{listens}        location / {{ return {self.status} "{self.name}\\n"; }}
        location /files/ {{ alias {self.dir}/root/; }}
        location /slow/ {{ alias {self.dir}/root/; limit_rate {self.rate}; }}
    }}
}}
"""

    def start(self):
        (self.dir / "nginx.conf").write_text(self._configuration())
        argv = ["nginx", "-e", self.dir / "start.log", "-c", self.dir / "nginx.conf", "-p", self.dir]
        self.process = self.net.servers[self.index].spawn(argv, self.dir / "output.log")
        pid = self.dir / "pid"
        shell.eventually(lambda: pid.exists() or not self.process.running(), f"nginx {self.name} starts")
        if not self.process.running():
            raise AssertionError(f"nginx {self.name} did not start: {self.process.log_tail()}")

    def access_log(self):
        """One line a request; the first word is the client's address as nginx saw it."""
        log = self.dir / "access.log"
        return log.read_text().splitlines() if log.exists() else []

    def logged(self, count):
        """The access log, sorted, once it has so many lines: nginx writes each after its answer has gone."""
        shell.eventually(lambda: len(self.access_log()) >= count, f"nginx {self.name} logs {count} requests")
        return sorted(self.access_log())

    def answer(self, status):
        """From now on `/` answers with this status."""
        self.status = status
        self.stop()
        self.start()

    def stop(self):
        """Ends it gracefully enough that its listening sockets are gone on return."""
        self.process.stop()
        (self.dir / "pid").unlink(missing_ok=True)
        time.sleep(0.05)

    kill = stop
