"""Common parts of plans: collections, backbones, teachers, and the settings of a training."""

from __future__ import annotations

from collections.abc import Callable

from lsr.experiment.suites import Judged
from lsr.reproduce.finding import MINED, ZERO_SHOT
from lsr.training.losses import LossSpec
from lsr.training.training_config import (
    DataConfig,
    EncoderConfig,
    OptimizerConfig,
    RegularizerConfig,
    TeacherConfig,
    TrainingConfig,
)

TINY, MINILM = "tiny", "minilm"
CROSS_ENCODER = "cross-encoder/ms-marco-MiniLM-L-12-v2"
BGE_SMALL = "BAAI/bge-small-en-v1.5"

STEPS = 1000
QUERY_TOKENS, TOKENS = 32, 64
# Queries with IDF weights have scores that are larger than those of binary queries, by about this ratio of the sum of
# their weights to their number of tokens. Dividing by it makes the scores comparable.
IDF_TEMPERATURE = 7.0

# Questions about articles of SQuAD's development set, each with the sentence that has its answer. The test split
# has other articles.
SENTENCES = DataConfig("squad-nqg", "dev", group=2, negatives=MINED)
SENTENCES_TEST = Judged("squad-nqg", "squad-nqg", "test")

# No variant is trained on these collections, and no setting was chosen by their results.
UNSEEN = tuple(
    Judged(name, path, "test", group=ZERO_SHOT)
    for name, path in (
        ("adi", "adi"),
        ("checkthat", "checkthat2020-claims"),
        ("cosqa", "cosqa"),
        ("cranfield", "cranfield"),
        ("cystic-fibrosis", "cystic-fibrosis"),
        ("lisa", "lisa"),
        ("medline", "medline"),
        ("nfcorpus", "beir/nfcorpus"),
        ("npl", "npl-vaswani"),
        ("scifact", "beir/scifact"),
        ("stackfaq", "stackfaq"),
        ("time", "time"),
    )
)


def training(
    encoder: EncoderConfig,
    steps: int,
    rate: float,
    loss: LossSpec,
    penalties: RegularizerConfig | None = None,
    data: DataConfig = SENTENCES,
    teacher: TeacherConfig | None = None,
    batch_size: int = 32,
) -> TrainingConfig:
    """The configuration of a training in bfloat16. rate: the learning rate of networks."""
    return TrainingConfig(
        encoder,
        (data,),
        OptimizerConfig(batch_size=batch_size, steps=steps, rate=rate, precision="bfloat16"),
        (loss,),
        regularizer=penalties or RegularizerConfig(),
        teacher=teacher,
    )


def distillation(temperature: float) -> LossSpec:
    """KL that divides only the student's scores by the temperature.

    The scale of the teachers must be multiplied by the temperature.
    """
    return LossSpec("kl", weight=temperature**-2, temperature=temperature)


def question(plan: Callable[..., object]) -> str:
    """The question of a plan: its docstring."""
    return (plan.__doc__ or "").strip()
