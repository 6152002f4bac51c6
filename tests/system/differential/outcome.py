"""What became of a case at one proxy, and in what two proxies differ."""

import dataclasses

# Not on the list of differences: each proxy says how it goes on with its own connection (RFC 9110 section 7.6.1).
OWN_FIELDS = {"connection", "content-length", "transfer-encoding", "host"}


@dataclasses.dataclass
class Outcome:
    """`statuses`: of the client's answers; `arrivals`: at the server."""

    statuses: list
    arrivals: list

    @property
    def requests(self):
        """Those that arrived whole, the canary not among them."""
        return [arrival.request for arrival in self.arrivals if arrival.request and arrival.request.target != "/canary"]

    @property
    def fate(self):
        """Of the first request: `passed`, `malformed` when what was passed is none, the status that refused it, or `closed`
        when there was none."""
        if self.requests:
            return "passed"
        if self.problems:
            return "malformed"
        refusals = [status for status in self.statuses if status != 200]
        return str(refusals[0]) if refusals else "closed"

    @property
    def goes_on(self):
        """Is the next request on the connection served?"""
        return any(arrival.request and arrival.request.target == "/canary" for arrival in self.arrivals)

    @property
    def problems(self):
        return [arrival.problem for arrival in self.arrivals if arrival.problem]


def _said(values):
    return "none" if not values else " + ".join(value if value else "empty" for value in values)


def _shown(text):
    """Text of any octets as it can stand in a table."""
    shown = text.encode("latin-1").decode("ascii", "backslashreplace") if isinstance(text, str) else text
    shown = "".join(octet if octet.isprintable() else f"\\x{ord(octet):02x}" for octet in shown)
    return shown if len(shown) <= 60 else f"{shown[:40]}...{len(text)}"


def _differences_of_requests(ours, theirs):
    yield "method", ours.method, theirs.method
    yield "target", ours.target, theirs.target
    yield "version", ours.version, theirs.version
    yield "host", _said(ours.values("host")), _said(theirs.values("host"))
    yield "framing", ours.framing, theirs.framing
    yield "body", ours.body.decode("latin-1"), theirs.body.decode("latin-1")
    yield "trailers", _said([f"{n.lower()}={v}" for n, v in ours.trailers]), _said([f"{n.lower()}={v}" for n, v in theirs.trailers])
    yield "connection", _said(ours.values("connection")), _said(theirs.values("connection"))
    names = [[name.lower() for name, _ in request.fields if name.lower() not in OWN_FIELDS] for request in (ours, theirs)]
    for name in sorted({*names[0], *names[1]}):
        yield f"field {name}", _said(ours.values(name)), _said(theirs.values(name))
    if sorted(names[0]) == sorted(names[1]):
        yield "order", " ".join(names[0]), " ".join(names[1])
        letters = [sorted(name for name, _ in request.fields if name.lower() not in OWN_FIELDS) for request in (ours, theirs)]
        yield "letters", " ".join(letters[0]), " ".join(letters[1])


def differences(ours, theirs):
    """(what, at Steelyard, at the other proxy), all as text."""
    found = []
    if ours.fate != theirs.fate:
        found.append(("fate", ours.fate, theirs.fate))
    elif ours.fate == "passed":
        if len(ours.requests) != len(theirs.requests):
            found.append(("requests", str(len(ours.requests)), str(len(theirs.requests))))
        for one, other in zip(ours.requests, theirs.requests):
            for what, here, there in _differences_of_requests(one, other):
                if here != there and (what, here, there) not in found:
                    found.append((what, here, there))
    if ours.fate == theirs.fate and ours.goes_on != theirs.goes_on:
        found.append(("next request", "served" if ours.goes_on else "not served", "served" if theirs.goes_on else "not served"))
    return [(what, _shown(here), _shown(there)) for what, here, there in found]
