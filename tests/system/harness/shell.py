"""Running other programs: short commands whose output is wanted, and long-running processes that must never outlive us.

Every process is ended by its own pid. A process also dies with the test program (PR_SET_PDEATHSIG), so that even a
test run that was killed leaves nothing running.
"""

import ctypes
import os
import pathlib
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)

# A slow machine or a sanitizer build stretches every time limit by this factor; no test asserts how fast something is.
PATIENCE = float(os.environ.get("STEELYARD_TEST_PATIENCE", "1"))
# Long tests (number of connections, seconds under load) shrink by this factor in CI.
SCALE = float(os.environ.get("STEELYARD_TEST_SCALE", "1"))


def scaled(count, least):
    """`count` shrunk by STEELYARD_TEST_SCALE, but never below `least` (below it a test would prove nothing)."""
    return max(int(count * SCALE), least)


class CommandFailed(Exception):
    """A command ended with another code than 0; `stdout` and `stderr` are what it printed."""

    def __init__(self, argv, code, stdout, stderr):
        super().__init__(f"{' '.join(argv)} ended with {code}: {stderr.strip() or stdout.strip()}")
        self.code, self.stdout, self.stderr = code, stdout, stderr


def run(*argv, stdin=None, check=True, timeout=30):
    """Runs a command to its end and returns its standard output; raises CommandFailed unless it ended with 0."""
    argv = [str(argument) for argument in argv]
    done = subprocess.run(argv, input=stdin, text=True, capture_output=True, timeout=timeout * PATIENCE)
    if check and done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stdout, done.stderr)
    return done.stdout


def eventually(predicate, what, timeout=10, interval=0.05):
    """Waits until `predicate()` is true and returns its value; fails with `what` was waited for after `timeout` seconds."""
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout * PATIENCE:g} s in vain: {what}")
        time.sleep(interval)


def _die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A long-running program whose standard error (and output, unless piped) goes to a log file."""

    def __init__(self, argv, log, pipes=False, outlive=False):
        self.argv = [str(argument) for argument in argv]
        self.log_path = pathlib.Path(log)
        with self.log_path.open("wb") as log_file:
            self.popen = subprocess.Popen(
                self.argv,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else log_file,
                stderr=log_file,
                text=True,
                start_new_session=outlive,
                preexec_fn=None if outlive else _die_with_parent,
            )

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_tail(self, lines=40):
        return "\n".join(self.log().splitlines()[-lines:])

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, timeout=10):
        """Waits for the end; returns the exit code, raises AssertionError when it does not come."""
        try:
            return self.popen.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.argv[0]} (pid {self.pid}) still runs after {timeout * PATIENCE:g} s")

    def stop(self, timeout=10):
        """SIGTERM, then the exit code."""
        if self.running():
            self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self):
        """SIGKILL; to be used on clean-up and where a test wants a crash."""
        if self.running():
            self.popen.kill()
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()
