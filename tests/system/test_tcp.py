"""The userspace TCP against the kernel's, over veth: steelyard_tcp_services stands in the balancer's place."""

import hashlib
import random
import socket
import struct
import threading

from harness import shell
from harness.case import Parametrised, for_each
from harness.clients import Client
from harness.net import Net
from harness.plan import FAMILIES
from harness.tcp_services import CallFailed, TcpServices
from harness.wire import WireNet

ECHO, DISCARD, SOURCE = 7, 9, 19
V4_AND_V6 = list(FAMILIES.values())


def octets(seed, count):
    return random.Random(seed).randbytes(count)


def read_exactly(connection, count):
    parts = []
    while count:
        part = connection.recv(min(count, 1 << 20))
        if not part:
            raise AssertionError(f"the connection ended {count} octets too early")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def read_to_end(connection):
    parts = []
    while part := connection.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def pattern(count):
    """What the source service sends."""
    return (bytes(range(251)) * (count // 251 + 1))[:count]


def reset_on_close(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class TcpCase(Parametrised):
    """`self.tcp` is the process, `self.client` opens kernel sockets beside it. Nothing may be left at the end."""

    arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.net = Net(0)
        cls.addClassCleanup(cls.net.close)
        cls.client = Client(cls.net)

    def setUp(self):
        self.tcp = TcpServices(self.net, *self.arguments, gateway=True).start()
        self.addCleanup(self.tcp.process.kill)
        self.channel = self.tcp.channel

    def tearDown(self):
        shell.eventually(lambda: self.tcp.counters()["connections"] == 0, "no connection is left", 30)
        left = self.tcp.counters()
        self.assertEqual(left["queue_nodes"], 0)
        self.assertEqual(left["payload_copied"], 0)
        self.assertEqual(self.tcp.stop(), 0, "exit code on SIGTERM")

    def kernel_listener(self, family, backlog=128):
        with self.net.client.entered():
            listener = socket.create_server((family.client, 0), family=family_number(family), backlog=backlog)
        listener.settimeout(30 * shell.PATIENCE)
        self.addCleanup(listener.close)
        return listener


def family_number(family):
    return socket.AF_INET if family.version == 4 else socket.AF_INET6


def exchange(connection, data):
    """Sends all and reads the same number of octets at once, as echo needs it."""
    sender = threading.Thread(target=connection.sendall, args=(data,))
    sender.start()
    received = read_exactly(connection, len(data))
    sender.join()
    return received


class Services(TcpCase):
    @for_each(family=V4_AND_V6)
    def test_echo_gives_back_every_octet(self, family):
        for count in (1, 1_000, 1_448, 100_000, 10_000_000):
            with self.client.tcp(family.vip(), ECHO, timeout=60) as connection:
                data = octets(count, count)
                self.assertEqual(exchange(connection, data), data)
                connection.shutdown(socket.SHUT_WR)
                self.assertEqual(read_to_end(connection), b"")

    @for_each(family=V4_AND_V6)
    def test_source_sends_what_is_asked_for_and_finishes(self, family):
        for count in (1, 4_000_000):
            with self.client.tcp(family.vip(), SOURCE, timeout=60) as connection:
                connection.sendall(b"%d\n" % count)
                self.assertEqual(read_to_end(connection), pattern(count))

    @for_each(family=V4_AND_V6)
    def test_discard_takes_everything(self, family):
        with self.client.tcp(family.vip(), DISCARD, timeout=60) as connection:
            connection.sendall(octets(1, 5_000_000))
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(connection), b"")

    @for_each(family=V4_AND_V6)
    def test_sixty_four_at_once(self, family):
        failures = []

        def one(number):
            data = octets(number, shell.scaled(500_000, 50_000))
            with self.client.tcp(family.vip(), ECHO, timeout=120) as connection:
                if exchange(connection, data) != data:
                    failures.append(number)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    @for_each(family=V4_AND_V6)
    def test_nobody_listens(self, family):
        with self.assertRaises(ConnectionRefusedError):
            self.client.tcp(family.vip(), 81)

    @for_each(family=V4_AND_V6)
    def test_a_stalled_reader_stops_its_own_sender_and_nobody_else(self, family):
        stalled = self.client.tcp(family.vip(), SOURCE, timeout=60)
        stalled.sendall(b"30000000\n")
        with self.client.tcp(family.vip(), ECHO, timeout=60) as connection:
            data = octets(2, 1_000_000)
            self.assertEqual(exchange(connection, data), data)
        self.assertEqual(read_to_end(stalled), pattern(30_000_000))
        stalled.close()

    def test_a_reset_ends_the_service_s_side(self):
        connection = self.client.tcp(FAMILIES["ipv4"].vip(), SOURCE)
        connection.sendall(b"0\n")
        read_exactly(connection, 100_000)
        reset_on_close(connection)  # tearDown waits for the other side to be gone


class Sockets(TcpCase):
    """Calls of the control channel."""

    @for_each(family=V4_AND_V6)
    def test_passive_open_and_both_ways(self, family):
        listening = self.channel.listen(8000)
        with self.client.tcp(family.vip(), 8000) as connection:
            ours = listening.accept()
            self.assertEqual(ours.answer["remote"], family.client)
            self.assertEqual(ours.answer["remote_port"], connection.getsockname()[1])
            data = octets(3, 300_000)
            sender = threading.Thread(target=connection.sendall, args=(data,))
            sender.start()
            self.assertEqual(ours.read(len(data), exactly=True), data)
            sender.join()
            writing = ours.begin("write", data=data)
            self.assertEqual(read_exactly(connection, len(data)), data)
            self.assertEqual(self.channel.finish(writing)["count"], len(data))
            self.assertEqual(ours.info()["state"], "established")
            ours.close()
            self.assertEqual(read_to_end(connection), b"")
        listening.close()

    @for_each(family=V4_AND_V6)
    def test_active_open_and_both_ways(self, family):
        listener = self.kernel_listener(family)
        ours = self.channel.connect(family.client, listener.getsockname()[1])
        theirs, remote = listener.accept()
        with theirs:
            self.assertEqual(remote[0], family.vip())
            self.assertEqual(remote[1], ours.answer["local_port"])
            data = octets(4, 2_000_000)
            writing = ours.begin("write", data=data)
            self.assertEqual(read_exactly(theirs, len(data)), data)
            self.channel.finish(writing)
            theirs.sendall(data[:70_000])
            self.assertEqual(ours.read(70_000, exactly=True), data[:70_000])
            ours.close()
            self.assertEqual(read_to_end(theirs), b"")

    @for_each(family=V4_AND_V6)
    def test_connecting_where_nobody_listens_is_refused(self, family):
        with self.assertRaises(CallFailed) as failed:
            self.channel.connect(family.client, 81)
        self.assertEqual(failed.exception.error, "refused")

    @for_each(family=V4_AND_V6)
    def test_each_side_may_finish_first_and_still_receive(self, family):
        listening = self.channel.listen(8000)
        for ours_first in (True, False):
            with self.client.tcp(family.vip(), 8000) as theirs:
                ours = listening.accept()
                if ours_first:
                    ours.write(b"last words")
                    ours.shutdown("write")
                    self.assertEqual(read_to_end(theirs), b"last words")
                    theirs.sendall(b"answer")
                    theirs.shutdown(socket.SHUT_WR)
                    self.assertEqual(ours.read_all(), b"answer")
                else:
                    theirs.sendall(b"last words")
                    theirs.shutdown(socket.SHUT_WR)
                    self.assertEqual(ours.read_all(), b"last words")
                    ours.write(b"answer")
                    ours.close()
                    self.assertEqual(read_to_end(theirs), b"answer")
                ours.close() if ours_first else None

    def test_who_closes_first_waits(self):
        family = FAMILIES["ipv4"]
        listening = self.channel.listen(8000)
        with self.client.tcp(family.vip(), 8000) as theirs:
            ours = listening.accept()
            ours.shutdown("write")
            self.assertEqual(read_to_end(theirs), b"")
        ours.wait("closed")
        self.assertEqual(ours.info()["state"], "time_wait")
        ours.close()

    @for_each(family=V4_AND_V6)
    def test_resets_are_told(self, family):
        listening = self.channel.listen(8000)
        theirs = self.client.tcp(family.vip(), 8000)
        ours = listening.accept()
        reset_on_close(theirs)
        with self.assertRaises(CallFailed) as failed:
            ours.read(1)
        self.assertEqual(failed.exception.error, "reset_by_peer")
        ours.close()
        with self.client.tcp(family.vip(), 8000) as theirs:
            listening.accept().abort()
            with self.assertRaises(ConnectionResetError):
                theirs.recv(1)

    def test_closing_with_unread_data_resets(self):
        listening = self.channel.listen(8000)
        with self.client.tcp(FAMILIES["ipv4"].vip(), 8000) as theirs:
            theirs.sendall(b"nobody reads this")
            ours = listening.accept()
            ours.wait("readable")
            ours.close()
            with self.assertRaises(ConnectionResetError):
                theirs.recv(1)

    def test_a_peer_that_falls_silent_is_given_up(self):
        listening = self.channel.listen(8000, options={"user_timeout_ms": 1_000})
        theirs = self.client.tcp(FAMILIES["ipv4"].vip(), 8000)
        ours = listening.accept()
        undo = self.deafen()
        try:
            ours.write(b"is anybody there?")
            self.assertEqual(ours.wait("closed")["cause"], "connection_timed_out")
            ours.close()
        finally:
            undo()
            theirs.close()

    def test_keepalive_finds_a_peer_that_is_gone(self):
        listening = self.channel.listen(
            8000, options={"keepalive_idle_ms": 200, "keepalive_interval_ms": 100, "keepalive_probes": 3}
        )
        theirs = self.client.tcp(FAMILIES["ipv4"].vip(), 8000)
        ours = listening.accept()
        undo = self.deafen()
        try:
            self.assertEqual(ours.wait("closed")["cause"], "keepalive_failed")
            ours.close()
        finally:
            undo()
            theirs.close()

    def deafen(self):
        """The kernel neither hears nor says anything of TCP; what undoes it."""
        self.net.client.run(
            "nft",
            "-f",
            "-",
            stdin="add table netdev deaf\nadd chain netdev deaf in { type filter hook ingress device eth0 priority 0; }\n"
            "add rule netdev deaf in meta l4proto tcp drop\n",
        )
        return lambda: self.net.client.run("nft", "delete", "table", "netdev", "deaf")

    def test_calls_that_do_not_block(self):
        family = FAMILIES["ipv4"]
        listening = self.channel.listen(8000, options={"receive_buffer": 8_192})
        with self.assertRaises(CallFailed) as failed:
            listening.accept(blocking=False)
        self.assertEqual(failed.exception.error, "would_block")
        with self.client.tcp(family.vip(), 8000) as theirs:
            ours = listening.accept()
            with self.assertRaises(CallFailed) as failed:
                ours.read(1, blocking=False)
            self.assertEqual(failed.exception.error, "would_block")
            with self.assertRaises(CallFailed) as failed:
                ours.read(1, timeout_ms=50)
            self.assertEqual(failed.exception.error, "timed_out")
            taken = ours.write(bytes(8_000_000), blocking=False)
            self.assertLess(taken, 8_000_000)
            self.assertEqual(read_exactly(theirs, taken), bytes(taken))
            ours.close()

    def test_options(self):
        listening = self.channel.listen(8000, options={"mss": 500, "nodelay": False, "keepalive": True})
        with self.client.tcp(FAMILIES["ipv4"].vip(), 8000) as theirs:
            ours = listening.accept()
            options = ours.call("get_option")
            self.assertEqual((options["mss"], options["nodelay"], options["keepalive"]), (500, 0, 1))
            self.assertEqual(options["congestion"], "cubic")
            self.assertLessEqual(theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), 500)
            ours.call("set_option", options={"cork": True})
            ours.write(b"held back")
            self.assertEqual(ours.info()["unacked"], 0)
            ours.call("set_option", options={"cork": False})
            self.assertEqual(read_exactly(theirs, 9), b"held back")
            with self.assertRaises(CallFailed) as failed:
                ours.call("set_option", options={"mss": 3})
            self.assertIn("mss is 3: allowed are 48 to 65535", failed.exception.error)
            ours.close()

    def test_a_bad_call_is_refused_by_a_sentence(self):
        for line, why in (
            (b"hello", "a call is one JSON object on one line"),
            (b'{"call":"dance"}', 'call is "dance": allowed are listen'),
            (b'{"call":"listen"}', 'field "port" is missing'),
            (b'{"call":"listen","port":70000}', "port must be a number from 1 to 65535"),
            (b'{"call":"read","socket":1,"count":1,"colour":"red"}', 'there is no field "colour"'),
            (b'{"call":"write","socket":1,"data":"*"}', "data is no base64"),
        ):
            answer = self.channel.raw(line)
            self.assertEqual((answer["ok"], answer["error"]), (False, "bad_call"))
            self.assertIn(why, answer["message"])

    def test_a_listener_that_is_closed_refuses(self):
        family = FAMILIES["ipv4"]
        listening = self.channel.listen(8000)
        with self.assertRaises(CallFailed) as failed:
            self.channel.listen(8000)
        self.assertEqual(failed.exception.error, "address_in_use")
        listening.close()
        with self.assertRaises(ConnectionRefusedError):
            self.client.tcp(family.vip(), 8000)
        again = self.channel.listen(8000)
        with self.client.tcp(family.vip(), 8000):
            again.accept().close()

    def test_a_client_that_goes_takes_its_sockets_along(self):
        other = self.tcp.open()
        listening = other.listen(8000)
        with self.client.tcp(FAMILIES["ipv4"].vip(), 8000) as theirs:
            listening.accept()
            other.close()
            self.tcp.channels.remove(other)
            with self.assertRaises(ConnectionResetError):
                theirs.recv(1)


class Transfers(TcpCase):
    """1 octet to 10 MB, the kernel as client and as server, byte by byte the same."""

    @for_each(family=V4_AND_V6, active=[False, True])
    def test_many_transfers(self, family, active):
        draw = random.Random(5)
        kernel = self.kernel_listener(family)
        listening = self.channel.listen(8000)
        for number in range(shell.scaled(250, 40)):
            count = min(int(10 ** draw.uniform(0, 7)), 10_000_000)
            data = octets(number, count)
            if active:
                ours = self.channel.connect(family.client, kernel.getsockname()[1])
                theirs, _ = kernel.accept()
            else:
                theirs = self.client.tcp(family.vip(), 8000, timeout=60)
                ours = listening.accept()
            with theirs:
                sender = threading.Thread(target=lambda: (theirs.sendall(data), theirs.shutdown(socket.SHUT_WR)))
                sender.start()
                received = hashlib.sha256()
                while piece := ours.read(1 << 20):
                    received.update(piece)
                sender.join()
                self.assertEqual(received.hexdigest(), hashlib.sha256(data).hexdigest(), f"to us, {count} octets")
                writing = ours.begin("write", data=data)
                self.assertEqual(read_exactly(theirs, count), data, f"from us, {count} octets")
                self.channel.finish(writing)
                ours.close()
                self.assertEqual(read_to_end(theirs), b"")
        listening.close()


class StalledReaders(TcpCase):
    """Thousands of connections whose application does not read: their peers are held back, nobody else is."""

    count = shell.scaled(10_000, 1_000)
    most_held = 5 * count
    arguments = (f"--connections={2 * count}", f"--packet-buffers={10 * count}", f"--most-held={most_held}")
    octets = 20_000  # of each connection: more than all of them together may make us hold

    def test_they_stay_within_their_memory_and_get_every_octet_when_they_read(self):
        family = FAMILIES["ipv4"]
        listening = self.channel.listen(8000)
        bystander = self.client.tcp(family.vip(), ECHO, timeout=60)
        stalled = []
        self.addCleanup(lambda: [connection.close() for connection in stalled])
        payload = octets(9, self.octets)
        for _ in range(self.count):
            stalled.append(self.client.tcp(family.vip(), 8000, timeout=60))
        for connection in stalled:
            connection.setblocking(False)
            self.assertEqual(connection.send(payload), len(payload))
        shell.eventually(lambda: self.tcp.counters()["refused_payload"] > 0, "more has come than there is room for")
        for _ in range(5):
            data = octets(2, 200_000)
            self.assertEqual(exchange(bystander, data), data)
            held = self.tcp.counters()
            self.assertLessEqual(held["held_buffers"], self.most_held)
            self.assertEqual(held["relieved"], 0)
        ours = [listening.accept() for _ in range(self.count)]
        reading = [socket.begin("read", count=len(payload), exactly=True) for socket in ours]
        for number in reading:
            self.assertEqual(self.channel.finish(number)["data"], payload)
        for socket_of_ours in ours:
            socket_of_ours.close()
        bystander.close()
        listening.close()
        for connection in stalled:
            connection.close()


class NarrowPath(TcpCase):
    @for_each(family=V4_AND_V6)
    def test_a_client_behind_a_narrow_link_sends_and_receives_everything(self, family):
        host, undo = self.net.behind(self.net.client, "behind", 1280)
        self.addCleanup(undo)
        client = Client(self.net, host)
        with client.tcp(family.vip(), SOURCE, timeout=60) as connection:
            connection.sendall(b"3000000\n")
            self.assertEqual(read_to_end(connection), pattern(3_000_000))
        with client.tcp(family.vip(), ECHO, timeout=60) as connection:
            data = octets(6, 1_000_000)
            self.assertEqual(exchange(connection, data), data)


class Wire(Parametrised):
    """10 ms each way, losses, reordering and duplicates; all of them drawn from a seed."""

    def setUp(self):
        self.failures = []

    def begin(self, loss):
        self.net = WireNet(delay_us=10_000, loss=loss, reorder=20_000, duplicate=5_000, seed=7)
        self.addCleanup(self.net.close)
        self.tcp = TcpServices(self.net).start()
        self.addCleanup(self.tcp.process.kill)
        draw = random.Random(loss)
        return [octets(number, min(int(10 ** draw.uniform(0, 6)), 1_000_000)) for number in range(shell.scaled(100, 10))]

    def end(self):
        self.assertEqual(self.failures, [])
        shell.eventually(lambda: self.tcp.counters()["connections"] == 0, "no connection is left", 60)
        self.assertEqual(self.tcp.counters()["queue_nodes"], 0)
        self.assertEqual(self.tcp.stop(), 0)

    @for_each(family=V4_AND_V6, loss=[0, 10_000, 50_000])
    def test_the_kernel_opens_and_everything_comes_back(self, family, loss):
        streams = self.begin(loss)

        def one(data):
            with Client(self.net).tcp(family.vip(), ECHO, timeout=120) as connection:
                if exchange(connection, data) != data:
                    self.failures.append(len(data))
                connection.shutdown(socket.SHUT_WR)
                if read_to_end(connection) != b"":
                    self.failures.append(len(data))

        threads = [threading.Thread(target=one, args=(data,)) for data in streams]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.end()

    @for_each(family=V4_AND_V6, loss=[0, 10_000, 50_000])
    def test_we_open_and_everything_comes_back(self, family, loss):
        streams = self.begin(loss)
        with self.net.client.entered():
            listener = socket.create_server((family.client, 0), family=family_number(family), backlog=128)
        self.addCleanup(listener.close)

        def echo(connection):
            with connection:
                while piece := connection.recv(1 << 20):
                    connection.sendall(piece)

        def serve():
            for _ in streams:
                connection, _ = listener.accept()
                threading.Thread(target=echo, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        ours = [self.tcp.channel.connect(family.client, listener.getsockname()[1]) for _ in streams]
        writing = [one.begin("write", data=data) for one, data in zip(ours, streams)]
        reading = [one.begin("read", count=len(data), exactly=True) for one, data in zip(ours, streams)]
        for number in writing:
            self.tcp.channel.finish(number)
        for number, data in zip(reading, streams):
            if self.tcp.channel.finish(number)["data"] != data:
                self.failures.append(len(data))
        for one in ours:
            one.shutdown("write")
            self.assertEqual(one.read_all(), b"")
            one.close()
        self.end()
