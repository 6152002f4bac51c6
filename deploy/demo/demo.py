"""The show behind deploy/demo.sh: clients, Steelyard and servers in network namespaces, step by step, and a summary.

Built of the same bricks as the system tests (tests/system/harness). It touches nothing of the machine but namespaces and a
temporary folder whose names carry `sy-demo` and this process's id; both are removed at the end, also after Ctrl-C.
"""

import argparse
import contextlib
import os
import pathlib
import re
import signal
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/system"), str(ROOT / "deploy/demo")]

import http_steps  # noqa: E402  (the paths above come first)
from harness import config, shell  # noqa: E402
from harness.clients import Client  # noqa: E402
from harness.net import Net  # noqa: E402
from harness.plan import FAMILIES, endpoint  # noqa: E402
from harness.servers import EchoServer, Nginx  # noqa: E402
from harness.steelyard import Steelyard, binary  # noqa: E402

PREFIX = "sy-demo"
FAMILY = FAMILIES["ipv4"]
VIP = FAMILY.vip()
NAMES = ("a", "b", "c")
WEIGHTS = (100, 50, 50)
CONNECTIONS = 2000
PAGES, STICKY, ECHO = 80, 81, 5300


def document():
    """Five listeners on one address: pages by weight, pages with persistence, UDP echo, and two of layer 7."""
    listeners = [
        config.listener(PAGES, group="pages", scheduler="wrr"),
        config.listener(STICKY, group="sticky", scheduler="wrr", persistence_timeout=300),
        config.listener(ECHO, "udp", group="echo"),
        *http_steps.listeners(),
    ]
    groups = [
        config.group("pages", FAMILY, PAGES, WEIGHTS),
        config.group("sticky", FAMILY, STICKY, WEIGHTS),
        config.group("echo", FAMILY, ECHO, (100, 100, 100)),
        *http_steps.groups(),
    ]
    return config.base(
        load_balancers=[config.load_balancer("demo", VIP, *listeners)], server_groups=groups, memory={"hugepages": "auto"}
    )


