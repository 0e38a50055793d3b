"""The parts of a reproduction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lsr.experiment.measure import Figures
from lsr.experiment.suites import Judged
from lsr.training.training_config import TrainingConfig

ZERO_SHOT = "zero-shot"  # Judged.group of collections without trained variants
MINED = "mined"  # DataConfig.negatives: the mined negatives of the group


@dataclass(frozen=True)
class Variant:
    """One way to train an encoder.

    config: the configuration of the training. Each seed replaces its seed. The group's mined negatives replace MINED.
        Stored scores of the group's positives and negatives replace a teacher whose scores are to be stored.
    curve: the name of the curve. Variants of one curve differ only in the strength of a penalty. "" for a curve with
        this variant only.
    """

    name: str
    config: TrainingConfig
    curve: str = ""


class Contrast(NamedTuple):
    """A tested difference: the mean over the variants `second`, minus that over `first`.

    first, second: names of variants, or of reference rows (lsr.reproduce.reference_rows.REFERENCES).
    """

    name: str
    first: tuple[str, ...]
    second: tuple[str, ...]


@dataclass(frozen=True)
class VariantGroup:
    """Variants that are compared with each other. All of them train on the same collection for the same steps.

    tests: the collections on which they are compared.
    baseline: the variant, or the curve, against which others are tested.
    start: an untrained encoder that is also measured. "" for the baseline before its training, with pruned vectors.
    lexical: a backbone whose output layer is replaced by one that returns the tokens of a text
        (lsr.reproduce.lexical_start); variants name it as their backbone.
    components: the number of components that the mean text has at the lexical start.
    miners: encoders whose indexes are searched for negatives.
    negatives: number per query from each index.
    queries: number of random queries for mining; None for all.
    contrasts: the tested differences, over the ZERO_SHOT tests together and on each other test.
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

    curves: whether variants form curves, which are compared at equal length of documents. measures: the reported
        measures; the first one is tested.
    """

    name: str
    question: str
    parts: tuple[VariantGroup, ...]
    curves: bool = False
    measures: tuple[str, ...] = ("nDCG@10", "R@100")


class Measured(NamedTuple):
    """The result of an encoder on a test. variant: one of REFERENCES for a reference row, with seed 0."""

    part: VariantGroup
    judged: Judged
    variant: str
    seed: int
    figures: Figures
