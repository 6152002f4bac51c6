"""Live views of the command line: they follow a running process, outlive its restart, and end when they are told to."""

import json
import re
import signal
import subprocess
import time

from harness import config
from harness.case import SystemCase
from harness.plan import FAMILIES
from harness.shell import PATIENCE, eventually
from harness.steelyard import binary

FAMILY = FAMILIES["ipv4"]


class LiveViews(SystemCase):
    def setUp(self):
        super().setUp()
        self.echo_servers(tcp={8000: "echo", 8001: "close"})
        self.steelyard = self.balance(
            [config.load_balancer("lb", FAMILY.vip(), config.listener(7000), config.listener(7001, group="brief"))],
            [config.group("web", FAMILY, 8000), config.group("brief", FAMILY, 8001)],
            workers=2,
        )

    def view(self, *arguments, name="view"):
        """Starts a live view; what it prints goes to its log."""
        argv = [binary(), *arguments, "--socket", self.steelyard.socket]
        process = self.net.lb.spawn(argv, self.net.dir / f"{name}.log")
        self.addCleanup(process.kill)
        return process

    @staticmethod
    def documents(process):
        """The whole lines that a view has printed, as JSON."""
        return [json.loads(line) for line in process.log().split("\n")[:-1] if line.startswith("{")]

    def test_watched_rates_are_those_of_the_traffic(self):
        view = self.view("stats", "--watch", "--json")
        eventually(lambda: self.documents(view), "a first document")
        with self.client.echo(FAMILY.vip(), 7000) as connection:
            for _ in range(20):
                connection.say("hello")
        self.client.connect_many(FAMILY.vip(), 7001, 40)
        wanted = {7000: 1, 7001: 40}

        def counted():
            """Connections by port, as the rates tell: each rate times its interval."""
            sums = dict.fromkeys(wanted, 0.0)
            for document in self.documents(view):
                for listener in document["rates"]["listeners"]:
                    sums[listener["port"]] += listener["connections"] * document["rates"]["interval_s"]
            return {port: round(value) for port, value in sums.items()}

        eventually(lambda: counted() == wanted, f"rates that come to {wanted} connections")
        self.assertIn("active", self.documents(view)[-1]["listeners"][0], "totals stand beside the rates")
        view.signal(signal.SIGINT)
        self.assertEqual(view.wait(), 0)

    def test_a_watch_tells_of_a_restart_and_goes_on(self):
        view = self.view("stats", "--watch", "--json")
        eventually(lambda: self.documents(view), "a first document")
        self.steelyard.crash()
        eventually(lambda: any("error" in each for each in self.documents(view)), "it says that nobody answers")
        self.steelyard.start()
        eventually(lambda: any("restarted" in each for each in self.documents(view)), "it says that this is another process")
        eventually(lambda: "rates" in self.documents(view)[-1], "rates of the new process")
        view.signal(signal.SIGTERM)
        self.assertEqual(view.wait(), 0)

    def test_a_watch_in_words_ends_after_its_count(self):
        self.client.connect_many(FAMILY.vip(), 7001, 10)
        told = self.steelyard.command("stats", "--watch", "1", "--count", "2")
        self.assertEqual(told.count("rates of the last "), 2)
        self.assertRegex(told, r"PACKETS +WORKER 0 +WORKER 1 +TOTAL +/S\n")
        self.assertRegex(told, r"lb:tcp:7001 +0 +10 ")
        self.assertNotIn("\x1b", told)

    def test_a_watch_ends_when_its_reader_has_gone(self):
        argv = [binary(), "stats", "--watch", "--json", "--socket", self.steelyard.socket]
        view = subprocess.Popen([str(word) for word in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(view.kill)
        self.assertIn("rates", json.loads(view.stdout.readline()))
        view.stdout.close()
        self.assertEqual(view.wait(10 * PATIENCE), 0)
        self.assertEqual(view.stderr.read(), "")
        view.stderr.close()

    def test_top_shows_rates_load_and_servers(self):
        view = self.view("top", "--sort", "connections")
        eventually(lambda: "LISTENER" in view.log(), "a first picture")
        self.client.connect_many(FAMILY.vip(), 7001, 60)
        # The listener with connections comes first, and each of its servers has some.
        busy = r"SERVER, LISTENER\n( +\S+){4} +[1-9]\S* +\S+  10\.0\.0\.\d:8001  lb:tcp:7001\n"
        eventually(lambda: re.search(busy, view.log()), "a picture with new connections")
        self.assertRegex(view.log(), r"WORKER +BUSY +PACKETS/S +CYCLES/PACKET +RECV +PARSE +FWD +SLOW +XMIT +TIMERS\n")
        self.assertRegex(view.log(), r"connections: [1-9]\S* new/s ")
        self.assertNotIn("\x1b", view.log())
        view.signal(signal.SIGTERM)
        self.assertEqual(view.wait(), 0)

    def test_top_tells_drops_by_name_and_rate(self):
        view = self.view("top")
        eventually(lambda: "LISTENER" in view.log(), "a first picture")
        with self.client.udp(FAMILY.vip(), 7999) as opened:
            opened.send(b"nobody listens there")
        eventually(lambda: re.search(r"drops/s:.* \S+ unmatched", view.log()), "the drop of what is no listener's")
        view.signal(signal.SIGINT)
        self.assertEqual(view.wait(), 0)

    def test_cycles_are_counted_by_stage(self):
        self.client.connect_many(FAMILY.vip(), 7001, 50)
        cycles = [worker["cycles"] for worker in self.steelyard.stats()["workers"]]
        total = {stage: sum(each[stage] for each in cycles) for stage in cycles[0]}
        self.assertEqual(set(total), {"receive", "parse", "forward", "slow_path", "transmit", "timers"})
        self.assertTrue(all(count > 0 for count in total.values()), total)
