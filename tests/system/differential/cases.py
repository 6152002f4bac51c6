"""The odd requests: a table, the same in every run. A case's name says what is odd about it; explained.md goes by names."""

import dataclasses
import re

CRLF = "\r\n"
HOST = "Host: www.example\r\n"


@dataclasses.dataclass(frozen=True)
class Case:
    """What a client sends on one connection."""

    name: str
    octets: bytes


class Table:
    """Cases in the order in which they were added; names are distinct, and so are the octets."""

    def __init__(self):
        self._cases, self._octets = {}, set()

    def add(self, name, text):
        octets = text if isinstance(text, bytes) else text.encode("latin-1")
        assert name not in self._cases, name
        if octets not in self._octets:  # the same by another way: once is enough
            self._cases[name] = Case(name, octets)
            self._octets.add(octets)

    def cases(self):
        return list(self._cases.values())


def named(text):
    """A value as a part of a name: what cannot be read is written in hexadecimal."""
    shown = re.sub(r"[^!-)+-Z^-~]", lambda found: f"\\x{ord(found[0]):02x}", text)
    return shown if len(shown) <= 60 else f"{shown[:40]}...{len(text)}"


def get(target="/", fields="", version="HTTP/1.1", method="GET", host=HOST):
    return f"{method} {target} {version}\r\n{host}{fields}\r\n"


def post(fields, body="", version="HTTP/1.1", method="POST"):
    return f"{method} /form {version}\r\n{HOST}{fields}\r\n{body}"


METHODS = """GET HEAD POST PUT DELETE OPTIONS PATCH PROPFIND M-SEARCH BREW G get Get gET post CONNECT TRACE trace PRI G!T G.T G_T G~T
    G-1 1 -- G(T G)T G/T G:T G;T G@T G[T G"T G\\T G{T G=T G,T""".split()


def methods(table):
    for method in [*METHODS, "G\tT", "G\0T", "G\x7fT", "G\xe4T", "X" * 63, "X" * 65, "x" * 200, ""]:
        table.add(f"method/{named(method)}", get(method=method))


PATHS = r"""/ // /a//b /. /./a /.. /../a /a/../../b /%2e%2e/a /%2E%2E/a /%2f /a%2Fb /%00 /% /%z /%zz /%u0041 /a?b /a? /? /?? /a?b?c /a?%00
    /;a /a;b=c /a,b /a'b /a!b /a$b /a(b) /a* /a+b /a=b /a@b /a:b /~a /a_b /a"b /a<b /a>b /a\b /a^b /a`b /a{b /a|b /a}b /a[b /a]b
    /# /a#b /a?b#c # ?a a a/b * ** ./a ../a \ \a""".split()
URIS = """http://www.example/ http://www.example http://www.example?a http://www.example/?a http://www.example/a#b HTTP://WWW.EXAMPLE/a
    http://www.example:80/ http://www.example:8080/ http://www.example:/ http://www.example:x/ http://www.example:65536/
    http://other.example/ http://other.example http://user@www.example/ http://user:pass@www.example/ http:///a http:// http:/a http:a
    http://[::1]/ http://[::1 http://www.example\\a http://www.example%2fa http://a,b/ https://www.example/ https://www.example:443/a
    ftp://www.example/ file:///a javascript:a //www.example/a www.example www.example:80 :80""".split()


def targets(table):
    for target in [*PATHS, *URIS]:
        table.add(f"target/{named(target)}", get(target))
    for target in ["*", "**", *URIS]:
        table.add(f"target-of-options/{named(target)}", get(target, method="OPTIONS"))
    for octet in [*"\0\x01\x08\t\n\x0b\x0c\r\x1b\x1f \x7f\x80\x85\xa0\xe4\xff"]:
        table.add(f"target/octet/{named(octet)}", get(f"/a{octet}b"))
    for length in (2_000, 7_000, 8_191, 8_192, 8_193, 20_000):
        table.add(f"target/long/{length}", get("/" + "x" * (length - 1)))


