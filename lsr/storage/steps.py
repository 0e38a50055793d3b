"""Named steps of writing, at which tests kill the process."""

from __future__ import annotations

import os
import signal

KILL_AT = "LSR_KILL_AT"  # NAME, NAME:3 for its third time, or 17 for the seventeenth step of any name
_passed: list[str] = []


def reached(step: str) -> None:
    """Kill the process if the environment names this step; else do nothing."""
    wanted = os.environ.get(KILL_AT)
    if wanted is None:
        return
    _passed.append(step)
    name, _, time = wanted.partition(":")
    if wanted == str(len(_passed)) or (name == step and _passed.count(step) == int(time or 1)):
        os.kill(os.getpid(), signal.SIGKILL)
