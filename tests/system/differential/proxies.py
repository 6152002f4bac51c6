"""HAProxy and nginx as their manuals have people run them, set so that they change no more than a proxy has to, and the
client that asks all three proxies the same."""

import re
import socket

from harness import shell

# All timeouts. Hardly any case makes somebody wait, and those who do not must never be late.
SECONDS = 5
CANARY = b"GET /canary HTTP/1.1\r\nHost: canary\r\nConnection: close\r\n\r\n"


class HaProxy:
    """One process; `ways` is (port to listen at, port of the recorder) of each lane."""

    def __init__(self, net, address, server, ways):
        folder = net.dir / "haproxy"
        folder.mkdir()
        lanes = "".join(
            f"frontend f{port}\n  bind {address}:{port}\n  default_backend b{port}\n"
            f"backend b{port}\n  server s {server}:{recorder}\n"
            for port, recorder in ways
        )
        (folder / "haproxy.cfg").write_text(
            f"""global
  nbthread 1
defaults
  mode http
  retries 0
  timeout connect {SECONDS}s
  timeout client {SECONDS}s
  timeout http-request {SECONDS}s
  timeout http-keep-alive {SECONDS}s
  timeout server {SECONDS}s
{lanes}"""
        )
        self.process = net.client.spawn(["haproxy", "-db", "-f", folder / "haproxy.cfg"], folder / "log")


class Nginx:
    """The same with nginx."""

    def __init__(self, net, address, server, ways):
        folder = net.dir / "nginx"
        folder.mkdir()
        for path in (net.dir, folder):
            path.chmod(0o755)
        temporary = "".join(f"  {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        lanes = "".join(
            f"  server {{ listen {address}:{port}; location / {{ proxy_pass http://{server}:{recorder}; }} }}\n"
            for port, recorder in ways
        )
        (folder / "nginx.conf").write_text(
            f"""daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off;
{temporary}  client_header_timeout {SECONDS}s;
  client_body_timeout {SECONDS}s;
  keepalive_timeout {SECONDS}s;
  lingering_time {SECONDS}s;
  lingering_timeout {SECONDS}s;
  proxy_http_version 1.1;
  proxy_request_buffering off;
  proxy_next_upstream off;
  proxy_set_header Host $http_host;
  proxy_set_header Connection "";
{lanes}}}
"""
        )
        argv = ["nginx", "-e", folder / "start.log", "-c", folder / "nginx.conf", "-p", folder]
        self.process = net.client.spawn(argv, folder / "log")


def wait_for(process, net, address, port):
    """Until somebody listens there."""

    def listens():
        if not process.running():
            raise AssertionError(f"{process.argv[0]} has ended: {process.log_tail()}")
        with net.client.entered():
            try:
                socket.create_connection((address, port), 1).close()
            except OSError:
                return False
        return True

    shell.eventually(listens, f"{address}:{port} is listened at")


def ask(address, port, octets):
    """Sends all at once and reads to the end: the statuses of the final answers."""
    received = b""
    with socket.create_connection((address, port), 4 * SECONDS) as opened:
        opened.sendall(octets)
        try:
            while more := opened.recv(65536):
                received += more
        except ConnectionError:
            pass
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([2-5]\d\d)", received)]
