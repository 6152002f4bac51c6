"""Configuration files for the tests: plain dictionaries, written as the block-style YAML that users write."""

import json
import os
import re

from .net import LINKS
from .plan import FAMILIES

# Tests that run beside each other must not take each other's huge pages; STEELYARD_TEST_HUGEPAGES=auto tries them.
HUGEPAGES = os.environ.get("STEELYARD_TEST_HUGEPAGES", "off")
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_/-]*\Z|\d+(\.\d+){3}(/\d+)?\Z|\d+-\d+\Z")
AMBIGUOUS = {"true", "false", "yes", "no", "null"}


def _scalar(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value if PLAIN.match(value) and value not in AMBIGUOUS else json.dumps(value)


def to_yaml(value, indent=0):
    """Block-style YAML of dictionaries, lists and scalars; ends with a newline."""
    pad = " " * indent
    lines = []
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, (dict, list)) and inner:
                lines.append(f"{pad}{key}:\n{to_yaml(inner, indent + 2)}")
            else:
                lines.append(f"{pad}{key}: {'[]' if inner == [] else _scalar(inner)}\n")
    else:
        for inner in value:
            if isinstance(inner, dict):
                lines.append(pad + "- " + to_yaml(inner, indent + 2).lstrip())
            else:
                lines.append(f"{pad}- {_scalar(inner)}\n")
    return "".join(lines)


def base(workers=1, **sections):
    """A configuration of the test network without load balancers: workers, memory, both ports, routes, NAT pool."""
    families = FAMILIES.values()
    ports = []
    for link, name in zip(LINKS, ("wan", "lan")):
        addresses = [
            f.on(f.wan_network, f.wan) if name == "wan" else f.on(f.lan_network, f.lan) for f in families
        ]
        ports.append({"name": name, "device": f"net_af_packet{len(ports)},iface={link}", "addresses": addresses})
    document = {
        "workers": {"count": workers, "idle": "adaptive"},
        "memory": {"hugepages": HUGEPAGES, "flows_ipv4": 32768, "flows_ipv6": 32768, "packet_buffers": 8192},
        "ports": ports,
        "routes": [{"to": f.far_network, "via": f.client} for f in families],
        "gateway": [f.client for f in families],
        "local_addresses": [f.local() for f in families],
    }
    for name, section in sections.items():
        if isinstance(section, dict):
            document[name] = {**document.get(name, {}), **section}
        else:
            document[name] = section
    return document


def listener(port, protocol="tcp", group="web", check=None, **settings):
    """One listener; probes every second and decides on two results unless `check` says otherwise."""
    check = {"interval": 1, "timeout": 1, "healthy_threshold": 2, "unhealthy_threshold": 2, **(check or {})}
    return {"protocol": protocol, "port": port, "server_group": group, **settings, "health_check": check}


def load_balancer(name, address, *listeners):
    return {"name": name, "address": address, "listeners": list(listeners)}


def group(name, family, port, weights=(100, 50, 50), first=0):
    """A server group of the servers first, first + 1, ... with these weights, all on one port."""
    servers = [
        {"address": family.server(first + index), "port": port, "weight": weight} for index, weight in enumerate(weights)
    ]
    return {"name": name, "servers": servers}
