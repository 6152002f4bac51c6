#!/usr/bin/python3
"""Checks "who may know whom" (ARCHITECTURE.md): fails on every #include, and every CMake dependency, that follows an
arrow which is not on the list below.

    tests/check_architecture.py [ROOT]

A room is a folder of the map. Includes are written from the root ("dataplane/service/ids.h"); one that is not names no
room and is refused as well. Tests and benchmarks may know every room. tests/test_check_architecture.py tests this check.
"""

import pathlib
import re
import sys

DATAPLANE = {"nic", "packet", "neighbor", "service", "schedule", "l4", "tcp", "tls", "http", "worker"}

# room -> the rooms that it may know, beside itself
MAY_KNOW = {
    "packet": set(),
    "service": set(),
    "schedule": {"service"},
    "nic": {"packet"},
    "neighbor": {"packet", "nic"},
    "l4": {"packet", "service", "schedule", "neighbor"},
    "tcp": {"packet"},
    "tls": {"tcp", "service"},
    "http": {"tcp", "tls", "service", "schedule"},
    "worker": DATAPLANE - {"worker"},
    "healthcheck": set(),
    "certs": set(),
    "control": {"service", "certs", "healthcheck", "worker"},
}

# The data plane knows nothing of files, YAML, sockets of Asio, or the command line.
FOREIGN_TO_DATAPLANE = re.compile(r"boost/(asio|beast|json|url)|yaml-cpp/|CLI/|spdlog/")

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
LIBRARY = re.compile(r"steelyard_library\s*\(\s*(\w+)([^)]*)\)")
TARGET = re.compile(r"\bsteelyard_(\w+)")
NOT_ROOMS = {"options", "dpdk"}
SUFFIXES = {".h", ".cc", ".c"}


def room_of(path):
    """The room that a path from the root lies in, or None."""
    parts = pathlib.PurePosixPath(path).parts
    if len(parts) > 2 and parts[0] == "dataplane" and parts[1] in DATAPLANE:
        return parts[1]
    if len(parts) > 1 and parts[0] in MAY_KNOW and parts[0] not in DATAPLANE:
        return parts[0]
    return None


def files(root, wanted):
    """Files of the rooms' folders, as paths from the root."""
    for folder in ("dataplane", "healthcheck", "certs", "control"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and wanted(path):
                yield path.relative_to(root)


def refuse(room, known):
    allowed = ", ".join(sorted(MAY_KNOW[room])) or "nobody"
    return f"{room} must not know {known} (it may know: {allowed})"


def check_includes(root):
    for path in files(root, lambda p: p.suffix in SUFFIXES):
        room = room_of(path)
        if room is None:
            yield f"{path}: lies in no room of the map"
            continue
        for number, line in enumerate((root / path).read_text(errors="replace").splitlines(), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            own, system = found.groups()
            problem = check_own(room, own) if own else check_system(room, system)
            if problem:
                yield f"{path}:{number}: {problem}"


def check_own(room, included):
    known = room_of(included)
    if known is None or ".." in pathlib.PurePosixPath(included).parts:
        return f'"{included}" names no room: write includes from the root, system headers in <>'
    if known != room and known not in MAY_KNOW[room]:
        return refuse(room, known)
    return None


def check_system(room, included):
    if room in DATAPLANE and FOREIGN_TO_DATAPLANE.match(included):
        return f"<{included}> has no place in the data plane"
    if room_of(included) is not None:
        return f'<{included}> is one of our own headers: include it with ""'
    return None


def without_comments(text):
    return re.sub(r"#[^\n]*", "", text)


def check_dependencies(root):
    """The DEPENDS of every steelyard_library; a room may have several libraries."""
    libraries = {}
    for path in files(root, lambda p: p.name == "CMakeLists.txt"):
        for name, arguments in LIBRARY.findall(without_comments((root / path).read_text())):
            libraries[name] = (path, arguments)
    for name, (path, arguments) in sorted(libraries.items()):
        room = room_of(path)
        for target in TARGET.findall(arguments.partition("DEPENDS")[2]):
            if target in NOT_ROOMS:
                continue
            known = room_of(libraries[target][0]) if target in libraries else target
            if known not in MAY_KNOW:
                yield f"{path}: steelyard_{name} depends on steelyard_{target}, which is no room"
            elif room is not None and known != room and known not in MAY_KNOW[room]:
                yield f"{path}: {refuse(room, known)}"


def problems(root):
    root = pathlib.Path(root)
    return [*check_includes(root), *check_dependencies(root)]


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    found = problems(root)
    for problem in found:
        print(problem, file=sys.stderr)
    if not found:
        print("architecture: every include follows an arrow of the map")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
