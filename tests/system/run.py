#!/usr/bin/python3
"""Runs the system tests (root; Debian's python3, standard library only) and prints `N passed, N failed` at the end.

    tests/system/run.py [--filter REGEX] [--list] [--stop] [--jobs N]

With N jobs, so many tests run beside each other, each in networks of its own; classes with `alone = True` follow when the
others are done, and those with `together = True`, which share more than a network, are one job's. Environment:
STEELYARD_TEST_JOBS, STEELYARD (the binary), STEELYARD_TEST_SCALE (length of long tests), STEELYARD_TEST_PATIENCE (time
limits), STEELYARD_TEST_HUGEPAGES (off | auto | required).
"""

import argparse
import atexit
import io
import itertools
import json
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

# A test that hangs must not hang the whole run; the longest one takes about two minutes, or as long as it is told.
LIMIT_SECONDS = 420 + float(os.environ.get("STEELYARD_SOAK_SECONDS", "60"))
# Tests of one class that a job takes at once: they share a network, which takes a while to make.
CHUNK = 6


class Told(KeyboardInterrupt):
    """SIGTERM: ends the run, since unittest takes a SystemExit for a failed test."""


def on_sigterm(_number, _frame):
    raise Told


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
        if isinstance(sys.stdout, Whole):
            sys.stdout.emit()

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


def is_alone(test):
    return getattr(test, "alone", False)


def flatten(suite):
    for entry in suite:
        if isinstance(entry, unittest.TestSuite):
            yield from flatten(entry)
        else:
            yield entry


def on_alarm(_number, _frame):
    raise TestTimeout("the test took too long")


def run(tests, stop):
    report = Report()
    report.failfast = stop
    unittest.TestSuite(tests).run(report)
    return report


class Whole:
    """Standard output of one job: what is written appears at a flush and in one piece, so that jobs do not mix lines."""

    def __init__(self, descriptor):
        self._descriptor, self._text = descriptor, io.StringIO()

    def write(self, text):
        return self._text.write(text)

    def flush(self):
        pass

    def emit(self):
        os.write(self._descriptor, self._text.getvalue().encode())
        self._text = io.StringIO()


def chunks_of(tests):
    for _, alike in itertools.groupby(tests, type):
        alike = list(alike)
        size = len(alike) if getattr(alike[0], "together", False) else CHUNK
        yield from (alike[first : first + size] for first in range(0, len(alike), size))


def job(chunks, todo, done):
    """Takes numbers of chunks from a pipe until it is empty, and writes what came of each into another."""
    output = sys.stdout = Whole(sys.stdout.fileno())
    while number := os.read(todo, 2):
        report = run(chunks[int.from_bytes(number, "big")], False)
        output.emit()
        os.write(done, (json.dumps([report.passed, report.failed, report.failed_names]) + "\n").encode())


def run_beside(tests, jobs):
    """(passed, failed, names of those that failed)"""
    chunks = list(chunks_of(tests))
    todo, numbers = os.pipe()
    results, done = os.pipe()
    os.write(numbers, b"".join(number.to_bytes(2, "big") for number in range(len(chunks))))
    os.close(numbers)
    children = []
    for _ in range(jobs):
        child = os.fork()
        if child == 0:
            os.close(results)
            try:
                job(chunks, todo, done)
            except Told:
                pass
            except BaseException:  # no test's own, which are reported
                traceback.print_exc(file=sys.stdout)
            finally:
                sys.stdout.emit()
                atexit._run_exitfuncs()
                os._exit(0)
        children.append(child)
    os.close(done)
    try:
        with open(results, encoding="utf-8") as lines:
            reports = [json.loads(line) for line in lines]
    except Told:
        for child in children:
            os.kill(child, signal.SIGTERM)
        raise
    finally:
        for child in children:
            os.waitpid(child, 0)
    passed, failed = sum(report[0] for report in reports), sum(report[1] for report in reports)
    names = [name for report in reports for name in report[2]]
    if len(reports) != len(chunks):
        return passed, failed + 1, [*names, "a job ended before its tests"]
    return passed, failed, names


def main():
    parser = argparse.ArgumentParser(description="Steelyard's system tests")
    parser.add_argument("--filter", default="", help="only tests whose name matches this regular expression")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--stop", action="store_true", help="end at the first failure; one job")
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("STEELYARD_TEST_JOBS", "1")))
    options = parser.parse_args()
    tests = [t for t in flatten(unittest.defaultTestLoader.discover(str(FOLDER))) if re.search(options.filter, name_of(t))]
    if options.list:
        print("\n".join(name_of(test) for test in tests))
        return 0
    if os.geteuid() != 0:
        print("the system tests make network namespaces: run them as root", file=sys.stderr)
        return 2
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, on_sigterm)
    passed, failed, names = 0, 0, []
    if options.jobs > 1 and not options.stop:
        passed, failed, names = run_beside([test for test in tests if not is_alone(test)], options.jobs)
        tests = [test for test in tests if is_alone(test)]
    report = run(tests, options.stop)
    passed, failed, names = passed + report.passed, failed + report.failed, [*names, *report.failed_names]
    for name in names:
        print(f"failed: {name}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Told:
        sys.exit(143)
