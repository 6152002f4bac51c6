"""What a system test looks like: a network for the class, a fresh process for every test, exact accounting at its end.

    class Forwarding(SystemCase):
        @for_each(mode=["nat", "fullnat"], workers=[1, 2])
        def test_that_it_forwards(self, mode, workers): ...

runs once for every combination and is reported as test_that_it_forwards[nat-1].
"""

import itertools
import unittest

from . import config
from .clients import Client
from .net import Net
from .servers import EchoServer
from .steelyard import Steelyard


def for_each(**axes):
    """Runs the decorated test once for every combination of the axes' values."""

    def mark(function):
        function.axes = axes
        return function

    return mark


def _fixed(function, values):
    def test(self):
        function(self, **values)

    return test


class Parametrised(unittest.TestCase):
    """Expands for_each."""

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        for name, function in list(vars(cls).items()):
            axes = getattr(function, "axes", None)
            if axes is None:
                continue
            delattr(cls, name)
            for combination in itertools.product(*axes.values()):
                words = "-".join(getattr(value, "name", str(value)) for value in combination)
                test = _fixed(function, dict(zip(axes, combination)))
                test.__name__ = f"{name}[{words}]"
                setattr(cls, test.__name__, test)


def near_and_far(family):
    """Sources of clients: the near one, and fifteen of the far ones."""
    return [None, *(family.far(number) for number in range(15))]


class SystemCase(Parametrised):
    """`self.net`, `self.client`; `self.balance(...)` starts Steelyard; everything is cleaned up and accounted for."""

    servers = 3

    @classmethod
    def setUpClass(cls):
        cls.net = Net(cls.servers)
        cls.addClassCleanup(cls.net.close)
        cls.client = Client(cls.net)

    def setUp(self):
        self._started = []

    def echo_servers(self, tcp=None, udp=(), count=None, **options):
        """Starts an echo server on the first `count` (default: all) servers and ends them after the test."""
        started = [EchoServer(self.net, index, tcp, udp, **options) for index in range(count or self.servers)]
        for server in started:
            self.addCleanup(lambda server=server: server.process.kill())
        return started

    def started(self, steelyard):
        """Watches over an instance from now on: log on failure, accounting and clean exit at the end of the test."""
        self._started.append(steelyard)
        self.addCleanup(self._end, steelyard)
        return steelyard

    def run_steelyard(self, document):
        """Starts Steelyard with a configuration and waits until it forwards."""
        return self.started(Steelyard(self.net, document)).start()

    def balance(self, balancers, groups, workers=1, **sections):
        return self.run_steelyard(config.base(workers, load_balancers=balancers, server_groups=groups, **sections))

    def assert_connections_echo(self, family, port):
        """A near client and far ones say something short and something long; all three servers answer."""
        names = set()
        for source in near_and_far(family):
            with self.client.echo(family.vip(), port, source) as connection:
                names.add(connection.name)
                for text in ("hello", "x" * 20000):
                    self.assertEqual(connection.say(text), text)
        self.assertEqual(names, {"a", "b", "c"})

    def assert_datagrams_echo(self, family, port):
        """The same with datagrams of several sizes."""
        names = set()
        for source in near_and_far(family):
            with self.client.udp(family.vip(), port, source) as opened:
                flow_names = set()
                for payload in (b"one", b"two" * 400, b""):
                    opened.send(payload)
                    name, _, echoed = opened.recv(65536).partition(b" ")
                    self.assertEqual(echoed, payload)
                    flow_names.add(name)
                self.assertEqual(len(flow_names), 1, "one flow stays on one server")
                names |= flow_names
        self.assertEqual(names, {b"a", b"b", b"c"})

    def doCleanups(self):
        if not self._outcome.success:
            for steelyard in self._started:
                if steelyard.process is not None:
                    print(f"--- end of {steelyard.log}\n{steelyard.process.log_tail(60)}\n---", flush=True)
        return super().doCleanups()

    def _end(self, steelyard):
        """A cleanup that fails the test is still a failure of the test."""
        if not steelyard.running():
            return
        try:
            steelyard.assert_exact_accounting()
            self.assertEqual(steelyard.stop(), 0, "exit code on SIGTERM")
        finally:
            steelyard.kill()
