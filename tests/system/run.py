#!/usr/bin/python3
"""Runs the system tests (root; Debian's python3, standard library only) and prints `N passed, N failed` at the end.

    tests/system/run.py [--filter REGEX] [--list] [--stop]

Environment: STEELYARD (the binary), STEELYARD_TEST_SCALE (length of long tests), STEELYARD_TEST_PATIENCE (time limits),
STEELYARD_TEST_HUGEPAGES (off | auto | required).
"""

import argparse
import os
import pathlib
import re
import signal
import sys
import time
import traceback
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

from harness.shell import PATIENCE  # noqa: E402  (the path above comes first)

# A test that hangs must not hang the whole run; the longest one takes about two minutes.
LIMIT_SECONDS = 420


class TestTimeout(BaseException):
    """Not an Exception: no test may swallow it."""


class Report(unittest.TestResult):
    """One line a test, with the traceback right below a failed one."""

    def __init__(self):
        super().__init__()
        self.passed, self.failed, self.failed_names = 0, 0, []

    def startTest(self, test):
        super().startTest(test)
        self._began, self._bad = time.monotonic(), False
        signal.alarm(int(LIMIT_SECONDS * PATIENCE))

    def stopTest(self, test):
        signal.alarm(0)
        super().stopTest(test)
        verdict = "FAIL" if self._bad else " ok "
        print(f"[{verdict}] {name_of(test)} ({time.monotonic() - self._began:.1f} s)", flush=True)
        self.passed += not self._bad
        if self._bad:
            self._count_failure(test)

    def _count_failure(self, test):
        self.failed += 1
        self.failed_names.append(name_of(test))

    def _problem(self, test, error):
        print(f"\n{name_of(test)}:", flush=True)
        traceback.print_exception(*error, file=sys.stdout)
        if isinstance(test, unittest.TestCase):
            self._bad = True
        else:
            self._count_failure(test)  # setUpClass or tearDownClass: no test of its own is reported

    def addError(self, test, error):
        super().addError(test, error)
        self._problem(test, error)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._problem(test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self._problem(test, error)


def name_of(test):
    return ".".join(test.id().split(".")[-2:]) if isinstance(test, unittest.TestCase) else str(test)


def flatten(suite):
    for entry in suite:
        if isinstance(entry, unittest.TestSuite):
            yield from flatten(entry)
        else:
            yield entry


def on_alarm(_number, _frame):
    raise TestTimeout("the test took too long")


def main():
    parser = argparse.ArgumentParser(description="Steelyard's system tests")
    parser.add_argument("--filter", default="", help="only tests whose name matches this regular expression")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--stop", action="store_true", help="end at the first failure")
    options = parser.parse_args()
    tests = [t for t in flatten(unittest.defaultTestLoader.discover(str(FOLDER))) if re.search(options.filter, name_of(t))]
    if options.list:
        print("\n".join(name_of(test) for test in tests))
        return 0
    if os.geteuid() != 0:
        print("the system tests make network namespaces: run them as root", file=sys.stderr)
        return 2
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report()
    report.failfast = options.stop
    unittest.TestSuite(tests).run(report)
    for name in report.failed_names:
        print(f"failed: {name}")
    print(f"{report.passed} passed, {report.failed} failed", flush=True)
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main())
