#!/usr/bin/python3
"""How Steelyard carries a large configuration: 1,000 listeners with 10,000 servers, all checked every 2 seconds.

    sudo bench/scale.py          (root; network namespaces of its own; the release build, or $STEELYARD)

Prints, beside what is wanted: time from start to forwarding, time of a reload of the whole file, how long a one-server
change takes to reach all workers, what 5,000 probes a second cost (control, exception thread and the kernel's TAP path in
the process), and whether probes keep their rhythm while the file is reloaded each second.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))

from harness import config  # noqa: E402  (the path above comes first)
from harness.net import Net  # noqa: E402
from harness.plan import FAMILIES  # noqa: E402
from harness.steelyard import Steelyard  # noqa: E402

LISTENERS, SERVERS_EACH = 1000, 10
SERVER_NETWORK = "10.64.0.0/16"
PORT = 8000
WINDOW = 20.0
TICK = os.sysconf("SC_CLK_TCK")

# Takes every connection there is and closes it; its own CPU is the servers' and not counted.
ACCEPTOR = """
import socket
listening = socket.create_server(("0.0.0.0", 8000), backlog=16384)
while True:
    try:
        listening.accept()[0].close()
    except OSError:
        pass
"""


def address(number):
    return f"10.64.{number // 250}.{number % 250 + 1}"


def document():
    family = FAMILIES["ipv4"]
    groups, balancers = [], []
    for index in range(LISTENERS):
        servers = [
            {"address": address(index * SERVERS_EACH + place), "port": PORT, "weight": 100} for place in range(SERVERS_EACH)
        ]
        groups.append({"name": f"group{index}", "servers": servers})
    for vip in range(10):
        listeners = [
            {"protocol": "tcp", "port": 1000 + place, "server_group": f"group{vip * 100 + place}"} for place in range(100)
        ]
        balancers.append({"name": f"lb{vip}", "address": family.vip(vip), "listeners": listeners})
    result = config.base(workers=2, load_balancers=balancers, server_groups=groups)
    result["routes"].append({"to": SERVER_NETWORK, "via": family.server(0)})
    return result


def cpu_seconds(pid):
    """CPU of each thread of a process, by thread name."""
    spent = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
        name = (task / "comm").read_text().strip()
        spent[name] = spent.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / TICK
    return spent


def probes(steelyard):
    return steelyard.stats()["health_checks"]


def window(steelyard, pid, every_second=None):
    """Probes a second and CPU by thread over a while."""
    before, cpu, began = probes(steelyard), cpu_seconds(pid), time.monotonic()
    took = []
    while time.monotonic() - began < WINDOW:
        if every_second is None:
            time.sleep(0.5)
            continue
        start = time.monotonic()
        every_second()
        took.append(time.monotonic() - start)
        time.sleep(max(0.0, 1 - took[-1]))
    elapsed = time.monotonic() - began
    after, spent = probes(steelyard), cpu_seconds(pid)
    rate = (after["started"] - before["started"]) / elapsed
    failed = after["failed"] - before["failed"] + after["local_errors"] - before["local_errors"]
    used = {name: (spent[name] - cpu.get(name, 0.0)) / elapsed for name in spent}
    return rate, failed, used, took


def process_id(steelyard):
    """The process itself: the command under `ip netns exec` is executed in its place."""
    return steelyard.process.pid


def main():
    net = Net(1)
    try:
        net.servers[0].batch(f"route add local {SERVER_NETWORK} dev lo")
        net.servers[0].spawn([sys.executable, "-c", ACCEPTOR], net.dir / "acceptor.log")
        steelyard = Steelyard(net, document())
        began = time.monotonic()
        steelyard.start(timeout=60)
        loaded = time.monotonic() - began
        pid = process_id(steelyard)
        time.sleep(5)
        reloads = []
        for _ in range(5):
            start = time.monotonic()
            steelyard.reload()
            reloads.append(time.monotonic() - start)
        changes = []
        for weight in range(1, 12):
            steelyard.command("server", "weight", "group500", f"{address(5000)}:{PORT}", str(weight))
            time.sleep(0.1)
            changes.append(steelyard.stats()["adoption_ms"])
        quiet_rate, quiet_failed, quiet_cpu, _ = window(steelyard, pid)
        busy_rate, busy_failed, _, took = window(steelyard, pid, steelyard.reload)
        print(subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout.split("Model name:")[1].split("\n")[0].strip())
        print(f"load average {os.getloadavg()[0]:.2f}; {LISTENERS} listeners, {LISTENERS * SERVERS_EACH} servers, 2 workers, adaptive")
        print(f"start to forwarding           {loaded:7.2f} s    wanted < 2 s")
        print(f"reload, median of {len(reloads)}           {statistics.median(reloads):7.2f} s    wanted < 1 s")
        print(f"reload, each second           {max(took):7.2f} s    the longest of {len(took)}")
        print(f"weight change on all workers  {max(changes):7.3f} ms   wanted < 10 ms, the longest of {len(changes)}")
        print(f"probes                        {quiet_rate:7.0f} /s   {quiet_failed} failed")
        print(f"probes, reload each second    {busy_rate:7.0f} /s   {busy_failed} failed; {busy_rate / quiet_rate:.1%} of the rate without")
        workers = sum(share for name, share in quiet_cpu.items() if name.startswith("rte-worker"))
        rest = sum(quiet_cpu.values()) - workers
        print(f"CPU of control and exception  {rest:7.1%} of a core, wanted <= 40%; workers {workers:.1%}")
        print("by thread: " + ", ".join(f"{name} {share:.1%}" for name, share in sorted(quiet_cpu.items()) if share > 0.001))
        steelyard.assert_exact_accounting()
    finally:
        net.close()


if __name__ == "__main__":
    main()
