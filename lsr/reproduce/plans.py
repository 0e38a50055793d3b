"""The reproductions: which finding, by which trainings, on what.

What is compared in a part has the same steps, batches and data; what else differs, a comment says. Nothing is tuned on
what is reported.
"""

from __future__ import annotations

from collections.abc import Callable

from lsr.errors import ParameterError
from lsr.reproduce.finding import Plan
from lsr.reproduce.framework_plan import framework
from lsr.reproduce.inference_free_plan import inference_free
from lsr.reproduce.prosper_plan import prosper
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
    """steps: of each training; by default the plan's. Raises ParameterError for a name that is none."""
    if name not in PLANS:
        raise ParameterError(f"reproduction {name!r} is unknown; there are {', '.join(PLANS)}")
    return PLANS[name]() if steps is None else PLANS[name](steps)
