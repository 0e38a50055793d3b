"""Methods of the unified framework (Nguyen et al. 2023), with the configurations of its code.

Weights of a repeated token are summed in queries, and their maximum is taken in documents. Positions of special tokens
are not pooled. Names of the form qmlp-dmlm say how queries and documents are encoded: binary, mlp or mlm.
"""

from __future__ import annotations

from dataclasses import replace

from lsr.encoders.method_preset import MethodPreset
from lsr.encoders.published_training import PublishedPenalty, PublishedRegularizer, Supervision, Training
from lsr.encoders.spec import Activation, HeadSpec, Pooling


def _mlp(activation: Activation, pooling: Pooling) -> HeadSpec:
    return HeadSpec("mlp", activation, pooling, special_positions=False)


_UNIFIED = "Nguyen et al. 2023, A Unified Framework for Learned Sparse Retrieval"
_MLM = HeadSpec(special_positions=False)
_IMPACT = _mlp("relu", "max")
_BM25_GROUPS = Supervision("cross-entropy", "7 of BM25, in-batch")
_ENSEMBLE = Supervision("margin-MSE to a cross-encoder", "of several retrievers")
_SHORT = Training(batch=8, rate=5e-6, epochs=5, warm_up="0.1")
_DISTILLED = Training(batch=128, rate=5e-5, steps=150_000, warm_up="6,000 steps")
_TRIPCLICK = Training(batch=16, rate=5e-6, epochs=1, warm_up="0.1")
_TRIPLETS = Supervision("cross-entropy", "of TripClick, in-batch")
_ACTIVATION = "its activation is the default of the framework's code; its configuration states none"
_POSITIONS = "naver's code counts positions of [CLS] and [SEP] (splade++-ed): weights trained one way fit only that way"

_UNICOIL = MethodPreset(
    name="unicoil",
    query=_mlp("relu", "sum"),
    document=_IMPACT,
    regularizer=PublishedRegularizer(),
    supervision=_BM25_GROUPS,
    training=_SHORT,
    paper="Lin and Ma 2021, uniCOIL",
    shared=True,
    max_length=250,
)
_DEEPIMPACT = replace(
    _UNICOIL,
    name="deepimpact",
    query="binary",
    supervision=Supervision("cross-entropy", "one of BM25"),
    training=Training(batch=32, rate=3e-6, steps=100_000, warm_up="0.1"),
    paper="Mallia et al. 2021, DeepImpact",
    shared=False,
    expanded="docT5query",
)
_DISTILSPLADE = replace(
    _UNICOIL,
    name="distilsplade-max",
    query=_MLM,
    document=_MLM,
    regularizer=PublishedRegularizer.flops(0.1, 0.08),
    supervision=_ENSEMBLE,
    training=_DISTILLED,
    paper="Formal et al. 2021, SPLADE v2",
    note=_POSITIONS,
)
_SEPARATE = replace(_DISTILSPLADE, name="distilsplade-sep", paper=_UNIFIED, shared=False, note="")

