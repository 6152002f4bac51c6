#!/usr/bin/python3
"""HTTP through Steelyard, HAProxy and nginx, one after the other over the same kind of veth pairs, and straight to the
server: requests a second, latency, the processor time that 10,000 requests cost the balancer, and packets per request on
both of its links.

    sudo bench/http_compare.py [--rounds N] [--seconds N] [--connections N] [--new]

The balancer has CPU 1; wrk and the server, an nginx that answers 1 KB, have CPU 0: what they can do bounds what is measured,
so the figures count beside each other, not by themselves. Whoever sends into a veth pair would do the receiver's work as
well: RPS moves it to the receiver's CPU, for all candidates alike. Candidates take turns, the order changes with every round.
--new: a connection for each request. Run by bench/run.sh http.

Processor time: of HAProxy and nginx what the kernel counts for them; of Steelyard, which polls, the turns that had work,
less what others had of the CPU meanwhile. What the kernel does in softirqs on CPU 1 counts for whom it interrupts.
"""

import argparse
import os
import pathlib
import re
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/system"))

from harness import config  # noqa: E402  (the path above comes first)
from harness.net import LINKS, Net  # noqa: E402
from harness.plan import IPV4  # noqa: E402
from harness.shell import eventually  # noqa: E402
from harness.steelyard import Steelyard  # noqa: E402

PORT = 8000
BODY = "x" * 1023 + "\n"
# wrk tells no more than 99%.
TAIL = 'done = function(summary, latency) io.write(string.format("   99.9%% %.0fus\\n", latency:percentile(99.9))) end\n'
TICKS = os.sysconf("SC_CLK_TCK")


def nginx_configuration(folder, http, user=""):
    temporary = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log crit;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
{temporary}{http}}}
"""


class Stage:
    """A network with the server and, between it and the client, whatever is measured."""

    def __init__(self):
        self.net = Net(1, prefix="syb")
        self.processes = []
        for namespace, interfaces, cpu in (
            (self.net.client, ["eth0"], 0),
            (self.net.servers[0], ["eth0"], 0),
            (self.net.lan, ["tolb", "toa"], 0),
            (self.net.lb, LINKS, 1),
        ):
            for interface in interfaces:
                receive_on(namespace, interface, cpu)
        http = f"""    server {{
        listen {IPV4.server(0)}:{PORT} backlog=8192;
        location / {{ default_type text/plain; return 200 "{BODY.strip()}"; }}
    }}
"""
        self.nginx(self.net.servers[0], "server", http, cpu=0)

    def spawn(self, namespace, cpu, *argv, name):
        process = namespace.spawn(["taskset", "-c", str(cpu), *argv], self.net.dir / f"{name}.log")
        self.processes.append(process)
        return process

    def nginx(self, namespace, name, http, cpu):
        folder = self.net.dir / name
        folder.mkdir()
        for path in (self.net.dir, folder):
            path.chmod(0o755)
        (folder / "nginx.conf").write_text(nginx_configuration(folder, http))
        argv = ["nginx", "-e", folder / "start.log", "-c", folder / "nginx.conf", "-p", folder]
        process = self.spawn(namespace, cpu, *argv, name=name)
        eventually((folder / "pid").exists, f"nginx {name} starts")
        return process

    def kernel(self):
        """The balancer's namespace is an ordinary host with both links."""
        lb = self.net.lb
        lb.run("nft", "flush", "ruleset")
        lb.sysctl(ipv4__ip_forward=1, ipv4__ip_local_port_range="10000 65000", core__somaxconn=16384)
        lb.batch(
            f"addr add {IPV4.on(IPV4.wan_network, IPV4.wan)} dev wan0",
            f"addr add {IPV4.on(IPV4.wan_network, IPV4.vip())} dev wan0",
            f"addr add {IPV4.on(IPV4.lan_network, IPV4.lan)} dev lan0",
        )

    def wrk(self, address, port, arguments):
        argv = ["wrk", "-t1", f"-c{arguments.connections}", f"-d{arguments.seconds}s", "--latency"]
        argv += ["-H", "Connection: close"] if arguments.new else []
        script = self.net.dir / "tail.lua"
        script.write_text(TAIL)
        argv += ["-s", str(script)]
        process = self.spawn(self.net.client, 0, *argv, f"http://{address}:{port}/", name="wrk")
        process.wait(arguments.seconds + 30)
        return process.log()

    def close(self):
        for process in self.processes:
            process.kill()
        self.net.close()


def receive_on(namespace, interface, cpu):
    """What comes to an interface is worked on by this CPU (RPS)."""
    masks = f"/sys/class/net/{interface}/queues/rx-0/rps_cpus"
    namespace.run("sh", "-c", f"echo {1 << cpu:x} >{masks}")


def packets_of(namespace):
    """Received and sent, of all links of the balancer."""
    names = [f"/sys/class/net/{link}/statistics/{way}_packets" for link in LINKS for way in ("rx", "tx")]
    return [int(number) for number in namespace.run("cat", *names).split()]


def listens(namespace):
    return f"{IPV4.vip()}:80 " in namespace.run("ss", "-Hltn")


