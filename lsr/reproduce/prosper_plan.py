"""PROSPER (arXiv 2510.18527): literal residual and lexical focusing window, on a backbone that begins dense."""

from __future__ import annotations

from dataclasses import replace

from lsr.encoders.spec import HeadSpec
from lsr.experiment.suites import Judged
from lsr.reproduce.finding import Contrast, Plan, Variant, VariantGroup
from lsr.reproduce.plan_parts import MINILM, STEPS, question, training
from lsr.training.losses import LossSpec
from lsr.training.regularizers import FLOPS, Penalty
from lsr.training.training_config import DataConfig, EncoderConfig, RegularizerConfig, WindowConfig

RATE = 2e-4
TOKENS = 64
BATCH = 16
COMPONENTS = 5000  # the mean text has so many at the start, so that a focusing window has an effect
QUERY_WINDOW, DOCUMENT_WINDOW = 64, 128
NARROWING = WindowConfig((256, 128, QUERY_WINDOW), (512, 256, DOCUMENT_WINDOW))
PENALTIES = RegularizerConfig(query=(Penalty(FLOPS, 5e-3),), document=(Penalty(FLOPS, 1e-3),))

# Pairs of tweet and claim, of web query and function, and of headline and claim. Each kind is a third of the batches,
# because nine of ten pairs are headlines.
PAIRS = (
    DataConfig("checkthat2020-claims", "train", group=1, weight=1),
    DataConfig("cosqa", "dev", group=1, weight=1),
    DataConfig("checkthat2020-claims", None, titles=True, group=1, weight=1),
)
TESTS = (Judged("checkthat", "checkthat2020-claims", "test"), Judged("cosqa", "cosqa", "test"))


def prosper(steps: int = STEPS) -> Plan:
    """What do PROSPER's window, fixed or narrowing, and its literal residual give where vectors begin dense?"""
    variants = []
    for name, residual, fixed, narrowing in (
        ("head", False, False, False),
        ("fixed-window", False, True, False),
        ("narrowing-window", False, False, True),
        ("residual", True, False, False),
        ("both", True, True, False),
    ):
        query = HeadSpec(residual=residual, window=QUERY_WINDOW if fixed else None, unit_length=True)
        encoder = EncoderConfig(
            method="prosper-max",
            backbone=MINILM,
            max_length=TOKENS,
            query_head=query,
            document_head=replace(query, window=DOCUMENT_WINDOW if fixed else None, unit_length=False),
        )
        config = replace(training(encoder, steps, RATE, LossSpec("in-batch"), PENALTIES, batch_size=BATCH), data=PAIRS)
        variants.append(Variant(name, replace(config, window=NARROWING if narrowing else None)))
    contrasts = (
        Contrast("fixed window", ("head",), ("fixed-window",)),
        Contrast("narrowing window", ("head",), ("narrowing-window",)),
        Contrast("residual", ("head",), ("residual",)),
        Contrast("residual beside a fixed window", ("fixed-window",), ("both",)),
        Contrast("fixed rather than narrowing", ("narrowing-window",), ("fixed-window",)),
    )
    part = VariantGroup(
        "claims-and-code", tuple(variants), TESTS, "head", lexical=MINILM, components=COMPONENTS, contrasts=contrasts
    )
    return Plan("prosper", question(prosper), (part,), measures=("Success@1", "nDCG@10"))
