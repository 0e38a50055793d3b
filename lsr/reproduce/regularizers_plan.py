"""Regularizers of documents: all trainings continue from the bundled SPLADE for 100 steps, and vectors are compared."""

from __future__ import annotations

from collections.abc import Sequence

from lsr.experiment.suites import Judged
from lsr.reproduce.finding import Plan, Variant, VariantGroup
from lsr.reproduce.plan_parts import SENTENCES_TEST, TINY, question, training
from lsr.training.losses import LossSpec
from lsr.training.regularizers import DF_FLOPS, FLOPS, L1, Penalty, PenaltyKind
from lsr.training.training_config import DataConfig, EncoderConfig, RegularizerConfig

STEPS = 100
RATE = 1e-4
SENTENCES = DataConfig("squad-nqg", "dev", group=2)
PASSAGES_TEST = Judged("dl19", "msmarco-v1-pool", "dl19", relevant=2)


def regularizers(steps: int = STEPS) -> Plan:
    """Which regularizer gives the better ranking for its non-zeros, and for its time in the index?"""
    encoder = EncoderConfig(method="splade-max", backbone=TINY, max_length=64)
    kinds: list[tuple[str, PenaltyKind, int | None, Sequence[float]]] = [
        ("flops", FLOPS, None, (0.01, 0.1)),
        ("l1", L1, None, (0.001, 0.005)),
        ("df-flops", DF_FLOPS, None, (1.0, 30.0)),
        ("l0-mask", FLOPS, 32, (0.02, 0.2)),
    ]
    variants = [
        Variant(
            f"{name}-{strength:g}",
            training(
                encoder,
                steps,
                RATE,
                LossSpec("in-batch"),
                RegularizerConfig(query=(Penalty(FLOPS, 0.01),), document=(Penalty(kind, strength, above=above),)),
                SENTENCES,
            ),
            name,
        )
        for name, kind, above, strengths in kinds
        for strength in strengths
    ]
    part = VariantGroup("sentences", tuple(variants), (SENTENCES_TEST, PASSAGES_TEST), "flops", TINY)
    return Plan("regularizers", question(regularizers), (part,), curves=True)
