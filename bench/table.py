#!/usr/bin/env python3
"""Prints the results of the micro-benchmarks as one table: ns, TSC cycles, ratio to the floor, goal, and whether it is met.

usage: table.py RESULT.json...     (Google Benchmark's JSON; a name may carry "LABEL=" before it)
Exit code 1 when a goal is missed or a case failed.
"""
import json
import re
import sys

# (case, what is compared, limit): the acceptance figures. A ratio is to the MAC swap measured in the same run, `of nat`
# to mode `nat` in the same run.
GOALS = [
    (r"^established/nat/ipv4/1000$", "ratio", 10.0),
    (r"^established/nat/ipv4/1000000$", "ratio", 6.0),
    (r"^established/nat/ipv4/10000000$", "ratio", 6.0),
    (r"^established/nat/ipv4/10000000$", "ns", 150.0),
    (r"^established/(dr|tunnel)/", "of nat", 0.8),
    (r"^new_flow/.*/wrr$", "ns", 600.0),
    (r"^pick/wrr/100$", "ns", 60.0),
    (r"^pick/wrr/10000$", "ns", 200.0),
    (r"^build_table/1000$", "ns", 2e6),
    (r"^tcp_ack/", "cycles", 250.0),
    (r"^tcp_data/", "cycles", 400.0),
    (r"^tcp_(accept|connect)/", "ns", 1e9 / 300_000),  # connections a second and core
    (r"^tcp_idle/", "bytes", 512.0),
    (r"^http_path/keep_alive/1000$", "cycles", 3e9 / 400_000),  # requests a second and core, of 3 GHz
    (r"^http_path/connection/", "cycles", 3e9 / 120_000),
    (r"^http_idle/", "bytes", 1536.0),
    (r"^rules_(warm|hostile)/", "ns", 1000.0),
]
UNITS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}


def rows_of(argument):
    label, _, path = argument.rpartition("=")
    with open(path, encoding="utf-8") as file:
        result = json.load(file)
    for case in result["benchmarks"]:
        if case.get("run_type") == "aggregate":
            continue
        name = re.sub(r"/(iterations:\d+|manual_time|real_time)", "", case["name"])
        nanoseconds = case.get("ns", case["real_time"] * UNITS[case["time_unit"]])
        yield label, name, nanoseconds, case


def judge(name, values, small_pages):
    """The goals of a case in words, and whether all of them are met."""
    words, met = [], True
    for pattern, what, limit in GOALS:
        if re.match(pattern, name) and values[what] is not None and not (small_pages and what == "ns"):
            words.append(f"{what} <= {limit:g}")
            met = met and values[what] <= limit
    return ", ".join(words), met


def number(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    missed = 0
    nat = {}  # ns by page size and what follows the mode in a case's name
    print(f"{'case':<40} {'pages':<6} {'ns':>10} {'best ns':>9} {'cycles':>9} {'swap ns':>8} {'ratio':>7} "
          f"{'B/flow':>7} {'alloc':>6}  goal")
    for argument in sys.argv[1:]:
        for label, name, nanoseconds, case in rows_of(argument):
            if case.get("error_occurred"):
                missed += 1
                print(f"{name:<40} {label:<6} failed: {case['error_message']}")
                continue
            kind, mode, rest = (name.split("/", 2) + ["", ""])[:3]
            if mode == "nat":
                nat[label, kind, rest] = nanoseconds
            beside = nat.get((label, kind, rest))
            values = {"ns": nanoseconds, "ratio": case.get("ratio"), "of nat": beside and nanoseconds / beside,
                      "cycles": case.get("cycles"), "bytes": case.get("flow_bytes")}
            goal, met = judge(name, values, label == "4 KiB")
            missed += not met
            print(f"{name:<40} {label or '-':<6} {nanoseconds:>10.1f} {number(case.get('best_ns'), 1):>9} "
                  f"{number(case.get('cycles'), 0):>9} {number(case.get('swap_ns'), 1):>8} "
                  f"{number(case.get('ratio'), 1):>7} {number(case.get('flow_bytes'), 0):>7} "
                  f"{number(case.get('allocated'), 0):>6}  {goal}{': ' if goal else ''}"
                  f"{'' if not goal else 'ok' if met else 'MISSED'}")
    print(f"{missed} goals missed" if missed else "all goals met")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
