"""White and black lists: who may open a connection, and what becomes of those who no longer may."""

import copy

from harness import config
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES
from harness.servers import Nginx

EACH_FAMILY = list(FAMILIES.values())
FAMILY = FAMILIES["ipv4"]
ENTRIES = 1000  # the most that a list may have
LISTED = range(4)  # far clients by number
OTHERS = range(4, 8)


def full_list(family):
    """As many entries as a list may have: the listed clients among networks of strangers."""
    strangers = "172.{}.{}.0/24" if family.version == 4 else "2001:db8:f{:03x}:{:x}::/64"
    entries = [strangers.format(16 + number // 250, number % 250) for number in range(ENTRIES - len(LISTED))]
    for number in LISTED:
        entries.insert(250 * number, family.far(number))
    return {"name": family.name, "entries": entries}


def document(family, workers, kind, lists=None, **settings):
    """Pages on 80 and UDP echo on 53; the lists of both families hold for both."""
    lists = lists or [full_list(each) for each in EACH_FAMILY]
    settings["access_control"] = {"type": kind, "lists": [each["name"] for each in lists]}
    listeners = [config.listener(80, **settings), config.listener(53, "udp", group="datagrams", **settings)]
    return config.base(
        workers,
        load_balancers=[config.load_balancer("lb", family.vip(), *listeners)],
        server_groups=[config.group("web", family, 80), config.group("datagrams", family, 53)],
        access_control_lists=lists,
    )


class Access(SystemCase):
    def get(self, family, number):
        """Does a far client get a page? Silence is no, anything else but the page an error."""
        try:
            status, _ = self.client.get(family.vip(), 80, source=family.far(number), timeout=0.4)
        except TimeoutError:
            return False
        self.assertEqual(status, 200)
        return True

    def asks(self, family, number):
        """The same of a datagram and its answer."""
        with self.client.udp(family.vip(), 53, family.far(number), timeout=0.4) as opened:
            opened.send(b"ping")
            try:
                return opened.recv(100).endswith(b"ping")
            except TimeoutError:
                return False

    def refused(self, steelyard):
        return [each["refused"]["access_denied"] for each in steelyard.stats()["listeners"]]

    @for_each(family=EACH_FAMILY, kind=["white", "black"], workers=[1, 2])
    def test_of_a_thousand_entries_those_come_in_that_may(self, family, kind, workers):
        self.echo_servers(udp=[53])
        for index in range(self.servers):
            self.addCleanup(Nginx(self.net, index).stop)
        settings = {"mode": "fullnat", "persistence_timeout": 60} if workers == 2 else {"mode": "nat"}
        steelyard = self.run_steelyard(document(family, workers, kind, **settings))
        allowed, denied = (LISTED, OTHERS) if kind == "white" else (OTHERS, LISTED)
        for number in allowed:
            self.assertTrue(self.get(family, number) and self.asks(family, number), family.far(number))
        self.assertEqual(self.refused(steelyard), [0, 0])
        for number in denied:
            self.assertFalse(self.get(family, number) or self.asks(family, number), family.far(number))
        tcp, udp = self.refused(steelyard)
        self.assertGreaterEqual(tcp, len(denied), "SYNs, and what the kernel has sent again")
        self.assertEqual(udp, len(denied))
        told = steelyard.command("status")
        self.assertIn(f"{kind} list ipv4, ipv6", told)
        self.assertIn(f"refused: access_denied {udp}", told)

    @for_each(family=EACH_FAMILY, workers=[1, 2])
    def test_a_reload_ends_the_connections_of_those_whom_it_shuts_out_and_no_others(self, family, workers):
        self.echo_servers(tcp={80: "echo"}, udp=[53])
        nobody = document(family, workers, "black", [{"name": "attackers", "entries": []}])
        steelyard = self.run_steelyard(nobody)
        held = [self.client.echo(family.vip(), 80, family.far(number)) for number in range(8)]
        attackers = copy.deepcopy(nobody)
        attackers["access_control_lists"][0]["entries"] = [family.far(1), family.far(5)]
        steelyard.reload(attackers)
        for number, connection in enumerate(held):
            with connection:
                if number in (1, 5):
                    self.assertTrue(connection.wait_for_reset(5), family.far(number))
                else:
                    self.assertEqual(connection.say("still here"), "still here")
        with self.assertRaises(TimeoutError):
            self.client.tcp(family.vip(), 80, family.far(5), timeout=0.4)
        self.assertFalse(self.asks(family, 1))
        steelyard.reload(nobody)
        for number in (1, 5):
            with self.client.echo(family.vip(), 80, family.far(number)) as again:
                self.assertEqual(again.say("welcome"), "welcome")
            self.assertTrue(self.asks(family, number))
