"""A reproduction that takes seconds: two ways to train a small random model on a small collection, in three steps."""

from __future__ import annotations

from pathlib import Path

from lsr.experiment.suites import Judged
from lsr.reproduce.finding import Plan, Variant, VariantGroup
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
    """Its collection and models lie in `folder`. Negatives have the scores of one teacher, of another, and of both."""
    data, model, other = (str(folder / name) for name in ("data", "model", "other"))
    if not Path(data).exists():
        write_data(Path(data))
        write_model(Path(model))
        write_model(Path(other), "distilbert")
    mined = {
        "one": TeacherConfig(sparse=(model,)),
        "other": TeacherConfig(sparse=(other,)),
        "both": TeacherConfig(sparse=(model, other)),
    }
    variants = tuple(
        Variant(
            name,
            TrainingConfig(
                EncoderConfig(method="splade-max", backbone=model, max_length=16),
                (DataConfig(data, "train", negatives=negatives, group=3),),
                OptimizerConfig(batch_size=6, steps=steps, rate=1e-2),
                (LossSpec(loss),),
                regularizer=RegularizerConfig(document=(Penalty(FLOPS, strength),)),
            ),
            curve=name,
        )
        for name, negatives, loss, strength in (("plain", "one", "in-batch", 1e-3), ("taught", "both", "kl", 1e-1))
    )
    tests = (Judged("asked", data, "dev"), Judged("seen", data, "train"))
    return Plan(
        "made-up", "Does it run?", (VariantGroup("words", variants, tests, "plain", model, mined, negatives=4),)
    )
