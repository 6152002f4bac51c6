"""The binary under test: starts it in the balancer's namespace, speaks to it by its own command line, stops it.

What the tests rely on in the JSON answers:
    stats   "workers": a list with each worker's "accounting" (see accounting.py)
    status  somewhere inside, objects with "address", "port", "weight", "connections" and "health" ("up" | "down" |
            "unknown" | "unchecked") for servers; a checked one also has "check", "last_result" and "since"
    flows   count: {"count": n}; list: {"flows": [...]}
"""

import json
import os
import pathlib
import re
import signal
import time

from . import config as configuration
from . import shell
from .accounting import imbalances
from .plan import endpoint

ROOT = pathlib.Path(__file__).resolve().parents[3]
READY = "steelyard: ready"


def binary():
    """The program: $STEELYARD, else the release build."""
    path = pathlib.Path(os.environ.get("STEELYARD", ROOT / "build/release/control/steelyard")).resolve()
    if not path.exists():
        raise AssertionError(f"{path} does not exist: build it (cmake --build --preset release) or set STEELYARD")
    return path


def check(text, folder):
    """`steelyard check` of a file with this text: (exit code, standard error, path of the file)."""
    path = pathlib.Path(folder) / "checked.yaml"
    path.write_text(text)
    try:
        return 0, shell.run(binary(), "check", "-c", path), path
    except shell.CommandFailed as failure:
        return failure.code, failure.stderr, path


class Steelyard:
    """One process; `document` is a dictionary (config.py). Started by `start()`, forwarding when that returns."""

    def __init__(self, net, document, name="steelyard"):
        self.net, self.name = net, name
        self.path = net.dir / f"{name}.yaml"
        self.run_dir = net.dir / "run"
        self.run_dir.mkdir(exist_ok=True)
        self.socket = self.run_dir / f"{name}.sock"
        self.log = net.dir / f"{name}.log"
        self.process = None
        self._starts = 0
        self.write(document)

    def write(self, document):
        """Replaces the configuration file, as an editor does; text is written as it is."""
        self.document = document
        text = document if isinstance(document, str) else configuration.to_yaml(document)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.path)
        return text

    def launch(self, outlive=False):
        """Starts the process without waiting for anything."""
        self._starts += 1
        argv = [binary(), "run", "-c", self.path, "--socket", self.socket, "--run-dir", self.run_dir, "--state-dir", self.run_dir]
        self.log = self.net.dir / f"{self.name}.{self._starts}.log"
        self.process = self.net.lb.spawn(argv, self.log, outlive=outlive)
        return self

    def start(self, timeout=20, outlive=False):
        self.launch(outlive)
        shell.eventually(
            lambda: READY in self.process.log() or not self.process.running(), f"`{READY}` in {self.log}", timeout
        )
        if not self.process.running():
            raise AssertionError(f"steelyard ended with {self.process.wait()} at start:\n{self.process.log_tail()}")
        return self

    def running(self):
        return self.process is not None and self.process.running()

    def command(self, *arguments, timeout=30):
        """Runs a command of the CLI against this process and returns what it printed."""
        return self.net.lb.run(binary(), *arguments, "--socket", self.socket, timeout=timeout)

    def json(self, *arguments):
        return json.loads(self.command(*arguments, "--json"))

    def stats(self):
        return self.json("stats")

    def status(self):
        return self.json("status")

    def server(self, address, port):
        """The status of one server: the first entry for it."""
        found = server_entries(self.status(), address, port)
        if not found:
            raise AssertionError(f"`steelyard status` does not name the server {endpoint(address, port)}")
        return found[0]

    def wait_health(self, address, port, health, timeout=30):
        """Waits until status says `up`, `down` or `unknown` of a server; returns its entry."""

        def seen():
            entry = self.server(address, port)
            return entry if entry["health"] == health else None

        return shell.eventually(seen, f"server {endpoint(address, port)} is {health}", timeout, interval=0.2)

    def reload(self, document=None):
        if document is not None:
            self.write(document)
        return self.command("reload")

    def assert_exact_accounting(self):
        """Counters are read while packets still move, so a few looks are allowed; a lost packet never comes back."""
        problems = []
        for _ in range(20):
            problems = imbalances(self.stats())
            if not problems:
                return
            time.sleep(0.1)
        raise AssertionError("accounting is not exact:\n" + "\n".join(problems))

    def counted(self, fragment):
        """Sum over the workers of all counters in `accounting` whose name contains `fragment`."""

        def walk(table):
            for key, value in table.items():
                if isinstance(value, dict):
                    yield from walk(value)
                elif fragment in key:
                    yield value

        return sum(sum(walk(worker["accounting"])) for worker in self.stats()["workers"])

    def stop(self):
        """SIGTERM; the exit code."""
        return self.process.stop(timeout=20)

    def restart(self):
        """An orderly end and a new process."""
        self.stop()
        return self.start()

    def resident(self):
        """Bytes of memory that the process has in use."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    def kill(self):
        self.process.kill()

    def crash(self):
        """kill -9, and nothing else is cleaned up."""
        self.process.signal(signal.SIGKILL)
        self.process.wait()


def server_entries(tree, address, port):
    """Every object in a status document that describes this server."""
    found = []
    if isinstance(tree, dict):
        if tree.get("address") == address and tree.get("port") == port and "health" in tree:
            found.append(tree)
        tree = list(tree.values())
    if isinstance(tree, list):
        for inner in tree:
            found += server_entries(inner, address, port)
    return found


def positions(text):
    """All (line, column) that an error report names as file:line:column."""
    return [(int(line), int(column)) for line, column in re.findall(r"\.yaml:(\d+):(\d+)", text)]
