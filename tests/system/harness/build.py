"""Compiles the small C helpers (fast client, SYN flood) once a test run, with the machine's compiler."""

import atexit
import functools
import pathlib
import shutil
import tempfile

from . import shell
from .servers import HELPERS


@functools.cache
def _folder():
    folder = tempfile.mkdtemp(prefix="steelyard-helpers-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return pathlib.Path(folder)


@functools.cache
def helper(name):
    """The path of the compiled helpers/<name>.c."""
    program = _folder() / name
    shell.run("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, HELPERS / f"{name}.c", timeout=60)
    return program
