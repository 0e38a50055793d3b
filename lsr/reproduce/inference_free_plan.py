"""Geng et al. 2024: IDF-aware training of inference-free encoders, against binary queries of the same scale."""

from __future__ import annotations

from dataclasses import replace

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
from lsr.training.regularizers import FLOPS, IDF_FLOPS, Penalty, PenaltyKind
from lsr.training.training_config import DataConfig, EncoderConfig, RegularizerConfig, TeacherConfig

RATE = 5e-4
SCALE = 10.0
IDF_FROM = "wiki-120k"
# About 150,000 pairs: titles and their paragraphs, medical questions and answers, questions and sentences.
PAIRS = (
    DataConfig("wiki-120k", None, titles=True, group=1),
    DataConfig("medquad-liveqa", None, titles=True, group=1),
    replace(SENTENCES, group=1, negatives=""),
)


def inference_free(steps: int = STEPS) -> Plan:
    """Does IDF help queries that are only looked up, and where: in the score, or in the penalty?"""
    readings: list[tuple[str, str, PenaltyKind, float, tuple[float, ...]]] = [
        ("binary", "splade-doc", FLOPS, 1.0, (0.001, 0.01, 0.1)),
        ("idf-score", "opensearch-doc-v2-distill", FLOPS, IDF_TEMPERATURE, (0.001, 0.01, 0.1)),
        ("idf-penalty", "splade-doc", IDF_FLOPS, 1.0, (0.003, 0.03, 0.3)),
    ]
    variants = []
    for name, method, kind, temperature, strengths in readings:
        encoder = EncoderConfig(
            method=method, backbone=TINY, idf=IDF_FROM if method != "splade-doc" else "", max_length=TOKENS
        )
        teacher = TeacherConfig(dense=(BGE_SMALL,), sparse=(TINY,), scale=SCALE * temperature, whole_batch=True)
        for strength in strengths:
            penalties = RegularizerConfig(
                document=(Penalty(kind, strength),), idf=IDF_FROM if kind == IDF_FLOPS else ""
            )
            config = replace(
                training(encoder, steps, RATE, distillation(temperature), penalties, teacher=teacher), data=PAIRS
            )
            variants.append(Variant(f"{name}-{strength:g}", config, name))
    part = VariantGroup("pairs", tuple(variants), (SENTENCES_TEST, *UNSEEN), "binary", lexical=TINY)
    return Plan("inference-free", question(inference_free), (part,), curves=True)
