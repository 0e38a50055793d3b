"""What a reproduction is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lsr.experiment.measure import Figures
from lsr.experiment.suites import Judged
from lsr.training.training_config import TrainingConfig

ZERO_SHOT = "zero-shot"  # Judged.group of collections that no variant was trained on
MINED = "mined"  # DataConfig.negatives: those that the group mines


@dataclass(frozen=True)
class Variant:
    """One way to train.

    config: its seed is replaced by each of the seeds; its data's negatives, where they are MINED, by the group's; its
        teacher, where it is to be stored, by scores of the group's positives and negatives.
    curve: variants of one curve differ in a strength alone; "" for one of its own.
    """

    name: str
    config: TrainingConfig
    curve: str = ""


class Contrast(NamedTuple):
    """A difference that is tested: the mean over the variants `second`, less that over `first`.

    BM25, the bag of words and the start may be among them (lsr.reproduce.reference_rows.REFERENCES).
    """

    name: str
    first: tuple[str, ...]
    second: tuple[str, ...]


@dataclass(frozen=True)
class VariantGroup:
    """Variants that are compared with each other: of one training collection, and one budget.

    tests: where they are compared. baseline: the variant, or the curve, that others are tested against.
    start: an encoder that is measured beside them, untrained; "" for what the baseline begins as, pruned.
    lexical: a backbone whose output layer is replaced by one that gives back the tokens of a text
        (lsr.reproduce.lexical_start); variants name it as their backbone. components: of the mean text, at the start.
    miners: encoders in whose indexes negatives are found; negatives: how many of a query in each.
    queries: how many queries are mined for, drawn at random; None for all.
    contrasts: what is tested, over the ZERO_SHOT tests together and on each other one.
    """

    name: str
    variants: tuple[Variant, ...]
    tests: tuple[Judged, ...]
    baseline: str
    start: str = ""
    lexical: str = ""
    components: int = 150
    miners: tuple[str, ...] = ()
    negatives: int = 10
    queries: int | None = None
    contrasts: tuple[Contrast, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A reproduction.

    curves: whether variants make curves, which are compared at equal length of documents. measures: what is reported,
    the first of which is tested.
    """

    name: str
    question: str
    parts: tuple[VariantGroup, ...]
    curves: bool = False
    measures: tuple[str, ...] = ("nDCG@10", "R@100")


class Measured(NamedTuple):
    """One encoder on one test. variant: one of REFERENCES for what stands beside the variants, whose seed is 0."""

    part: VariantGroup
    judged: Judged
    variant: str
    seed: int
    figures: Figures
