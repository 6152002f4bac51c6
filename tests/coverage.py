#!/usr/bin/python3
"""Line coverage of a room by its unit tests (with gcov, which comes with gcc).

    tests/coverage.py [ROOM] [--test PROGRAM] [--least PERCENT]

Builds the tests with the preset "coverage", runs PROGRAM (default: tcp_test) and prints for each file of dataplane/ROOM
(default: tcp) how many of its lines were executed, which were not, and the sum. Fails below --least (default: 90). A line
of a header counts as executed when it is in any of the translation units that include it.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "coverage"


def run(*command, **options):
    return subprocess.run(command, check=True, cwd=ROOT, **options)


def build_and_test(program):
    run("cmake", "--preset", "coverage", stdout=subprocess.DEVNULL)
    run("cmake", "--build", "--preset", "coverage", "--target", program)
    for counts in BUILD.rglob("*.gcda"):
        counts.unlink()
    path = next(path for path in BUILD.rglob(program) if path.is_file())
    run(path, "--gtest_brief=1")


def count_lines(folder):
    """File of the folder -> line -> how often it was executed, over all translation units."""
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    with tempfile.TemporaryDirectory() as scratch:
        for counts in sorted(BUILD.rglob("*.gcda")):
            output = subprocess.run(["gcov", "--json-format", "--stdout", str(counts)], check=True, cwd=scratch,
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
            for document in output.splitlines():
                for file in json.loads(document)["files"]:
                    if folder in file["file"]:
                        name = file["file"][file["file"].index(folder):]
                        for line in file["lines"]:
                            lines[name][line["line_number"]] += line["count"]
    return lines


def ranges(numbers):
    """[1, 2, 3, 7] -> "1-3 7"."""
    parts = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def main():
    parser = argparse.ArgumentParser(description="line coverage of a room by its unit tests")
    parser.add_argument("room", nargs="?", default="tcp")
    parser.add_argument("--test", default="tcp_test", help="the test program")
    parser.add_argument("--least", type=float, default=90, help="percent of the lines; below it is a failure")
    arguments = parser.parse_args()
    build_and_test(arguments.test)
    lines = count_lines(f"dataplane/{arguments.room}/")
    executed = total = 0
    for name in sorted(lines):
        missed = sorted(line for line, count in lines[name].items() if count == 0)
        executed += len(lines[name]) - len(missed)
        total += len(lines[name])
        print(f"{100 * (1 - len(missed) / len(lines[name])):6.1f} %  {name}  {ranges(missed)}")
    percent = 100 * executed / max(total, 1)
    print(f"{percent:6.1f} %  {executed} of {total} lines of dataplane/{arguments.room} are executed")
    return 0 if percent >= arguments.least else 1


if __name__ == "__main__":
    sys.exit(main())
