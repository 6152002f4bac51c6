"""The process among others: crash and restart, a second instance, signals, the admin socket, flows and metrics."""

import re
import signal
import stat
import time

from harness import config
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES
from harness.shell import PATIENCE, CommandFailed, eventually
from harness.steelyard import Steelyard

FAMILY = FAMILIES["ipv4"]
METRICS = 9464


class Process(SystemCase):
    def document(self, **sections):
        return config.base(
            2,
            load_balancers=[config.load_balancer("lb", FAMILY.vip(), config.listener(7000))],
            server_groups=[config.group("web", FAMILY, 8000)],
            **sections,
        )

    def assert_forwards(self):
        with self.client.echo(FAMILY.vip(), 7000) as connection:
            self.assertEqual(connection.say("hello"), "hello")

    def forwards(self):
        try:
            self.assert_forwards()
            return True
        except OSError:
            return False

    @for_each(hugepages=["off", "auto"])
    def test_after_a_crash_the_same_command_forwards_again_within_three_seconds(self, hugepages):
        self.echo_servers(tcp={8000: "echo"})
        steelyard = self.run_steelyard(self.document(memory={"hugepages": hugepages}))
        self.assert_forwards()
        for _ in range(2):
            steelyard.crash()
            began = time.monotonic()
            steelyard.launch()
            eventually(self.forwards, "it forwards again", timeout=20)
            self.assertLess(time.monotonic() - began, 3 * PATIENCE)

    def test_a_second_instance_on_the_device_is_refused_and_the_first_goes_on(self):
        self.echo_servers(tcp={8000: "echo"})
        first = self.run_steelyard(self.document())
        second = Steelyard(self.net, self.document(), name="second").launch()
        self.addCleanup(second.kill)
        self.assertNotEqual(second.process.wait(20), 0)
        told = second.process.log()
        self.assertIn("wan0", told)
        self.assertRegex(told, r"\b\d+\b", "the holder's pid")
        self.assert_forwards()
        self.assertTrue(first.running())

    def test_sigterm_ends_it_with_code_0(self):
        steelyard = self.run_steelyard(self.document())
        self.assertEqual(steelyard.stop(), 0)
        self.assertFalse(steelyard.socket.exists(), "the admin socket is removed")

    def test_sigterm_waits_for_connections_as_long_as_it_is_told(self):
        self.echo_servers(tcp={8000: "echo"})
        steelyard = self.run_steelyard(self.document(shutdown={"drain": 60}))
        connection = self.client.echo(FAMILY.vip(), 7000)
        steelyard.process.signal(signal.SIGTERM)
        for _ in range(20):
            self.assertEqual(connection.say("not yet"), "not yet")
            time.sleep(0.05)
        self.assertTrue(steelyard.running())
        connection.close()
        self.assertEqual(steelyard.process.wait(30), 0)

    @for_each(drain=[0, 1])
    def test_sigterm_tells_both_ends_of_what_is_left(self, drain):
        servers = self.echo_servers(tcp={8000: "echo"})
        steelyard = self.run_steelyard(self.document(shutdown={"drain": drain}))
        with self.client.echo(FAMILY.vip(), 7000) as connection:
            steelyard.process.signal(signal.SIGTERM)
            self.assertTrue(connection.wait_for_reset(10), "the client's kernel saw no reset")
            index = "abc".index(connection.name)
            eventually(lambda: sum(servers[index].report()["reset"].values()) >= 1, "the server's kernel sees a reset")
            self.assertEqual(steelyard.process.wait(30), 0)

    def test_sighup_reloads(self):
        self.echo_servers(tcp={8000: "close"})
        document = self.document()
        steelyard = self.run_steelyard(document)
        document["server_groups"][0]["servers"][0]["weight"] = 0
        steelyard.write(document)
        steelyard.process.signal(signal.SIGHUP)
        eventually(lambda: steelyard.server(FAMILY.server(0), 8000)["weight"] == 0, "the new weight is in force")
        self.assertNotIn("a", self.client.connect_many(FAMILY.vip(), 7000, 100)["greeted"])

    def test_the_admin_socket_is_for_its_owner_only(self):
        steelyard = self.run_steelyard(self.document())
        self.assertEqual(stat.S_IMODE(steelyard.socket.stat().st_mode), 0o600)

    def test_commands_to_a_process_that_is_not_there_say_what_to_do(self):
        steelyard = Steelyard(self.net, self.document())
        with self.assertRaises(CommandFailed) as refused:
            steelyard.command("status")
        self.assertIn(str(steelyard.socket), refused.exception.stderr)

    def test_flows_are_counted_listed_and_cleared(self):
        self.echo_servers(tcp={8000: "echo"})
        steelyard = self.run_steelyard(self.document())
        mine, other = FAMILY.far(1), FAMILY.far(2)
        held = [self.client.echo(FAMILY.vip(), 7000, source) for source in [mine] * 5 + [other] * 3]
        self.assertEqual(steelyard.json("flows", "count")["count"], 8)
        self.assertEqual(steelyard.json("flows", "count", "--client", mine)["count"], 5)
        listed = steelyard.json("flows", "list", "--client", other, "--limit", "2")["flows"]
        self.assertEqual(len(listed), 2)
        self.assertTrue(all(other in flow["client"] for flow in listed))
        steelyard.command("flows", "clear", "--client", mine)
        left = [flow for flow in steelyard.json("flows", "list")["flows"] if flow["state"] == "established"]
        self.assertEqual(len(left), 3)
        self.assertTrue(all(other in flow["client"] for flow in left))
        self.assertTrue(held[0].wait_for_reset(10), "the client of a cleared flow is told")
        self.assertEqual(held[-1].say("untouched"), "untouched")
        for connection in held:
            connection.close()

    def test_metrics_are_served_as_prometheus_text(self):
        self.echo_servers(tcp={8000: "close"})
        self.run_steelyard(self.document(metrics={"listen": f"127.0.0.1:{METRICS}"}))
        self.client.connect_many(FAMILY.vip(), 7000, 100)
        text = self.net.lb.run("curl", "-sS", "--max-time", "5", f"http://127.0.0.1:{METRICS}/metrics")
        self.assertRegex(text, re.compile(r"^# TYPE steelyard_\w+ (counter|gauge|histogram)$", re.MULTILINE))
        self.assertRegex(text, re.compile(r"^steelyard_\w+(\{[^}]*\})? [0-9.e+]+$", re.MULTILINE))
        for outcome in ("started", "succeeded", "failed", "local_errors", "delayed"):
            self.assertIn(f"\nsteelyard_health_probes_{outcome}_total ", text)