_EPIC = replace(
    _UNICOIL,
    name="epic",
    query=_mlp("log1p-softplus", "sum"),
    document=HeadSpec(activation="log1p-softplus", special_positions=False, importance=True, quality=True),
    supervision=Supervision("negative likelihood (1 - p)", "one of BM25"),
    training=Training(batch=16, rate=2e-5, steps=2_432),
    paper="MacAvaney et al. 2020, EPIC",
    shared=False,
    note="softplus leaves no weight of a document at zero: prune documents",
)
_NO_QUERY_EXPANSION = replace(
    _SEPARATE,
    name="qmlp-dmlm",
    query=_mlp("log1p", "sum"),
    regularizer=PublishedRegularizer.of_documents(0.08, 50_000),
    note="no query expansion",
)
_NO_DOCUMENT_EXPANSION = replace(
    _SEPARATE,
    name="qmlm-dmlp",
    document=_mlp("log1p", "max"),
    regularizer=PublishedRegularizer(query=PublishedPenalty("FLOPS", 0.1), steps=50_000),
    note="no document expansion",
    doubt=_ACTIVATION,
)
# Table 5: methods without one part, and combinations of queries x documents that no method has.
_ABLATIONS = (
    replace(
        _UNICOIL,
        name="unicoil-dbin",
        document="binary",
        supervision=_ENSEMBLE,
        training=Training(batch=128, rate=5e-5, epochs=22, warm_up="6,000 steps"),
        paper=_UNIFIED,
        shared=False,
        expanded="TILDE",
        note="unicoil-tilde before its documents are weighted",
    ),
    replace(
        _NO_DOCUMENT_EXPANSION,
        name="qmlm-dbin",
        document="binary",
        regularizer=PublishedRegularizer(),
        note="qmlm-dmlp before its documents are weighted",
        doubt="",
    ),
    replace(
        _NO_QUERY_EXPANSION,
        name="qmlp-dbin",
        document="binary",
        regularizer=PublishedRegularizer(),
        supervision=_TRIPLETS,
        training=_TRIPCLICK,
        note="weights of query tokens alone",
        doubt=_ACTIVATION,
    ),
    replace(
        _NO_DOCUMENT_EXPANSION,
        name="qbin-dmlp",
        query="binary",
        regularizer=PublishedRegularizer(),
        supervision=_TRIPLETS,
        training=_TRIPCLICK,
        note="weights of document tokens alone",
    ),
    replace(
        _EPIC,
        name="epic-qbin",
        query="binary",
        supervision=_ENSEMBLE,
        training=_DISTILLED,
        paper=_UNIFIED,
        note="epic before its queries are weighted; prune documents",
    ),
    replace(
        _NO_QUERY_EXPANSION,
        name="sparta-qmlp",
        regularizer=PublishedRegularizer(),
        note="sparta after its queries are weighted; not regularized: prune documents",
    ),
)

FRAMEWORK_METHODS = (
    replace(
        _UNICOIL,
        name="deepct",
        query=_mlp("identity", "sum"),
        document=_mlp("identity", "max"),
        supervision=Supervision("squared error of term recall", "none"),
        training=replace(_SHORT, batch=32),
        paper="Dai and Callan 2019, DeepCT",
        note="as published its weights are term frequencies of BM25, and queries plain: --frequency-scale 100",
    ),
    _UNICOIL,
    replace(_UNICOIL, name="unicoil-dt5q", expanded="docT5query"),
    replace(_UNICOIL, name="unicoil-tilde", expanded="TILDE"),
    _DEEPIMPACT,
    replace(
        _DEEPIMPACT,
        name="tilde",
        document=HeadSpec(pooling="first"),
        supervision=_ENSEMBLE,
        training=_DISTILLED,
        paper="Zhuang and Zuccon 2021, TILDE",
        expanded="",
        note="trained by distillation in the framework; the paper maximizes the likelihood of queries",
    ),
    replace(
        _DEEPIMPACT,
        name="tildev2",
        supervision=_BM25_GROUPS,
        training=_SHORT,
        paper="Zhuang and Zuccon 2021, TILDEv2",
        expanded="TILDE",
        doubt="the framework's configuration for distillation loads documents that are not expanded",
    ),
    _EPIC,
    replace(
        _DEEPIMPACT,
        name="sparta",
        document=_MLM,
        supervision=Supervision("cross-entropy", "3 of BM25"),
        training=replace(_SHORT, rate=3e-5),
        paper="Zhao et al. 2021, SPARTA",
        expanded="",
        note="not regularized: prune documents",
    ),
    replace(
        _DISTILSPLADE,
        name="splade-max",
        regularizer=PublishedRegularizer.flops(0.01, 0.05),
        supervision=_BM25_GROUPS,
        training=_SHORT,
    ),
    _DISTILSPLADE,
    _SEPARATE,
    _NO_QUERY_EXPANSION,
    _NO_DOCUMENT_EXPANSION,
    *_ABLATIONS,
)
