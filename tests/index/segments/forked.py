"""Functions that run in a forked child, which may be killed, and what becomes of it.

The parent should have used no threads of OpenMP's, and have compiled what the children need.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lsr.errors import LsrError


@dataclass
class Ended:
    """reports: what the child reported. error: the LsrError that ended it; failure: what else did. signal: its killer.

    seconds: how long it ran.
    """

    reports: list[Any] = field(default_factory=list)
    error: str | None = None
    failure: str | None = None
    signal: int | None = None
    seconds: float = 0.0


class Forked:
    """A child that runs `body`, which is given this object, to report to the parent."""

    def __init__(self, body: Callable[[Forked], None]) -> None:
        self._started = time.monotonic()
        self._reading, self._writing = socket.socketpair()  # not a pipe: faults are injected into what writes files
        self._stopped, self._stop = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid:
            self._writing.close()
            os.close(self._stopped)
            return
        self._reading.close()
        os.close(self._stop)
        try:
            body(self)
        except LsrError as error:
            self.report({"error": f"{type(error).__name__}: {error}"})
        except BaseException:
            self.report({"failure": traceback.format_exc()})
        finally:
            os._exit(0)

    def report(self, what: Any) -> None:
        """In the child: tell the parent, JSON."""
        self._writing.sendall(json.dumps(what).encode() + b"\n")

    def told_to_stop(self, seconds: float = 0) -> bool:
        """In the child: whether the parent has called `stop`, after so long at the latest."""
        return bool(select.select([self._stopped], [], [], seconds)[0])

    def stop(self) -> None:
        """Let `told_to_stop` be true in the child."""
        if self._stop >= 0:
            os.close(self._stop)
            self._stop = -1

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def lines(self) -> Iterator[Any]:
        """What the child reports, as it does."""
        with self._reading, self._reading.makefile("rb") as stream:
            for line in stream:
                with suppress(ValueError):  # a line that the kill cut off
                    yield json.loads(line)

    def wait(self) -> Ended:
        """Until it has ended, and what it reported."""
        ended = Ended()
        for what in self.lines():
            if isinstance(what, dict) and what.keys() <= {"error", "failure"}:
                ended.error, ended.failure = what.get("error"), what.get("failure")
            else:
                ended.reports.append(what)
        _, status = os.waitpid(self.pid, 0)
        ended.seconds = time.monotonic() - self._started
        ended.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        self.stop()
        return ended


def run_to_end(body: Callable[[Forked], None]) -> Ended:
    """Run it in a child that must end by itself and well."""
    ended = Forked(body).wait()
    assert (ended.error, ended.failure, ended.signal) == (None, None, None), ended.failure or ended
    return ended
