"""The PROXY protocol of HTTP listeners: headers of a client of ours and of HAProxy in front, nginx that expects them behind."""

import contextlib
import ipaddress
import json

from harness import config, http
from harness.case import SystemCase, for_each
from harness.plan import FAMILIES, IPV4, IPV6
from harness.servers import Nginx, Web
from harness.shell import eventually

EACH_FAMILY = list(FAMILIES.values())
WORKERS = [1, 2]
VERSIONS = ["v1", "v2"]
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL = SIGNATURE + b"\x20\0\0\0"
REQUEST = b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n"


def header(version, source, source_port, destination, destination_port):
    """Of version v1 or v2."""
    packed = [ipaddress.ip_address(address) for address in (source, destination)]
    if version == "v1":
        return f"PROXY TCP{packed[0].version} {source} {destination} {source_port} {destination_port}\r\n".encode()
    block = b"".join(address.packed for address in packed)
    block += source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big")
    family = b"\x11" if packed[0].version == 4 else b"\x21"
    return SIGNATURE + b"\x21" + family + len(block).to_bytes(2, "big") + block


class HttpProxyProtocol(SystemCase):
    servers = 2

    def listen(self, family=IPV4, workers=1, groups=None, sections=None, **settings):
        listener = config.listener(80, "http", check={"type": "tcp"}, **settings)
        groups = groups or [config.group("web", family, 80, weights=(100,))]
        return self.balance([config.load_balancer("shop", family.vip(), listener)], groups, workers, **(sections or {}))

    def web(self):
        server = Web(self.net, 0)
        self.addCleanup(server.kill)
        return server

    def nginx(self, index=0):
        server = Nginx(self.net, index, proxied=True)
        self.addCleanup(server.stop)
        return server

    def connect(self, family=IPV4, source=None):
        opened = http.connect(self.client, family.vip(), 80, source)
        self.addCleanup(opened.socket.close)
        return opened

    def forwarded(self, answer):
        """What the server was told: (client, its port, port that it has connected to, address)."""
        self.assertEqual(answer.status, 200)
        fields = dict(answer.json()["headers"])
        names = ("X-Forwarded-For", "X-Forwarded-Client-srcport", "X-Forwarded-Port", "SLB-IP")
        return tuple(fields[name] for name in names)

    @for_each(family=EACH_FAMILY, workers=WORKERS)
    def test_a_trusted_proxy_names_its_clients(self, family, workers):
        self.web()
        path = self.net.dir / f"access-{family.name}-{workers}.log"
        tell = {"x_forwarded_client_srcport": True, "x_forwarded_port": True, "slb_ip": True}
        trust = {"from": [family.client, f"{family.far(0)}/{family.bits}"]}
        self.listen(family, workers, accept_proxy=trust, sections={"access_log": {"to": str(path)}}, **tell)
        named = ("203.0.113.5", 51000, "192.0.2.80", 8443)
        named6 = ("2001:db8:5::1", 51000, "2001:db8:5::80", 8443)
        for source in (None, family.far(0)):
            for version in VERSIONS:
                for who in (named, named6):
                    said = header(version, *who)
                    for pieces in ([said + REQUEST], [said, REQUEST], [bytes([octet]) for octet in said + REQUEST]):
                        with self.connect(family, source) as connection:
                            for piece in pieces:
                                connection.send(piece)
                            wanted = (who[0], str(who[1]), str(who[3]), who[2])
                            self.assertEqual(self.forwarded(connection.answer()), wanted)
                            self.assertEqual(self.forwarded(connection.ask()), wanted)
        with self.connect(family) as check:  # the proxy's own
            check.send(LOCAL + REQUEST)
            port = str(check.socket.getsockname()[1])
            self.assertEqual(self.forwarded(check.answer()), (family.client, port, "80", family.vip()))

        def lines():
            found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
            return found if len(found) == 2 * 2 * 2 * 3 * 2 + 1 else None

        logged = eventually(lines, "a line for every request")
        self.assertEqual({line["client"] for line in logged}, {named[0], named6[0], family.client})

    @for_each(workers=WORKERS)
    def test_strangers_name_nobody_and_trusted_proxies_must_name_somebody(self, workers):
        self.web()
        steelyard = self.listen(workers=workers, accept_proxy={"from": [IPV4.client]})
        for version in VERSIONS:
            with self.connect(source=IPV4.far(1)) as stranger:
                stranger.send(header(version, "203.0.113.5", 1, "192.0.2.80", 80) + REQUEST)
                answer = stranger.answer()
                self.assertEqual((answer.status, answer.cause), (400, "BR"))
        with self.connect(source=IPV4.far(1)) as stranger:
            self.assertEqual(dict(stranger.ask().json()["headers"])["X-Forwarded-For"], IPV4.far(1))
        for instead in (REQUEST, b"PROXY TCP4 203.0.113.5 192.0.2.80 1 65536\r\n" + REQUEST, b"\x16\x03\x01"):
            with self.connect() as proxy, self.assertRaises(ConnectionResetError):
                proxy.send(instead)
                self.assertEqual(proxy.rest(), b"")
                self.fail("the connection has ended in order")
        self.assertEqual(sum(worker["http"]["bad_proxy_headers"] for worker in steelyard.stats()["workers"]), 3)

    @for_each(version=VERSIONS)
    def test_haproxy_in_front_names_its_clients(self, version):
        self.web()
        self.listen(accept_proxy={"from": [IPV4.client]})
        send = {"v1": "send-proxy", "v2": "send-proxy-v2 proxy-v2-options crc32c,unique-id"}[version]
        path = self.net.dir / f"haproxy-{version}.cfg"
        path.write_text(f"""defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen in
    bind {IPV4.client}:9000
    unique-id-format %ci-%cp
    server vip {IPV4.vip()}:80 source {IPV4.client} {send}
""")
        process = self.client.namespace.spawn(["haproxy", "-db", "-f", path], path.with_suffix(".log"))
        self.addCleanup(process.kill)

        def asked(source):
            with http.connect(self.client, IPV4.client, 9000, source) as connection:
                return [dict(connection.ask().json()["headers"])["X-Forwarded-For"] for _ in range(3)]

        def comes_up():
            with contextlib.suppress(ConnectionRefusedError):
                return asked(IPV4.far(0))
            self.assertTrue(process.running(), process.log_tail())
            return None

        eventually(comes_up, "HAProxy listens")
        for number in range(8):
            self.assertEqual(asked(IPV4.far(number)), [IPV4.far(number)] * 3)

    @for_each(family=EACH_FAMILY, version=VERSIONS, workers=WORKERS)
    def test_nginx_learns_whose_each_request_is(self, family, version, workers):
        nginx = self.nginx()
        self.listen(family, workers, client_address=f"proxy_{version}")
        wanted = []
        sources = [None, *(family.far(number) for number in range(8))]
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context(self.connect(family, source)) for source in sources]
            for _ in range(3):  # in turns, so that one's connection to nginx is idle when the next one asks
                for connection in opened:
                    self.assertEqual(connection.ask().body, b"a\n")
                    wanted.append("%s %d" % connection.socket.getsockname()[:2])
        self.assertEqual(nginx.logged(len(wanted)), sorted(wanted))

    @for_each(version=VERSIONS)
    def test_whom_the_proxy_in_front_names_the_server_learns(self, version):
        nginx = self.nginx()
        self.listen(accept_proxy={"from": [IPV4.client]}, client_address=f"proxy_{version}")
        for number, client in enumerate(("203.0.113.5", "2001:db8:5::1")):
            with self.connect() as connection:
                destination = IPV4.vip() if number == 0 else IPV6.vip()
                connection.send(header("v2", client, 50000 + number, destination, 443))
                self.assertEqual(connection.ask().status, 200)
        self.assertEqual(nginx.logged(2), ["2001:db8:5::1 50001", "203.0.113.5 50000"])

    def test_a_server_that_dies_costs_no_request_its_header(self):
        servers = [self.nginx(index) for index in range(2)]
        self.listen(groups=[config.group("web", IPV4, 80, weights=(100, 100))], client_address="proxy_v2")
        with self.connect() as connection:
            for _ in range(4):
                self.assertEqual(connection.ask().status, 200)
            servers[0].stop()
            for _ in range(10):
                answer = connection.ask()
                self.assertEqual((answer.status, answer.body), (200, b"b\n"))
            whose = "%s %d" % connection.socket.getsockname()[:2]
        self.assertEqual({*servers[0].access_log(), *servers[1].access_log()}, {whose})
