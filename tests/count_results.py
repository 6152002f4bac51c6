#!/usr/bin/python3
"""Prints "PASSED FAILED" of a ctest run: the single tests of the GoogleTest programs, and one for any other program.

    tests/count_results.py CTEST_JUNIT_FILE GTEST_JSON_FOLDER

A program that ctest calls failed counts as at least one failure, also when it crashed before it could write its results.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def gtest_counts(path):
    """(run, failed) of one GoogleTest program, or None when it has left no results."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    document = json.loads(path.read_text())
    suites = document.get("testsuites", [])
    tests = [test for suite in suites for test in suite.get("testsuite", []) if test.get("status") == "RUN"]
    return len(tests), sum(bool(test.get("failures")) for test in tests)


def main():
    passed, failed = 0, 0
    for case in ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        good = case.get("status") == "run"
        run, bad = gtest_counts(pathlib.Path(sys.argv[2]) / f"{case.get('name')}.json") or (1, 0 if good else 1)
        bad = max(bad, 0 if good else 1)
        passed += max(run - bad, 0)
        failed += bad
    print(passed, failed)


if __name__ == "__main__":
    main()
