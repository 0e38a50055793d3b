"""Running commands inside the test's process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Lsr = Callable[..., Outcome]


def rejected(outcome: Outcome) -> str:
    """The one line that a command that met bad input prints; nothing else is printed, and the status is 2."""
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("lsr: ")
    assert outcome.err.endswith("\n")
    assert outcome.err.count("\n") == 1, outcome.err
    assert "Traceback" not in outcome.err
    return outcome.err.removeprefix("lsr: ").rstrip("\n")
