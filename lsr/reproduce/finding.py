"""What a reproduction is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from lsr.experiment.suites import Judged
from lsr.training.training_config import TeacherConfig, TrainingConfig


@dataclass(frozen=True)
class Variant:
    """One way to train.

    config: its seed is replaced by each of the seeds, and its data's negatives, a name of VariantGroup.mined, by their
    file.
    curve: variants of one curve differ in a strength alone; "" for one of its own.
    """

    name: str
    config: TrainingConfig
    curve: str = ""


@dataclass(frozen=True)
class VariantGroup:
    """Variants that are compared with each other: of one training collection, and one budget.

    tests: where they are compared. baseline: the variant, or the curve, that others are tested against.
    start: an encoder that is measured beside them, untrained. mined: name -> the teachers that score the negatives of
    that name, as many of a query as `negatives` says, which `start` has found.
    """

    name: str
    variants: tuple[Variant, ...]
    tests: tuple[Judged, ...]
    baseline: str
    start: str
    mined: dict[str, TeacherConfig] = field(default_factory=dict)
    negatives: int = 10


@dataclass(frozen=True)
class Plan:
    """A reproduction. curves: whether variants make curves, which are compared at equal length of documents."""

    name: str
    question: str
    parts: tuple[VariantGroup, ...]
    curves: bool = False
