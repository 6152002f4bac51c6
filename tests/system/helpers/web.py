"""An HTTP/1.1 server for the system tests, on Python's own http.server: says what it was asked, and who it is.

Runs inside a server's namespace: web.py NAME ADDRESS PORT [ADDRESS PORT ...]

    /...           a JSON object: server, method, path, headers ([name, value] pairs), length and SHA-256 of the body
    /bytes/N       N octets, octet i = i mod 251, with Content-Length
    /chunks/N      the same in chunks
    /status/S      an answer with that status
    /slow/S        the JSON object after S seconds
    /socket        a WebSocket that echoes text and binary messages (RFC 6455)
    /page          page.html, for browsers; /held is answered when /release has been asked for

Prints "ready"; a line "report" on standard input prints how many requests and connections there were; the end of
standard input ends the program.
"""

import base64
import hashlib
import http.server
import json
import pathlib
import socket
import socketserver
import sys
import threading
import time

PATTERN = bytes(range(251)) * 1024
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
COUNTS = {"requests": 0, "connections": 0}
LOCK = threading.Lock()
RELEASED = threading.Event()
PAGE = pathlib.Path(__file__).with_name("page.html")


def count(what):
    with LOCK:
        COUNTS[what] += 1


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 4096

    def __init__(self, address, port):
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), Handler)

    def server_bind(self):
        """Without asking a name server, which is not there, for our name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request, client_address):
        """A client that goes away in the middle is nothing to write about."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        count("connections")
        super().setup()

    def log_message(self, *_):
        pass

    def _body(self):
        """(length, SHA-256) of the request's body, which is read as it comes."""
        digest, length = hashlib.sha256(), 0

        def take(octets):
            nonlocal length
            while octets > 0:
                piece = self.rfile.read(min(octets, 1 << 16))
                if not piece:
                    raise ConnectionError("the body is cut short")
                digest.update(piece)
                length += len(piece)
                octets -= len(piece)

        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                take(size)
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
        else:
            take(int(self.headers.get("Content-Length", 0)))
        return length, digest.hexdigest()

    def _head(self, status, *fields):
        self.send_response_only(status)
        self.send_header("X-Server", NAME)
        for name, value in fields:
            self.send_header(name, str(value))
        self.end_headers()

    def _say(self, status=200):
        length, digest = self._body()
        body = json.dumps(
            {
                "server": NAME,
                "method": self.command,
                "path": self.path,
                "headers": [[name, value] for name, value in self.headers.items()],
                "length": length,
                "sha256": digest,
            }
        ).encode()
        if status in (204, 304):
            return self._head(status)
        self._head(status, ("Content-Type", "application/json"), ("Content-Length", len(body)))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _bytes(self, octets, chunked):
        self._body()
        self._head(200, ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", octets))
        sent = 0
        while sent < octets:
            begin = sent % 251
            piece = PATTERN[begin : begin + min(octets - sent, 65536)]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            sent += len(piece)
        if chunked:
            self.wfile.write(b"0\r\nX-Trailer: end\r\n\r\n")

    def _handle(self):
        count("requests")
        words = self.path.split("?")[0].split("/")
        if words[1] in ("bytes", "chunks"):
            return self._bytes(int(words[2]), words[1] == "chunks")
        if words[1] == "status":
            return self._say(int(words[2]))
        if words[1] == "slow":
            time.sleep(float(words[2]))
        if words[1] == "socket":
            return self._websocket()
        if words[1] == "page":
            return self._page()
        if words[1] == "held":
            RELEASED.wait(300)
        if words[1] == "release":
            RELEASED.set()
        self._say()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _handle

    def _page(self):
        body = PAGE.read_bytes()
        self._head(200, ("Content-Type", "text/html"), ("Content-Length", len(body)))
        self.wfile.write(body)

    def _websocket(self):
        key = self.headers["Sec-WebSocket-Key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        self._head(101, ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept))
        self.close_connection = True
        while True:
            first, second = self.rfile.read(2)
            length = second & 0x7F
            if length >= 126:
                length = int.from_bytes(self.rfile.read(2 if length == 126 else 8), "big")
            mask = self.rfile.read(4)
            payload = bytes(octet ^ mask[place % 4] for place, octet in enumerate(self.rfile.read(length)))
            size = bytes([len(payload)]) if length < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
            self.wfile.write(bytes([first]) + size + payload)
            if first & 0xF == 8:
                return


def main():
    listening = [Server(address, int(port)) for address, port in zip(sys.argv[2::2], sys.argv[3::2])]
    for server in listening:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "report":
            print(json.dumps(COUNTS), flush=True)


NAME = sys.argv[1]
main()
