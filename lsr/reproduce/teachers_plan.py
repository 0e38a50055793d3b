"""Geng et al. 2024: a heterogeneous ensemble of teachers, its parts, and its raw sum, for inference-free students."""

from __future__ import annotations

from lsr.reproduce.finding import Plan, Variant, VariantGroup
from lsr.reproduce.plan_parts import (
    BGE_SMALL,
    IDF_TEMPERATURE,
    SENTENCES,
    SENTENCES_TEST,
    STEPS,
    TINY,
    TOKENS,
    UNSEEN,
    distillation,
    question,
    training,
)
from lsr.training.losses import LossSpec
from lsr.training.regularizers import FLOPS, Penalty
from lsr.training.training_config import EncoderConfig, RegularizerConfig, TeacherConfig

RATE = 5e-4
STRENGTHS = (0.001, 0.01, 0.1)
# Teachers' scores are between 0 and 1 in each batch. A factor of 10 makes a useful target distribution: with 30, one
# document has nearly all of the probability. The temperature is a factor, too; see `distillation`.
SCALE = 10.0 * IDF_TEMPERATURE
_DENSE, _SPARSE = (BGE_SMALL,), (TINY,)
TEACHERS = {
    "none": None,  # judgments, over the same documents
    "dense": TeacherConfig(dense=_DENSE, scale=SCALE, whole_batch=True),
    "sparse": TeacherConfig(sparse=_SPARSE, scale=SCALE, whole_batch=True),
    "ensemble": TeacherConfig(dense=_DENSE, sparse=_SPARSE, scale=SCALE, whole_batch=True),
    # The sum of two is twice their mean.
    "sum": TeacherConfig(dense=_DENSE, sparse=_SPARSE, normalize="none", scale=2.0 * IDF_TEMPERATURE, whole_batch=True),
}


def teachers(steps: int = STEPS) -> Plan:
    """At equal length, does an ensemble of a dense and a sparse teacher teach more than either, their sum, or none?"""
    encoder = EncoderConfig(
        method="opensearch-doc-v2-distill", backbone=TINY, idf=SENTENCES.collection, max_length=TOKENS
    )
    variants = [
        Variant(
            f"{name}-{strength:g}",
            training(
                encoder,
                steps,
                RATE,
                distillation(IDF_TEMPERATURE) if teacher else LossSpec("multiple-negatives", 1.0, IDF_TEMPERATURE),
                RegularizerConfig(document=(Penalty(FLOPS, strength),)),
                teacher=teacher,
                batch_size=16,
            ),
            name,
        )
        for name, teacher in TEACHERS.items()
        for strength in STRENGTHS
    ]
    part = VariantGroup(
        "sentences",
        tuple(variants),
        (SENTENCES_TEST, *UNSEEN),
        "ensemble",
        lexical=TINY,
        miners=("bm25", TINY),
        negatives=2,
    )
    return Plan("teachers", question(teachers), (part,), curves=True)
