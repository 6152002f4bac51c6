"""Traces and captures: what happens to a client's packets, told while it happens; a listener's packets as a file."""

import json
import signal

from harness import config
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES, endpoint
from harness.shell import CommandFailed, eventually
from harness.steelyard import binary

EACH_FAMILY = list(FAMILIES.values())
MODES = ["nat", "fullnat"]
WORKERS = [1, 2]


class Traces(SystemCase):
    def forward(self, family, workers, mode="nat"):
        self.echo_servers(tcp={8000: "echo"}, udp=[8000])
        listeners = [config.listener(7000, mode=mode), config.listener(7000, "udp", mode=mode), config.listener(7001)]
        balancers = [config.load_balancer("lb", family.vip(), *listeners)]
        self.steelyard = self.balance(balancers, [config.group("web", family, 8000)], workers)
        return self.steelyard

    def watch(self, command, *arguments, name=None):
        """Starts a trace or a capture and waits until the workers know of it; what it prints goes to its log."""
        started = self.lines(f"{command} client=")
        argv = [binary(), command, *arguments, "--socket", self.steelyard.socket]
        process = self.net.lb.spawn(argv, self.net.dir / f"{name or command}.log")
        self.addCleanup(process.kill)
        eventually(lambda: self.lines(f"{command} client=") > started, f"the {command} has begun")
        return process

    def lines(self, words):
        """How many lines of the log have them."""
        return self.steelyard.process.log().count(words)

    @staticmethod
    def events(process):
        """The packets that a trace has told of, in whole lines."""
        documents = [json.loads(line) for line in process.log().split("\n")[:-1] if line.startswith("{")]
        return [document for document in documents if "verdict" in document]

    def end(self, process):
        process.signal(signal.SIGINT)
        self.assertEqual(process.wait(), 0, process.log_tail())

    @for_each(mode=MODES, family=EACH_FAMILY, workers=WORKERS)
    def test_a_trace_tells_a_connection_from_its_syn_to_its_end(self, mode, family, workers):
        self.forward(family, workers, mode)
        mine, other = family.far(1), family.far(2)
        trace = self.watch("trace", "--client", mine, "--json")
        for source in (other, mine):
            with self.client.echo(family.vip(), 7000, source) as connection:
                self.assertEqual(connection.say("hello"), "hello")
                server = "abc".index(connection.name)

        def fins():
            return {event["from"] for event in self.events(trace) if "F" in event.get("flags", "")}

        eventually(lambda: fins() == {"client", "server"}, "both ends' FIN")
        self.end(trace)
        events = self.events(trace)
        opened = [event for event in events if "opened" in event["verdict"]]
        self.assertEqual(len(opened), 1, "one connection of the client's, and none of the other's")
        self.assertEqual(opened[0]["flags"], "S")
        self.assertEqual(opened[0]["server"], endpoint(family.server(server), 8000))
        self.assertEqual(opened[0]["destination"], endpoint(family.vip(), 7000))
        answers = [event for event in events if event["from"] == "server"]
        self.assertTrue(any(event["flags"] == "SA" for event in answers), answers)
        self.assertTrue(all(event["source"] == opened[0]["server"] for event in answers), answers)
        self.assertFalse([event for event in events if "dropped" in event["verdict"]])
        if mode == "nat":  # with full NAT the receiver of an answer cannot tell whose it is
            handed = [event for event in events if "handed_over" in event["verdict"]]
            self.assertEqual(len(handed), len([event for event in events if event.get("handed_in")]))

    def test_a_trace_says_why_a_client_gets_no_answer(self):
        family = FAMILIES["ipv4"]
        self.forward(family, 1)
        trace = self.watch("trace", "--client", f"{family.client}/32", "--listener", "lb:7001", "--json")
        everything = self.watch("trace", "--client", family.client, name="everything")
        for index in range(3):
            self.steelyard.command("server", "disable", "web", endpoint(family.server(index), 8000))
        with self.assertRaises(OSError):
            self.client.tcp(family.vip(), 7001).close()
        refused = eventually(lambda: self.events(trace), "the refused SYN")[0]
        # The reset may wait for the client's link address.
        self.assertEqual([word for word in refused["verdict"] if word != "waits"], ["dropped", "reset"])
        self.assertNotIn("server", refused)
        with self.client.udp(family.vip(), 7999) as opened:
            opened.send(b"nobody listens there")
        eventually(lambda: "dropped: unmatched" in everything.log(), "the drop in words")
        self.assertIn(f"dropped: {refused['reason']}, answered by a reset", everything.log())
        self.end(trace)
        self.end(everything)

    @for_each(family=EACH_FAMILY)
    def test_a_trace_has_pings(self, family):
        self.forward(family, 1)
        trace = self.watch("trace", "--client", family.client, "--json")
        self.client.ping(family.vip(), count=1)
        eventually(lambda: any("echoed" in event["verdict"] for event in self.events(trace)), "the answered echo request")
        self.end(trace)

    def test_a_trace_ends_by_itself_after_its_time_or_its_count(self):
        family = FAMILIES["ipv4"]
        self.forward(family, 1)
        told = self.steelyard.command("trace", "--client", family.far(9), "--seconds", "1")
        self.assertEqual(told, "")
        trace = self.watch("trace", "--client", family.client, "--count", "2", "--json")
        with self.client.echo(family.vip(), 7000) as connection:
            connection.say("hello")
        self.assertEqual(trace.wait(), 0)
        self.assertEqual(len(self.events(trace)), 2)

    def test_there_are_four_at_once_and_a_killed_one_makes_room(self):
        family = FAMILIES["ipv4"]
        self.forward(family, 1)
        traces = [self.watch("trace", "--client", family.far(number), name=f"trace{number}") for number in range(4)]
        with self.assertRaises(CommandFailed) as refused:
            self.steelyard.command("trace", "--client", family.client)
        self.assertEqual(refused.exception.code, 1)
        self.assertIn("4 traces and captures already", refused.exception.stderr)
        traces[0].kill()

        def room():
            try:
                return self.steelyard.command("trace", "--client", family.client, "--seconds", "1") == ""
            except CommandFailed:
                return False

        eventually(room, "room for another one")
        for trace in traces[1:]:
            self.end(trace)

    def test_what_is_no_client_or_listener_is_refused(self):
        family = FAMILIES["ipv4"]
        self.forward(family, 1)
        for arguments, words in (
            ([], "say whose packets"),
            (["--client", family.client, "--listener", "lb:7777"], "no listener 'lb:7777'"),
            (["--listener", "lb:7000"], "is a TCP and a UDP listener"),
        ):
            with self.assertRaises(CommandFailed) as refused:
                self.steelyard.command("trace", *arguments)
            self.assertEqual(refused.exception.code, 1)
            self.assertIn(words, refused.exception.stderr)

    def read(self, path, *expression):
        """A capture as tcpdump reads it: a line a packet."""
        return self.net.lb.run("tcpdump", "-nr", path, *expression).splitlines()

    @for_each(mode=MODES, family=EACH_FAMILY, workers=WORKERS)
    def test_a_capture_has_both_sides_of_a_listeners_connections(self, mode, family, workers):
        self.forward(family, workers, mode)
        path = self.net.dir / "listener.pcapng"
        capture = self.watch("capture", "--listener", "lb:tcp:7000", "-o", path)
        with self.client.echo(family.vip(), 7000) as connection:
            self.assertEqual(connection.say("hello"), "hello")
            client_port = connection.socket.getsockname()[1]
            server = family.server("abc".index(connection.name))
        self.client.ask_udp(family.vip(), 7000)
        with self.client.echo(family.vip(), 7001) as connection:
            self.assertEqual(connection.say("another"), "another")
        eventually(lambda: self.steelyard.json("flows", "count", "--client", family.client)["count"] >= 3, "flows")
        self.end(capture)
        self.assertRegex(capture.log(), r"^\d+ packets in .*listener\.pcapng\n$")
        self.assertEqual(self.read(path, "udp"), [], "the UDP listener of the same port")
        self.assertEqual(self.read(path, "tcp port 7001"), [], "another listener")
        wan = self.read(path, f"host {family.vip()} and port {client_port}")
        lan = self.read(path, f"host {server} and tcp port 8000")
        syn = [line for line in wan if "Flags [S]" in line]
        self.assertEqual(len(syn), 1, wan)
        self.assertEqual(len([line for line in lan if "Flags [S]" in line]), 1, lan)
        self.assertEqual(len(wan), len(lan), "each packet as it came and as it left")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    def test_a_capture_ends_after_its_packets_and_cuts_them(self):
        family = FAMILIES["ipv4"]
        self.forward(family, 1)
        path = self.net.dir / "short.pcapng"
        capture = self.watch("capture", "--listener", "lb:tcp:7000", "-o", path, "--packets", "5", "--snaplen", "60")
        with self.client.echo(family.vip(), 7000) as connection:
            connection.say("x" * 1000)
            self.assertEqual(capture.wait(), 0)
        self.assertEqual(len(self.read(path)), 5)
        self.assertIn("5 packets in", capture.log())
        self.assertLess(path.stat().st_size, 1500)

    def test_a_capture_goes_into_a_pipe(self):
        family = FAMILIES["ipv4"]
        self.forward(family, 1)
        command = f"{binary()} capture --client {family.client} --packets 4 -o - --socket {self.steelyard.socket}"
        reader = self.net.lb.spawn(["sh", "-c", f"{command} | tcpdump -nr -"], self.net.dir / "pipe.log")
        self.addCleanup(reader.kill)
        eventually(lambda: self.lines("capture client="), "the capture has begun")
        with self.client.echo(family.vip(), 7000) as connection:
            connection.say("hello")
        self.assertEqual(reader.wait(), 0)
        self.assertIn("Flags [S]", reader.log())
