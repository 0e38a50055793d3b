"""The strength of a regularizer at each step.

Steps are counted from 1, and full strength is reached at step `steps`, as in naver's code, which follows Paria et al.
(ICLR 2020): with t = min(step, steps) the strength is lambda * (t / steps)^2. sentence-transformers counts from 0, so
that its first step is not regularized.
"""

from __future__ import annotations

from lsr.checks import check_choice
from lsr.errors import ParameterError

CONSTANT, LINEAR, QUADRATIC = "constant", "linear", "quadratic"
SCHEDULES = (CONSTANT, LINEAR, QUADRATIC)
_POWERS = {CONSTANT: 0, LINEAR: 1, QUADRATIC: 2}


def share_at(schedule: str, step: int, steps: int) -> float:
    """The share of a regularizer's full strength at a step, above 0 and at most 1.

    step: counted from 1. steps: the number of steps of the rise. Raises ParameterError.
    """
    check_choice("schedule", schedule, SCHEDULES)
    if step < 1 or steps < 1:
        raise ParameterError(f"step is {step} and steps is {steps}; both must be at least 1")
    return (min(step, steps) / steps) ** _POWERS[schedule]
