"""The reproductions: their findings, trainings and collections.

All variants of a part have the same steps, batches and data; comments describe other differences. Nothing is tuned on
reported data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from lsr.errors import ParameterError
from lsr.reproduce.finding import Plan
from lsr.reproduce.framework_plan import framework
from lsr.reproduce.inference_free_plan import inference_free
from lsr.reproduce.prosper_plan import prosper
from lsr.reproduce.reference_rows import REFERENCES
from lsr.reproduce.regularizers_plan import regularizers
from lsr.reproduce.teachers_plan import teachers

PLANS: dict[str, Callable[..., Plan]] = {
    "inference-free": inference_free,
    "teachers": teachers,
    "prosper": prosper,
    "framework": framework,
    "regularizers": regularizers,
}


def find_plan(name: str, steps: int | None = None) -> Plan:
    """The plan with a name. steps: the number of steps of each training; None for the plan's default.

    Raises ParameterError for an unknown name.
    """
    if name not in PLANS:
        raise ParameterError(f"unknown reproduction {name!r}; choose one of {', '.join(PLANS)}")
    return PLANS[name]() if steps is None else PLANS[name](steps)


def with_variants(plan: Plan, patterns: Sequence[str]) -> Plan:
    """The plan with only the variants whose names match a pattern of fnmatch, and their contrasts.

    Without patterns, all variants are kept. Raises ParameterError for a pattern that matches no variant, and for a part
    without its baseline.
    """
    if not patterns:
        return plan
    names = [variant.name for part in plan.parts for variant in part.variants]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ParameterError(f"no variant of {plan.name} is named {pattern!r}; variants: {', '.join(names)}")
    parts = []
    for part in plan.parts:
        kept = tuple(each for each in part.variants if any(fnmatchcase(each.name, pattern) for pattern in patterns))
        if not any(part.baseline in (each.name, each.curve) for each in kept):
            raise ParameterError(f"the baseline {part.baseline} is not among the named variants; name it, too")
        known = {*REFERENCES, *(each.name for each in kept)}
        contrasts = tuple(each for each in part.contrasts if {*each.first, *each.second} <= known)
        parts.append(replace(part, variants=kept, contrasts=contrasts))
    return replace(plan, parts=tuple(parts))
