"""Python in another process: for tests that kill it, limit it, or look at what it has imported."""

from __future__ import annotations

import os
import pty
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lsr.errors import LsrError

REPOSITORY = Path(__file__).resolve().parent.parent

# The disk is full after so many bytes in one file: writing fails with EFBIG ...
FULL_DISK = """
import resource, sys
sys.dont_write_bytecode = True  # which would be cut off, too, and meet other processes
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
"""

# ... or the process dies in mid-write, with the file that long.
KILLED_IN_WRITE = (
    FULL_DISK
    + """
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
"""
)


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """FULL_DISK in this process, for a while."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def free_port() -> int:
    """A port of this machine that no process listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def wait_for_server(process: subprocess.Popen[Any], port: int) -> None:
    """Wait until the process accepts connections; fails if it ends, or takes longer than a minute."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `code`, which finds the arguments in sys.argv[1:], and wait for it."""
    return subprocess.run(
        _command(code, arguments), cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )


def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start `code` and go on; the caller waits for it."""
    return subprocess.Popen(
        _command(code, arguments), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def lines_on_terminal(code: str, *arguments: object) -> list[str]:
    """What `code` shows on a terminal, without its control sequences; the process must end well."""
    terminal, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen(_command(code, arguments), cwd=REPOSITORY, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # what reading gives once the terminal's other side is closed
        while chunk := os.read(terminal, 4096):
            shown += chunk
    os.close(terminal)
    assert process.wait(120) == 0
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()))


def outcome_of(action: Callable[[], object], seconds: int = 20) -> str:
    """How `action` ends in a forked process: "returned", the name of the error it raises, or that of a signal."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(seconds)
        try:
            action()
            ending = "returned"
        except LsrError as error:
            ending = type(error).__name__
        except BaseException as error:
            ending = f"{type(error).__name__}: {error}"
        os.write(writer, ending.encode()[:4000])
        os._exit(0)
    os.close(writer)
    status = os.waitpid(child, 0)[1]
    with open(reader, "rb") as told:
        return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else told.read().decode()


def _command(code: str, arguments: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]
