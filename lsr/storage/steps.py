"""Named steps of writing, at which tests end the process to see what it leaves behind."""

from __future__ import annotations

import os
import signal

KILL_AT = "LSR_KILL_AT"  # NAME, NAME:3 for its third time, or 17 for the seventeenth step of whatever name
_passed: list[str] = []


def reached(step: str) -> None:
    """Do nothing, unless the environment asks for the process to be killed at this step."""
    wanted = os.environ.get(KILL_AT)
    if wanted is None:
        return
    _passed.append(step)
    name, _, time = wanted.partition(":")
    if wanted == str(len(_passed)) or (name == step and _passed.count(step) == int(time or 1)):
        os.kill(os.getpid(), signal.SIGKILL)
