"""A reproduction that takes seconds: two ways to train a small random model on a small collection, in three steps."""

from __future__ import annotations

from pathlib import Path

from lsr.experiment.suites import Judged
from lsr.reproduce.finding import MINED, ZERO_SHOT, Contrast, Plan, Variant, VariantGroup
from lsr.reproduce.reference_rows import BM25
from lsr.training.losses import LossSpec
from lsr.training.regularizers import FLOPS, Penalty
from lsr.training.training_config import (
    DataConfig,
    EncoderConfig,
    OptimizerConfig,
    RegularizerConfig,
    TeacherConfig,
    TrainingConfig,
)
from tests.encoders.models import write_model
from tests.training.trained import write_data

STEPS = 3


def write_plan(folder: Path, steps: int = STEPS) -> Plan:
    """Its collection and models lie in `folder`. One variant learns from judgments, the other from two teachers."""
    data, model, other = (str(folder / name) for name in ("data", "model", "other"))
    if not Path(data).exists():
        write_data(Path(data))
        write_model(Path(model))
        write_model(Path(other), "distilbert")
    teacher = TeacherConfig(sparse=(model, other), store=True)
    variants = tuple(
        Variant(
            name,
            TrainingConfig(
                EncoderConfig(method="splade-max", backbone=model, max_length=16),
                (DataConfig(data, "train", negatives=MINED, group=2),),
                OptimizerConfig(batch_size=6, steps=steps, rate=1e-2),
                (LossSpec(loss),),
                regularizer=RegularizerConfig(document=(Penalty(FLOPS, strength),)),
                teacher=teacher if loss == "kl" else None,
            ),
            curve=name,
        )
        for name, loss, strength in (("plain", "in-batch", 1e-3), ("taught", "kl", 1e-1))
    )
    part = VariantGroup(
        "words",
        variants,
        (Judged("asked", data, "dev", group=ZERO_SHOT), Judged("seen", data, "train")),
        "plain",
        lexical=model,
        components=8,
        miners=("bm25", model),
        negatives=2,
        queries=30,
        contrasts=(Contrast("teachers", ("plain",), ("taught",)), Contrast("training", (BM25,), ("plain", "taught"))),
    )
    return Plan("made-up", "Does it run?", (part,))
