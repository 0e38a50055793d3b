"""Nguyen et al. (ECIR 2023): queries and documents, each binary, weighted or expanded."""

from __future__ import annotations

from dataclasses import replace

from lsr.encoders.spec import HeadSpec
from lsr.reproduce.finding import Contrast, Plan, Variant, VariantGroup
from lsr.reproduce.plan_parts import (
    CROSS_ENCODER,
    QUERY_TOKENS,
    SENTENCES_TEST,
    STEPS,
    TINY,
    TOKENS,
    UNSEEN,
    question,
    training,
)
from lsr.training.losses import LossSpec
from lsr.training.regularizers import FLOPS, Penalty
from lsr.training.training_config import EncoderConfig, RegularizerConfig, TeacherConfig

RATE = 5e-4
BATCH = 8
QUERY_PENALTY = DOCUMENT_PENALTY = Penalty(FLOPS, 1.0)  # only for sides that expand; the strength gives useful lengths
SCORED_QUERIES = 1500
# A binary side learns a single number, the factor of its weights. With the usual learning rate, this factor never
# reaches the scale of the teacher's margins.
FACTOR_RATE = 0.02

_MLP_QUERY = HeadSpec("mlp", "log1p", "sum", special_positions=False)
_MLP_DOCUMENT = replace(_MLP_QUERY, pooling="max")
# A cell is a combination of a kind of queries (q) and a kind of documents (d): binary weights (bin), weights of the
# text's own tokens (mlp), or expansion (mlm). Cell -> its method preset, and query and document heads that replace
# those of the preset. All cells have separate networks for queries and documents.
CELLS: dict[str, tuple[str, HeadSpec | None, HeadSpec | None]] = {
    "qbin-dmlp": ("qbin-dmlp", None, None),
    "qbin-dmlm": ("sparta", None, None),
    "qmlp-dbin": ("qmlp-dbin", None, None),
    "qmlp-dmlp": ("distilsplade-sep", _MLP_QUERY, _MLP_DOCUMENT),
    "qmlp-dmlm": ("qmlp-dmlm", None, None),
    "qmlm-dbin": ("qmlm-dbin", None, None),
    "qmlm-dmlp": ("qmlm-dmlp", None, None),
    "qmlm-dmlm": ("distilsplade-sep", None, None),
}


# The bag of words, a reference row, stands for the cell qbin-dbin, in which there is nothing to learn but factors.
CONTRASTS = (
    Contrast("document weights", ("bag-of-words", "qmlp-dbin", "qmlm-dbin"), ("qbin-dmlp", "qmlp-dmlp", "qmlm-dmlp")),
    Contrast("query weights", ("bag-of-words", "qbin-dmlp", "qbin-dmlm"), ("qmlp-dbin", "qmlp-dmlp", "qmlp-dmlm")),
    Contrast("query weights, documents weighted", ("qbin-dmlp", "qbin-dmlm"), ("qmlp-dmlp", "qmlp-dmlm")),
    Contrast("document expansion", ("qbin-dmlp", "qmlp-dmlp", "qmlm-dmlp"), ("qbin-dmlm", "qmlp-dmlm", "qmlm-dmlm")),
    Contrast("document expansion, queries not expanded", ("qmlp-dmlp",), ("qmlp-dmlm",)),
    Contrast("document expansion, queries expanded", ("qmlm-dmlp",), ("qmlm-dmlm",)),
    Contrast("query expansion, documents not expanded", ("qmlp-dmlp",), ("qmlm-dmlp",)),
    Contrast("query expansion, documents expanded", ("qmlp-dmlm",), ("qmlm-dmlm",)),
    # Half of (gain of both expansions - sum of the gains of each alone). Negative if the expansions cancel each other.
    Contrast("interaction of the expansions", ("qmlp-dmlm", "qmlm-dmlp"), ("qmlp-dmlp", "qmlm-dmlm")),
)


def framework(steps: int = STEPS) -> Plan:
    """Does weighting documents matter most, weighting queries little, and do two expansions cancel each other?"""
    teacher = TeacherConfig(cross=(CROSS_ENCODER,), normalize="none", scale=1.0, store=True)
    variants = []
    for name, (method, query_head, document_head) in CELLS.items():
        encoder = EncoderConfig(
            method=method,
            backbone=TINY,
            max_length=TOKENS,
            query_max_length=QUERY_TOKENS,
            query_head=query_head,
            document_head=document_head,
        )
        penalties = RegularizerConfig(
            query=(QUERY_PENALTY,) if name.startswith("qmlm") else (),
            document=(DOCUMENT_PENALTY,) if name.endswith("dmlm") else (),
        )
        config = training(encoder, steps, RATE, LossSpec("margin-mse"), penalties, teacher=teacher, batch_size=BATCH)
        if "bin" in name:
            config = replace(config, optimizer=replace(config.optimizer, table_rate=FACTOR_RATE))
        variants.append(Variant(name, config))
    part = VariantGroup(
        "cells",
        tuple(variants),
        (SENTENCES_TEST, *UNSEEN),
        "qmlm-dmlm",
        lexical=TINY,
        miners=("bm25", TINY),
        negatives=1,
        queries=SCORED_QUERIES,
        contrasts=CONTRASTS,
    )
    return Plan("framework", question(framework), (part,))