def processor_time(process):
    """Seconds, of all threads and of the children, as nginx's workers are."""
    total = 0
    for pid in [process.pid, *map(int, pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())]:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def direct(stage, arguments):
    stage.kernel()
    return stage.wrk(IPV4.server(0), PORT, arguments), 0.0


def steelyard(stage, arguments):
    document = config.base(
        1,
        load_balancers=[config.load_balancer("bench", IPV4.vip(), config.listener(80, "http"))],
        server_groups=[config.group("web", IPV4, PORT, weights=(100,))],
        memory={"hugepages": "auto", "packet_buffers": 32768},
    )
    document["workers"].update(cpus=[1], idle="busy")
    process = Steelyard(stage.net, document)
    process.start()
    try:
        def spent():
            return process.stats()["workers"][0]["turns"]["busy_ns"] / 1e9, processor_time(process.process), time.monotonic()

        before = spent()
        report = stage.wrk(IPV4.vip(), 80, arguments)
        busy, processor, passed = (now - then for now, then in zip(spent(), before))
        return report, busy * min(processor / passed, 1.0)
    finally:
        process.stop()


def haproxy(stage, arguments):
    stage.kernel()
    path = stage.net.dir / "haproxy.cfg"
    path.write_text(f"""global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option forwardfor
    http-reuse always
frontend in
    bind {IPV4.vip()}:80 backlog 8192
    default_backend web
backend web
    server a {IPV4.server(0)}:{PORT}
""")
    process = stage.spawn(stage.net.lb, 1, "haproxy", "-db", "-f", path, name="haproxy")
    eventually(lambda: listens(stage.net.lb) or not process.running(), "haproxy listens")
    if not process.running():
        raise SystemExit(f"haproxy does not run: {process.log()}")
    before = processor_time(process)
    return stage.wrk(IPV4.vip(), 80, arguments), processor_time(process) - before


def nginx(stage, arguments):
    stage.kernel()
    http = f"""    upstream web {{ server {IPV4.server(0)}:{PORT}; keepalive 256; }}
    server {{
        listen {IPV4.vip()}:80 backlog=8192;
        location / {{
            proxy_pass http://web;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
"""
    process = stage.nginx(stage.net.lb, "proxy", http, cpu=1)
    before = processor_time(process)
    return stage.wrk(IPV4.vip(), 80, arguments), processor_time(process) - before


def milliseconds(text):
    value, unit = re.match(r"([\d.]+)(us|ms|s)", text).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def measure(what, arguments):
    stage = Stage()
    try:
        before = packets_of(stage.net.lb)
        report, seconds = what(stage, arguments)
        packets = [now - then for now, then in zip(packets_of(stage.net.lb), before)]
    finally:
        stage.close()
    if "Socket errors" in report or "Non-2xx" in report:
        print(report, file=sys.stderr)
    if "requests in" not in report:
        raise SystemExit(f"{what.__name__}: wrk says {report}")
    requests = int(re.search(r"(\d+) requests in", report)[1])
    return {
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", report)[1]),
        "p50": milliseconds(re.search(r"^\s+50%\s+(\S+)", report, re.MULTILINE)[1]),
        "p99": milliseconds(re.search(r"^\s+99%\s+(\S+)", report, re.MULTILINE)[1]),
        "p99.9": milliseconds(re.search(r"^\s+99\.9%\s+(\S+)", report, re.MULTILINE)[1]),
        "cpu": seconds / requests * 10_000,
        "wan in": packets[0] / requests,
        "wan out": packets[1] / requests,
        "lan in": packets[2] / requests,
        "lan out": packets[3] / requests,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--new", action="store_true")
    arguments = parser.parse_args()
    candidates = (direct, steelyard, haproxy, nginx)
    results = {what: [] for what in candidates}
    for count in range(arguments.rounds):
        for what in candidates[:: 1 if count % 2 == 0 else -1]:
            results[what].append(measure(what, arguments))
    print(f"{'':10} {'requests/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'p99.9 ms':>8} {'CPU s per 10,000':>17} "
          f"{'packets: wan in/out':>20} {'lan in/out':>11}   (medians of {arguments.rounds})")
    medians = {}
    for what, runs in results.items():
        medians[what] = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        row = medians[what]
        print(f"{what.__name__:10} {row['rate']:11.0f} {row['p50']:8.2f} {row['p99']:8.2f} {row['p99.9']:8.2f} "
              f"{row['cpu']:17.3f} {row['wan in']:15.2f}/{row['wan out']:4.2f} {row['lan in']:6.2f}/{row['lan out']:4.2f}")
    ours, theirs = medians[steelyard], medians[haproxy]
    print(f"steelyard: {ours['rate'] / theirs['rate']:.2f} of HAProxy's rate (goal 1.3), ", end="")
    print(f"{ours['rate'] / medians[direct]['rate']:.2f} of direct (or 0.85), ", end="")
    print(f"{ours['cpu'] / max(theirs['cpu'], 1e-9):.2f} of its CPU per request (goal 0.33)")


if __name__ == "__main__":
    main()