VERSIONS = """HTTP/1.1 HTTP/1.0 HTTP/0.9 HTTP/1.2 HTTP/1.9 HTTP/1.10 HTTP/1.32 HTTP/1.01 HTTP/01.1 HTTP/2.0 HTTP/2 HTTP/3 HTTP/9.9 HTTP/1 HTTP/1. HTTP/.1
    HTTP/ HTTP http/1.1 Http/1.1 HTTQ/1.1 HTTP/1,1 HTTP/1.1x HTTP/1.x HTTP/x.1 HTTP/-1.1 HTTP/+1.1 HTTP/1.1/1.1 HTTP\\1.1 XHTTP/1.1
    HTTPS/1.1 ICY/1.1""".split()


def request_lines(table):
    for version in VERSIONS:
        table.add(f"version/{version}", get(version=version))
    lines = {
        "two-blanks-before-target": "GET  / HTTP/1.1",
        "two-blanks-before-version": "GET /  HTTP/1.1",
        "blank-at-the-end": "GET / HTTP/1.1 ",
        "tab-at-the-end": "GET / HTTP/1.1\t",
        "blank-at-the-start": " GET / HTTP/1.1",
        "tab-at-the-start": "\tGET / HTTP/1.1",
        "tabs": "GET\t/\tHTTP/1.1",
        "tab-before-version": "GET /\tHTTP/1.1",
        "vertical-tabs": "GET\x0b/\x0bHTTP/1.1",
        "form-feeds": "GET\x0c/\x0cHTTP/1.1",
        "no-break-spaces": "GET\xa0/\xa0HTTP/1.1",
        "cr-for-blank": "GET /\rHTTP/1.1",
        "blank-in-target": "GET /a b HTTP/1.1",
        "blank-in-version": "GET / HTTP/ 1.1",
        "two-versions": "GET / HTTP/1.1 HTTP/1.1",
        "two-different-versions": "GET / HTTP/1.0 HTTP/1.1",
        "no-version": "GET /",
        "no-version-but-blank": "GET / ",
        "no-target": "GET HTTP/1.1",
        "no-target-but-blanks": "GET  HTTP/1.1",
        "method-alone": "GET",
        "nothing-but-a-blank": " ",
        "colon": "GET: / HTTP/1.1",
        "status-line": "HTTP/1.1 200 OK",
        "smtp": "EHLO www.example",
    }
    for name, line in lines.items():
        table.add(f"request-line/{name}", f"{line}\r\n{HOST}\r\n")
    for name, before in {
        "crlf": "\r\n",
        "two-crlf": "\r\n\r\n",
        "three-crlf": "\r\n\r\n\r\n",
        "lf": "\n",
        "two-lf": "\n\n",
        "cr": "\r",
        "cr-cr-lf": "\r\r\n",
        "nul": "\0",
        "blank-crlf": " \r\n",
        "byte-order-mark": "\xef\xbb\xbf",
        "tls": "\x16\x03\x01\x00\x05hello",
        "proxy-protocol": "PROXY TCP4 10.1.1.1 10.2.2.2 1 2\r\n",
        "http-2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    }.items():
        table.add(f"before-request/{name}", before + get("/a"))


HOSTS = """a A a. .a a..b -a a- a_b a~b a!b a$b a&b a'b a(b) a*b a+b a,b a;b a=b a%b a%41b a%2eb a@b user@a a/b a\\b a?b a#b a"b a<b a[b a]b a^b
    a`b a{b a|b a:80 a:080 a:0 a: a:x a:80x a:-80 a:+80 a:65535 a:65536 a:99999999999 a:80:80 :80 : 127.0.0.1 0x7f.1 1 [::1] [::1]:80 [::1]x [::1
    ::1 [] [x] [::1%25eth0] [v1.a] a..""".split()


def hosts(table):
    for host in [*HOSTS, "", "a b", "a\tb", "a\x80b", "a\xe4b", "a\0b", "a\x7fb", "x" * 255, "x" * 256, "a, b", "a b:80"]:
        table.add(f"host/{named(host)}", get("/a", host=f"Host: {host}\r\n"))
    several = {
        "none": "",
        "two": "Host: a\r\nHost: b\r\n",
        "two-equal": "Host: a\r\nHost: a\r\n",
        "two-far-apart": "Host: a\r\nX: y\r\nhOST: b\r\n",
        "blank-before-colon": "Host : a\r\n",
        "tab-before-colon": "Host\t: a\r\n",
        "second-with-blank-before-colon": "Host: a\r\nHost : b\r\n",
        "folded": "Host:\r\n a\r\n",
        "folded-at-the-end": "Host: a\r\n b\r\n",
        "blank-before-name": " Host: a\r\n",
        "blank-before-second-name": "Host: a\r\n Host: b\r\n",
        "no-blank": "Host:a\r\n",
        "many-blanks": "Host: \t  a \t \r\n",
        "small-letters": "host: a\r\n",
        "capitals": "HOST: a\r\n",
        "forwarded": "Host: a\r\nX-Forwarded-Host: b\r\n",
    }
    for name, fields in several.items():
        table.add(f"hosts/{name}", get("/a", host=fields))
        table.add(f"hosts-1.0/{name}", get("/a", host=fields, version="HTTP/1.0"))
    for name, host in {"same": "a", "other": "b", "empty": "", "other-case": "A", "port": "a:80", "other-port": "a:81", "malformed": "a b"}.items():
        table.add(f"host-beside-uri/{name}", get("http://a/x", host=f"Host: {host}\r\n"))
    table.add("host-beside-uri/none", get("http://a/x", host=""))
    table.add("host-beside-uri/two", get("http://a/x", host="Host: a\r\nHost: a\r\n"))


def names(table):
    for octet in "!#$%&'*+-.^_`|~()<>@,;\\\"/[]?={}\t\0\x01\x0b\x0c\x1f \x7f\x80\x85\xa0\xff:":
        table.add(f"name/{named(octet)}", get(fields=f"X{octet}Y: z\r\n"))
    for name, line in {
        "empty": ": z",
        "blank": " : z",
        "no-colon": "X",
        "no-colon-two-words": "X Y",
        "colon-alone": ":",
        "blank-before-colon": "X : z",
        "tab-before-colon": "X\t: z",
        "digits": "1: z",
        "long": "x" * 200 + ": z",
        "too-long": "x" * 300 + ": z",
        "no-value": "X:",
        "blank-value": "X:   ",
        "quoted": '"X": z',
    }.items():
        table.add(f"line/{name}", get(fields=line + CRLF))
        table.add(f"first-line/{name}", get(host=f"{line}\r\n{HOST}"))


def values(table):
    for octet in [chr(code) for code in range(0x20)] + list("\x7f\x80\x85\xa0\xad\xe4\xff"):
        table.add(f"value/inside/{named(octet)}", get(fields=f"X: a{octet}b\r\n"))
    for octet in "\t\x0b\x0c\x1c\x85\xa0\xff\0":
        table.add(f"value/before/{named(octet)}", get(fields=f"X: {octet}a\r\n"))
        table.add(f"value/behind/{named(octet)}", get(fields=f"X: a{octet}\r\n"))
    for name, fields in {
        "folded": "X: a\r\n b\r\n",
        "folded-tab": "X: a\r\n\tb\r\n",
        "folded-empty": "X: a\r\n \r\n",
        "folded-first": "X:\r\n a\r\n",
        "folded-twice": "X: a\r\n b\r\n c\r\n",
        "folded-length": "X: a\r\n Content-Length: 3\r\n",
        "blanks-around": "X: \t a \t \r\n",
        "no-blank": "X:a\r\n",
        "twice": "X: a\r\nX: b\r\n",
        "twice-in-other-letters": "X: a\r\nx: b\r\n",
        "twice-apart": "X: a\r\nY: c\r\nX: b\r\n",
        "empty-and-not": "X:\r\nX: b\r\n",
        "quotes": 'X: "a\\"b"\r\n',
        "half-a-quote": 'X: "a\r\n',
        "colons": "X: a: b: c\r\n",
        "long": f"X: {'y' * 4000}\r\n",
        "very-long": f"X: {'y' * 9000}\r\n",
        "longer-than-a-head": f"X: {'y' * 40000}\r\n",
        "90-fields": "".join(f"X-{number}: y\r\n" for number in range(90)),
        "127-fields": "".join(f"X-{number}: y\r\n" for number in range(127)),
        "128-fields": "".join(f"X-{number}: y\r\n" for number in range(128)),
        "cookies": "Cookie: a=b\r\nCookie: c=d\r\n",
        "cookie-odd": 'Cookie: a="b;c"; ;=x; d\r\n',
        "authorization-twice": "Authorization: a\r\nAuthorization: b\r\n",
        "content-type-twice": "Content-Type: a/b\r\nContent-Type: c/d\r\n",
        "underscore-and-hyphen": "X-A: 1\r\nX_A: 2\r\n",
        "range": "Range: bytes=0-0,1-1\r\n",
        "max-forwards": "Max-Forwards: 0\r\n",
        "http-proxy": "Proxy: evil\r\n",
        "forwarded": "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n",
        "shellshock": "User-Agent: () { :; }; echo\r\n",
    }.items():
        table.add(f"fields/{name}", get(fields=fields))


LENGTHS = ["3", "03", "003", "010", "0x3", "3x", "+3", "-3", "-0", "1_0", "3.0", "3e0", "", "3,3", "3, 3", "3, 4", "3,", ",3", "3;3", "3 3", "0 3", '"3"',
           "\t3", "3\t", "\x0b3", "\x0c3", "\xa03", "3\xa0", "3\0", "3\x85", "\xb3", "3" * 30, "three", "3 (octets)", "0", "00", "-1"]


def lengths(table):
    for length in LENGTHS:
        table.add(f"length/{named(length)}", post(f"Content-Length: {length}\r\n", "abc"))
        table.add(f"length-of-get/{named(length)}", post(f"Content-Length: {length}\r\n", "abc", method="GET"))
    for name, length in {"2-to-63": 2**63, "2-to-64-and-3": 2**64 + 3}.items():
        table.add(f"length/{name}", post(f"Content-Length: {length}\r\n", "abc"))
    for name, fields in {
        "two": "Content-Length: 3\r\nContent-Length: 4\r\n",
        "two-equal": "Content-Length: 3\r\nContent-Length: 3\r\n",
        "two-in-other-letters": "Content-Length: 3\r\ncontent-length: 3\r\n",
        "two-apart": "Content-Length: 3\r\nX: y\r\nContent-Length: 0\r\n",
        "zero-and-three": "Content-Length: 0\r\nContent-Length: 3\r\n",
        "one-empty": "Content-Length: 3\r\nContent-Length:\r\n",
        "blank-before-colon": "Content-Length : 3\r\n",
        "tab-before-colon": "Content-Length\t: 3\r\n",
        "underscore": "Content_Length: 3\r\n",
        "underscore-beside": "Content-Length: 3\r\nContent_Length: 0\r\n",
        "folded": "Content-Length:\r\n 3\r\n",
        "folded-digit": "Content-Length: \r\n 3\r\n",
        "folded-name": "Content-\r\n Length: 3\r\n",
        "blank-in-name": "Content Length: 3\r\n",
        "named-by-connection": "Connection: Content-Length\r\nContent-Length: 3\r\n",
        "with-x-method-override": "X-HTTP-Method-Override: GET\r\nContent-Length: 3\r\n",
    }.items():
        table.add(f"lengths/{name}", post(fields, "abc"))
    for method in ("HEAD", "OPTIONS", "DELETE", "PUT", "BREW", "PATCH"):
        table.add(f"body/{method}/length", post("Content-Length: 3\r\n", "abc", method=method))
        table.add(f"body/{method}/length-0", post("Content-Length: 0\r\n", method=method))
        table.add(f"body/{method}/chunks", post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n", method=method))
        table.add(f"body/{method}/none", post("", method=method))
    table.add("body/GET/chunks", post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n", method="GET"))
    table.add("body/POST/large", post("Content-Length: 100000\r\n", "x" * 100_000))


CODINGS = ["chunked", "Chunked", "CHUNKED", "chunked ", "chunked\t", "\tchunked", " \t chunked", "\x0bchunked", "chunked\x0b", "\x0cchunked", "\xa0chunked", "chunked\xa0",
           "\x85chunked", "chunked\x85", "\0chunked", "chunked\0", '"chunked"', "'chunked'", "chunke", "chunkedx", "xchunked", "x-chunked", "chun ked",
           "chunked;", "chunked;a=b", ";chunked", ",chunked", "chunked,", ", chunked", "chunked, chunked", "chunked,chunked", "gzip", "gzip, chunked",
           "chunked, gzip", "identity", "identity, chunked", "chunked, identity", "x, chunked", "trailers, chunked", "", "0", "chunked chunked",
           "\xe3\x84\x8bhunked"]
CHUNKS = "3\r\nabc\r\n0\r\n\r\n"


def codings(table):
    for coding in CODINGS:
        table.add(f"coding/{named(coding)}", post(f"Transfer-Encoding: {coding}\r\n", CHUNKS))
    for name, fields in {
        "length-before": "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "length-behind": "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "right-length": f"Content-Length: {len(CHUNKS)}\r\nTransfer-Encoding: chunked\r\n",
        "length-0": "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "malformed-length": "Content-Length: x\r\nTransfer-Encoding: chunked\r\n",
        "identity-beside-length": f"Transfer-Encoding: identity\r\nContent-Length: {len(CHUNKS)}\r\n",
        "unknown-beside-length": f"Transfer-Encoding: x\r\nContent-Length: {len(CHUNKS)}\r\n",
        "two": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "second-unknown": "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
        "first-unknown": "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
        "first-identity": "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "second-empty": "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n",
        "blank-before-colon": "Transfer-Encoding : chunked\r\n",
        "tab-before-colon": "Transfer-Encoding\t: chunked\r\n",
        "vertical-tab-before-colon": "Transfer-Encoding\x0b: chunked\r\n",
        "no-blank": "Transfer-Encoding:chunked\r\n",
        "underscore": "Transfer_Encoding: chunked\r\n",
        "underscore-beside-length": f"Content-Length: {len(CHUNKS)}\r\nTransfer_Encoding: chunked\r\n",
        "folded": "Transfer-Encoding:\r\n chunked\r\n",
        "folded-name": "Transfer-\r\n Encoding: chunked\r\n",
        "folded-into": "X: y\r\n Transfer-Encoding: chunked\r\n",
        "cr-into": "X: y\rTransfer-Encoding: chunked\r\n",
        "lf-into": "X: y\nTransfer-Encoding: chunked\r\n",
        "nul-into": "X: y\0Transfer-Encoding: chunked\r\n",
        "blank-before-name": " Transfer-Encoding: chunked\r\n",
        "small-letters": "transfer-encoding: chunked\r\n",
        "content-encoding": f"Content-Encoding: chunked\r\nContent-Length: {len(CHUNKS)}\r\n",
        "named-by-connection": "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
        "named-by-connection-beside-length": "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "te": "TE: chunked\r\nTransfer-Encoding: chunked\r\n",
        "te-alone": f"TE: chunked\r\nContent-Length: {len(CHUNKS)}\r\n",
    }.items():
        table.add(f"codings/{name}", post(fields, CHUNKS))
    for coding in ("chunked", "identity"):
        table.add(f"coding-1.0/{coding}", post(f"Transfer-Encoding: {coding}\r\n", CHUNKS, "HTTP/1.0"))
        table.add(f"coding-1.0/{coding}-keep-alive", post(f"Connection: keep-alive\r\nTransfer-Encoding: {coding}\r\n", CHUNKS, "HTTP/1.0"))
        table.add(f"coding-1.0/{coding}-beside-length", post(f"Transfer-Encoding: {coding}\r\nContent-Length: 13\r\n", CHUNKS, "HTTP/1.0"))


# Not among them: trailers with NUL or with a blank before the colon, which HAProxy 2.6 does not always treat alike.
BODIES = {
    "empty": "0\r\n\r\n",
    "two": "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
    "capital-size": "A\r\n0123456789\r\n0\r\n\r\n",
    "small-size": "a\r\n0123456789\r\n0\r\n\r\n",
    "leading-zero": "03\r\nabc\r\n0\r\n\r\n",
    "leading-zeros": "0" * 12 + "3\r\nabc\r\n0\r\n\r\n",
    "many-leading-zeros": "0" * 30 + "3\r\nabc\r\n0\r\n\r\n",
    "many-last-zeros": "3\r\nabc\r\n000000\r\n\r\n",
    "extension": "3;a=b\r\nabc\r\n0\r\n\r\n",
    "extension-of-last": "3\r\nabc\r\n0;a=b\r\n\r\n",
    "extension-quoted": '3;a="b;c"\r\nabc\r\n0\r\n\r\n',
    "extension-half-quoted": '3;a="b\r\nabc\r\n0\r\n\r\n',
    "extension-without-name": "3;\r\nabc\r\n0\r\n\r\n",
    "extension-with-blanks": "3 ; a = b\r\nabc\r\n0\r\n\r\n",
    "extension-long": "3;" + "x" * 500 + "\r\nabc\r\n0\r\n\r\n",
    "extension-too-long": "3;" + "x" * 5000 + "\r\nabc\r\n0\r\n\r\n",
    "extension-lf": "3;a\nb\r\nabc\r\n0\r\n\r\n",
    "extension-cr": "3;a\rb\r\nabc\r\n0\r\n\r\n",
    "extension-nul": "3;a\0b\r\nabc\r\n0\r\n\r\n",
    "extension-cr-cr-lf": "3;a\r\r\nabc\r\n0\r\n\r\n",
    "blank-behind-size": "3 \r\nabc\r\n0\r\n\r\n",
    "tab-behind-size": "3\t\r\nabc\r\n0\r\n\r\n",
    "blanks-behind-last-size": "3\r\nabc\r\n0   \r\n\r\n",
    "blank-before-size": " 3\r\nabc\r\n0\r\n\r\n",
    "garbage-behind-size": "3x\r\nabc\r\n0\r\n\r\n",
    "comma-behind-size": "3,3\r\nabc\r\n0\r\n\r\n",
    "second-size": "3 3\r\nabc\r\n0\r\n\r\n",
    "no-size": "\r\nabc\r\n0\r\n\r\n",
    "extension-without-size": ";a\r\nabc\r\n0\r\n\r\n",
    "0x": "0x3\r\nabc\r\n0\r\n\r\n",
    "0x-last": "3\r\nabc\r\n0x0\r\n\r\n",
    "plus": "+3\r\nabc\r\n0\r\n\r\n",
    "minus": "-3\r\nabc\r\n0\r\n\r\n",
    "minus-last": "3\r\nabc\r\n-0\r\n\r\n",
    "underscore": "0_3\r\nabc\r\n0\r\n\r\n",
    "underscore-last": "3\r\nabc\r\n0_2e\r\n\r\n",
    "no-hex": "g\r\nabc\r\n0\r\n\r\n",
    "superscript": "\xb3\r\nabc\r\n0\r\n\r\n",
    "lf-behind-size": "3\nabc\r\n0\r\n\r\n",
    "cr-behind-size": "3\rabc\r\n0\r\n\r\n",
    "lf-behind-data": "3\r\nabc\n0\r\n\r\n",
    "cr-behind-data": "3\r\nabc\r0\r\n\r\n",
    "nothing-behind-data": "3\r\nabc0\r\n\r\n",
    "two-octets-behind-data": "3\r\nabcXX0\r\n\r\n",
    "crlf-twice-behind-data": "3\r\nabc\r\n\r\n0\r\n\r\n",
    "lf-behind-last": "3\r\nabc\r\n0\n\r\n",
    "lf-everywhere": "3\nabc\n0\n\n",
    "lf-at-the-end": "3\r\nabc\r\n0\r\n\n",
    "cr-x-at-the-end": "3\r\nabc\r\n0\r\n\rX",
    "nothing-at-the-end": "3\r\nabc\r\n0\r\n",
    "size-too-small": "2\r\nabc\r\n0\r\n\r\n",
    "size-too-large": "4\r\nabc\r\n0\r\n\r\n",
    "2-to-64": "10000000000000003\r\nabc\r\n0\r\n\r\n",
    "2-to-32": "100000000000000000000000000000003\r\nabc\r\n0\r\n\r\n",
    "minus-one": "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "2-to-63": "8000000000000003\r\nabc\r\n0\r\n\r\n",
    "trailer": "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    "two-trailers": "3\r\nabc\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
    "trailer-length": "3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
    "trailer-coding": "3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailer-host": "3\r\nabc\r\n0\r\nHost: b\r\n\r\n",
    "trailer-authorization": "3\r\nabc\r\n0\r\nAuthorization: b\r\n\r\n",
    "trailer-cookie": "3\r\nabc\r\n0\r\nCookie: a=b\r\n\r\n",
    "trailer-forwarded-for": "3\r\nabc\r\n0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    "trailer-folded": "3\r\nabc\r\n0\r\nX: a\r\n b\r\n\r\n",
    "trailer-without-colon": "3\r\nabc\r\n0\r\nX\r\n\r\n",
    "trailer-without-name": "3\r\nabc\r\n0\r\n: a\r\n\r\n",
    "trailer-lf": "3\r\nabc\r\n0\r\nX: a\n\r\n",
    "trailer-cr": "3\r\nabc\r\n0\r\nX: a\rb\r\n\r\n",
    "trailer-request-line": "3\r\nabc\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    "trailers-too-long": "3\r\nabc\r\n0\r\n" + "".join(f"X-{number}: {'y' * 80}\r\n" for number in range(200)) + "\r\n",
    "one-octet-chunks": "1\r\nx\r\n" * 300 + "0\r\n\r\n",
    "mostly-framing": "1;" + "x" * 500 + "\r\nx\r\n",
}


def chunks(table):
    for name, body in BODIES.items():
        if name == "mostly-framing":
            body = body * 100 + "0\r\n\r\n"
        table.add(f"chunks/{name}", post("Transfer-Encoding: chunked\r\n", body))


def line_ends(table):
    for name, text in {
        "lf-request-line": f"GET / HTTP/1.1\n{HOST}\r\n",
        "lf-field": "GET / HTTP/1.1\r\nHost: www.example\nX: y\r\n\r\n",
        "lf-last-field": "GET / HTTP/1.1\r\nHost: www.example\n\r\n",
        "lf-empty-line": "GET / HTTP/1.1\r\nHost: www.example\r\n\n",
        "lf-everywhere": "GET / HTTP/1.1\nHost: www.example\n\n",
        "cr-request-line": f"GET / HTTP/1.1\r{HOST}\r\n",
        "cr-field": "GET / HTTP/1.1\r\nHost: www.example\rX: y\r\n\r\n",
        "cr-everywhere": "GET / HTTP/1.1\rHost: www.example\r\r",
        "cr-cr-lf-request-line": f"GET / HTTP/1.1\r\r\n{HOST}\r\n",
        "cr-cr-lf-field": "GET / HTTP/1.1\r\nHost: www.example\r\r\n\r\n",
        "cr-before-empty-line": "GET / HTTP/1.1\r\nHost: www.example\r\n\r\r\n",
        "lf-cr": f"GET / HTTP/1.1\n\r{HOST}\n\r",
        "blank-line": "GET / HTTP/1.1\r\nHost: www.example\r\n \r\n\r\n",
        "tab-line": "GET / HTTP/1.1\r\nHost: www.example\r\n\t\r\n\r\n",
        "empty-line-before-fields": f"GET / HTTP/1.1\r\n\r\n{HOST}\r\n",
    }.items():
        table.add(f"line-end/{name}", text)


def connections(table):
    for value in ["close", "Close", "CLOSE", "keep-alive", "Keep-Alive", "close, keep-alive", "keep-alive, close", "close,close", ",close", "close,", "", ",",
                  '"close"', "close;a", "closed", "X", "X, Y", "x", "X-Forwarded-For", "Host", "Cookie", "Authorization", "Content-Length", "Transfer-Encoding",
                  "Upgrade", "TE", "Via", "X Y", "@", "a" * 300, "close\tx"]:
        fields = f"Connection: {value}\r\nX: 1\r\nY: 2\r\nCookie: c=d\r\nAuthorization: e\r\nX-Forwarded-For: f\r\nVia: 1.1 g\r\n"
        table.add(f"connection/{named(value)}", get(fields=fields))
    for name, fields in {
        "two": "Connection: X\r\nConnection: Y\r\nX: 1\r\nY: 2\r\n",
        "two-close": "Connection: keep-alive\r\nConnection: close\r\n",
        "keep-alive-field": "Keep-Alive: timeout=5\r\n",
        "proxy-connection": "Proxy-Connection: keep-alive\r\n",
        "te": "TE: trailers\r\nConnection: TE\r\n",
        "te-alone": "TE: trailers, deflate;q=0.5\r\n",
        "trailer": "Trailer: X-Sum\r\n",
        "upgrade-alone": "Upgrade: websocket\r\n",
        "websocket": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n",
        "h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "h2c-beside-websocket": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket, h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "upgrade-with-body": "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc",
        "proxy-authorization": "Proxy-Authorization: Basic eA==\r\n",
        "expect": "Expect: 100-continue\r\n",
        "expect-unknown": "Expect: miracles\r\n",
        "expect-two": "Expect: 100-continue\r\nExpect: 100-continue\r\n",
        "expect-list": "Expect: 100-continue, x\r\n",
    }.items():
        if fields.endswith("abc"):
            table.add(f"hop/{name}", f"GET / HTTP/1.1\r\n{HOST}{fields}")
        else:
            table.add(f"hop/{name}", get(fields=fields))
            table.add(f"hop-1.0/{name}", get(fields=fields, version="HTTP/1.0"))
    table.add("expect/with-body", post("Expect: 100-continue\r\nContent-Length: 3\r\n", "abc"))
    table.add("expect/in-capitals", post("Expect: 100-CONTINUE\r\nContent-Length: 3\r\n", "abc"))
    table.add("expect/with-chunks", post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", CHUNKS))


def http_1_0(table):
    for name, fields in {
        "plain": "",
        "keep-alive": "Connection: keep-alive\r\n",
        "close": "Connection: close\r\n",
        "length": "Content-Length: 3\r\n",
        "length-keep-alive": "Connection: keep-alive\r\nContent-Length: 3\r\n",
    }.items():
        for method in ("GET", "HEAD", "POST"):
            body = "abc" if "length" in name else ""
            table.add(f"http-1.0/{method}/{name}", post(fields, body, "HTTP/1.0", method))


def pipelines(table):
    first, second = get("/first"), get("/second")
    whole = post("Content-Length: 3\r\n", "abc")
    chunked = post("Transfer-Encoding: chunked\r\n", CHUNKS)
    for name, text in {
        "two": first + second,
        "five": first + second + get("/3") + get("/4") + get("/5"),
        "empty-line-between": first + CRLF + second,
        "two-empty-lines-between": first + CRLF + CRLF + second,
        "lf-between": first + "\n" + second,
        "blank-between": first + " " + second,
        "post-and-get": whole + second,
        "crlf-behind-post": whole + CRLF + second,
        "chunks-and-get": chunked + second,
        "crlf-behind-chunks": chunked + CRLF + second,
        "head-and-get": get("/first", method="HEAD") + second,
        "close-and-get": get("/first", "Connection: close\r\n") + second,
        "1.0-and-get": get("/first", version="HTTP/1.0") + second,
        "1.0-keep-alive-and-get": get("/first", "Connection: keep-alive\r\n", version="HTTP/1.0") + second,
        "malformed-second": first + get("/second", "X : y\r\n"),
        "get-with-body-and-get": post("Content-Length: 3\r\n", "abc", method="GET") + second,
        "get-with-hidden-get": get("/first", f"X: y\r\nContent-Length: {len(second)}\r\n") + second,
        "upgrade-and-get": get("/first", "Connection: upgrade\r\nUpgrade: x\r\n") + second,
        "length-0-and-body": post("Content-Length: 0\r\n") + second,
        "post-without-length": post("") + second,
        "ambiguous-and-get": post("Content-Length: 03\r\n", "abc") + second,
        "other-hosts": get("/first", host="Host: a\r\n") + get("/second", host="Host: b\r\n"),
    }.items():
        table.add(f"pipeline/{name}", text)


def all_cases():
    table = Table()
    for group in (methods, targets, request_lines, hosts, names, values, lengths, codings, chunks, line_ends, connections, http_1_0, pipelines):
        group(table)
    return table.cases()