class Demo:
    """The running scene and the notes taken of every step."""

    def __init__(self):
        self.net = Net(len(NAMES), prefix=PREFIX)
        self.client = Client(self.net)
        self.notes = []
        self.nginx = [Nginx(self.net, index, ports=(PAGES, STICKY)) for index in range(len(NAMES))]
        self.echo = [EchoServer(self.net, index, udp=[ECHO]) for index in range(len(NAMES))]
        self.http = http_steps.HttpSteps(self)
        self.steelyard = Steelyard(self.net, document())
        self.steelyard.start()

    def note(self, step, expected, seen, ok):
        self.notes.append((step, expected, seen, ok))
        print(f"    expected: {expected}\n    seen:     {seen}  -> {'ok' if ok else 'NOT OK'}", flush=True)

    def page(self, port=PAGES, source=None):
        """Which server answered."""
        return self.client.get(VIP, port, source=source)[1].decode().strip()

    def answers(self, count, port=PAGES):
        return {name: sum(1 for _ in found) for name, found in _grouped(self.page(port) for _ in range(count))}

    def distribution(self):
        seen = self.answers(CONNECTIONS)
        wanted = {name: CONNECTIONS * weight // sum(WEIGHTS) for name, weight in zip(NAMES, WEIGHTS)}
        ok = all(abs(seen.get(name, 0) - wanted[name]) <= CONNECTIONS // 100 for name in NAMES)
        self.note("distribution by weight", f"{wanted} within 1%", str(seen), ok)

    def real_address(self):
        source = FAMILY.far(6)
        self.page(source=source)
        line = shell.eventually(lambda: self.logged(source), f"a line of {source} in an access log of nginx", timeout=3)
        print(f"    nginx's access log: {line}")
        self.note("client's address in nginx's log", source, line.split()[0], True)

    def logged(self, source):
        """The access-log line of a client, of whichever nginx served it; None when no nginx has seen this address."""
        lines = (line for nginx in self.nginx for line in nginx.access_log())
        return next((line for line in lines if line.split()[0] == source), None)

    def persistence(self):
        clients = [FAMILY.far(number) for number in range(12)]
        met = {source: {self.page(STICKY, source) for _ in range(10)} for source in clients}
        for source in clients[:4]:
            print(f"    {source} met {', '.join(sorted(met[source]))}")
        ok = all(len(names) == 1 for names in met.values()) and len(set.union(*met.values())) > 1
        faithful = sum(len(names) == 1 for names in met.values())
        self.note("persistence by source IP", "12 of 12 clients stay", f"{faithful} of 12 clients stay", ok)

    def udp(self):
        asked = [self.client.ask_udp(VIP, ECHO, payload=b"weigh this", tries=3) for _ in range(12)]
        names = sorted({name for name, _ in asked})
        ok = names == list(NAMES) and all(echoed == b"weigh this" for _, echoed in asked)
        self.note("UDP echo", "12 answers by a, b, c", f"{len(asked)} answers by {', '.join(names)}", ok)

    def ejection(self):
        print("    nginx of b is stopped")
        self.nginx[1].kill()
        entry = self.steelyard.wait_health(FAMILY.server(1), PAGES, "down")
        self.show_status()
        why = f"{entry.get('check')}: {entry.get('last_result')}, since {entry.get('since')}"
        seen = self.answers(100)
        self.note("dead server is ejected", "b down and why; none of 100 to b", f"{why}; {seen}", "b" not in seen)
        print("    nginx of b is started again")
        self.nginx[1].start()
        self.steelyard.wait_health(FAMILY.server(1), PAGES, "up")
        seen = self.answers(100)
        self.note("server is used when it is back", "b among 100 answers", str(seen), "b" in seen)

    def drain(self):
        server = endpoint(FAMILY.server(0), PAGES)
        print(f"    steelyard server drain pages {server}")
        self.steelyard.command("server", "drain", "pages", server)
        seen = self.answers(100)
        self.note("server drain", "none of 100 to a", str(seen), "a" not in seen and sum(seen.values()) == 100)
        self.steelyard.command("server", "enable", "pages", server)

    def accounting(self):
        try:
            self.steelyard.assert_exact_accounting()
            self.note("every packet is accounted for", "in = out + drops", "exact", True)
        except AssertionError as error:
            self.note("every packet is accounted for", "in = out + drops", str(error), False)

    def show_status(self):
        for line in self.steelyard.command("status").splitlines():
            print(f"    | {line}")

    def run(self):
        """All steps; a step that breaks is a step that did not hold."""
        for title, step in (
            (f"{CONNECTIONS} connections to http://{VIP}/, weights 100/50/50", self.distribution),
            ("who does nginx think the client is?", self.real_address),
            (f"the listener on port {STICKY} keeps a client on its server", self.persistence),
            (f"UDP echo on port {ECHO}", self.udp),
            ("a server dies and comes back", self.ejection),
            ("a server is drained for maintenance", self.drain),
            *self.http.steps(),
            ("accounting", self.accounting),
        ):
            print(f"\n==> {title}", flush=True)
            try:
                step()
            except (AssertionError, OSError, shell.CommandFailed, LookupError, ValueError) as error:
                self.note(title, "works", f"{type(error).__name__}: {error}", False)
        return self.summary()

    def summary(self):
        ok = bool(self.notes) and all(note[3] for note in self.notes)
        width = max(len(note[0]) for note in self.notes)
        print(f"\n{'step':{width}}  ok   expected | seen")
        for step, expected, seen, good in self.notes:
            print(f"{step:{width}}  {'yes' if good else 'NO ':3}  {expected} | {seen[:90]}")
        print("\nevery step held" if ok else f"\nsome steps did not hold; Steelyard's log:\n{self.steelyard.process.log_tail()}")
        return ok

    def what_to_type(self):
        print(
            f"\nLeft running. Try:\n"
            f"  ip netns exec {self.net.client.name} curl http://{VIP}/\n"
            f"  ip netns exec {self.net.client.name} curl -i http://{VIP}:{http_steps.SHOP}/\n"
            f"  {binary()} status --socket {self.steelyard.socket}\n"
            f"  {binary()} stats --socket {self.steelyard.socket}\n"
            f"  {binary()} server weight pages {endpoint(FAMILY.server(0), PAGES)} 10 --socket {self.steelyard.socket}\n"
            f"  $EDITOR {self.steelyard.path}; {binary()} reload --socket {self.steelyard.socket}\n"
            f"  ip netns exec {self.net.servers[0].name} ss -tn\n"
            f"End it with: sudo deploy/demo.sh --remove",
            flush=True,
        )

    def close(self):
        with contextlib.suppress(AssertionError):
            if self.steelyard.running():
                self.steelyard.stop()
        self.net.close()


def _grouped(names):
    """(name, its occurrences) for every name."""
    found = {}
    for name in names:
        found.setdefault(name, []).append(name)
    return sorted(found.items())


def perform(keep, done):
    """The whole show; with `keep`, calls `done(ok)` before it waits for SIGTERM with everything running."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0 if keep else 143))
    print("setting the stage: client, balancer, three servers", flush=True)
    demo = None
    with contextlib.ExitStack() as stack:
        demo = Demo()
        stack.callback(demo.close)
        ok = demo.run()
        if keep:
            demo.what_to_type()
            done(ok)
            while True:
                signal.pause()
    return ok


def perform_and_leave():
    """The scene lives in a child process of its own session; this one returns as soon as the show is over."""
    reader, writer = os.pipe()
    if os.fork() > 0:
        os.close(writer)
        return os.read(reader, 1) == b"y"
    os.close(reader)
    os.setsid()

    def done(ok):
        os.write(writer, b"y" if ok else b"n")
        os.close(writer)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)

    perform(True, done)
    sys.exit(1)  # only reached when the show broke off


def remove():
    """Asks every kept demo to end, and waits until its namespaces are gone."""
    stems = set(re.findall(rf"^({PREFIX}\d+)-", shell.run("ip", "netns", "list"), re.MULTILINE))
    for stem in stems:
        pid = int(stem.removeprefix(PREFIX))
        with contextlib.suppress(OSError):
            if "demo.py" in pathlib.Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGTERM)
        shell.eventually(lambda: stem not in shell.run("ip", "netns", "list"), f"{stem} is removed", timeout=30)
    print(f"removed: {', '.join(sorted(stems)) or 'nothing was left'}")
    return True


def main():
    parser = argparse.ArgumentParser(description="Steelyard's demo (start it by deploy/demo.sh)")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--remove", action="store_true")
    options = parser.parse_args()
    began = time.monotonic()
    if options.remove:
        ok = remove()
    elif options.keep:
        ok = perform_and_leave()
    else:
        ok = perform(False, None)
        print(f"{time.monotonic() - began:.0f} s; everything was removed")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
