"""The method presets: heads, regularizer and supervision of each published method. Nothing here loads torch."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches

from lsr.checks import check_text
from lsr.encoders.framework_methods import FRAMEWORK_METHODS
from lsr.encoders.method_preset import MethodPreset
from lsr.encoders.published_training import PublishedPenalty, PublishedRegularizer, Supervision, Training
from lsr.encoders.spec import HeadSpec
from lsr.errors import EncoderError


def find_preset(name: str) -> MethodPreset:
    """The preset of a method. Raises EncoderError, with similar names, for an unknown method."""
    check_text("the method", name, EncoderError)
    if name not in PRESETS:
        near = get_close_matches(name.lower(), PRESETS, n=3) or sorted(PRESETS)[:3]
        raise EncoderError(f"{name!r} is not a method; perhaps {', '.join(near)}? `lsr encoders` lists all methods")
    return PRESETS[name]


# SPLADE: naver's code counts the positions of special tokens and keeps their components.
_SPLADE = HeadSpec()
_V2 = "Formal et al. 2021, SPLADE v2"
_EFFICIENT = "Lassance and Clinchant 2022, An Efficiency Study for SPLADE Models"
_COCONDENSER = "Luyu/co-condenser-marco"
_SWEPT = "strengths from 1e-4 to 1e-1 were tried; which are behind the figures is not known here"
_TWICE = "naver's trainer adds the documents' term twice, which in effect doubles its strength"
_V3_STRENGTHS = "the regularizer's kind is that of naver's code; its strengths are not known here"

_V1 = MethodPreset(
    name="splade",
    query=HeadSpec(pooling="sum"),
    document=HeadSpec(pooling="sum"),
    regularizer=PublishedRegularizer.flops(None, None),
    supervision=Supervision("cross-entropy", "one of BM25, in-batch"),
    training=Training(batch=124, rate=2e-5, steps=150_000, warm_up="6,000 steps"),
    paper="Formal et al. 2021, SPLADE",
    shared=True,
    doubt=_SWEPT,
)
_PLUS_ED = replace(
    _V1,
    name="splade++-ed",
    query=_SPLADE,
    document=_SPLADE,
    regularizer=PublishedRegularizer.flops(0.5, 0.4),
    supervision=Supervision("margin-MSE to a cross-encoder", "of several retrievers"),
    training=Training(batch=128, rate=2e-5, steps=150_000, warm_up="6,000 steps"),
    paper="Formal et al. 2022, From Distillation to Hard Negative Sampling",
    backbone=_COCONDENSER,
    doubt="",
)
_EFFICIENT_V = replace(
    _PLUS_ED,
    name="efficient-splade-v",
    regularizer=PublishedRegularizer.l1_flops(5e-4, 5e-4),
    supervision=Supervision("KL to a cross-encoder", "of several retrievers"),
    training=Training(batch=128, rate=2e-5, steps=250_000, warm_up="6,000 steps"),
    paper=_EFFICIENT,
    shared=False,
    backbone="distilbert-base-uncased",
    note="its large model; medium has L1 5e-3, small FLOPS 5e-3 too. Its backbones were first trained further, with "
    "masked words and FLOPS",
    doubt=_TWICE,
)
_V3 = replace(
    _PLUS_ED,
    name="splade-v3",
    regularizer=PublishedRegularizer.l1_flops(None, None, None),
    supervision=Supervision("KL + 0.05 margin-MSE to five cross-encoders", "8 of SPLADE++"),
    training=Training(),
    paper="Lassance et al. 2024, SPLADE-v3",
    backbone="naver/splade-cocondenser-selfdistil",
    doubt=_V3_STRENGTHS,
)

_SPLADES = (
    _V1,
    replace(
        _V1,
        name="splade-doc",
        query="bag-of-words",
        document=_SPLADE,
        regularizer=PublishedRegularizer.of_documents(None),
        training=replace(_V1.training, steps=50_000),
        paper=_V2,
        shared=False,
    ),
    _PLUS_ED,
    replace(_PLUS_ED, name="splade++-sd", supervision=Supervision("margin-MSE to a cross-encoder", "of SPLADE itself")),
    _EFFICIENT_V,
    replace(_EFFICIENT_V, name="efficient-splade-vi-bt", query_backbone="prajjwal1/bert-tiny"),
    replace(
        _EFFICIENT_V,
        name="efficient-splade-vi-doc",
        query="bag-of-words",
        regularizer=PublishedRegularizer.of_documents(5e-4, 10_000),
        training=replace(_EFFICIENT_V.training, steps=50_000),
        note="its medium model; small has FLOPS 5e-3",
        doubt="",
    ),
    _V3,
    replace(_V3, name="splade-v3-distilbert", backbone="distilbert-base-uncased"),
    replace(_V3, name="splade-v3-lexical", query=HeadSpec(literal_only=True), note="no query expansion"),
    replace(
        _V3,
        name="splade-v3-doc",
        query="bag-of-words",
        regularizer=PublishedRegularizer.of_documents(None),
        shared=False,
        backbone=_COCONDENSER,
    ),
)

# OpenSearch's models, and Li-LSR: query weights come from a table.
_NO_SPECIAL = HeadSpec(special_components=False)
_TWO_LOGS = HeadSpec(activation="log1p-log1p")
_GENG = "Geng et al. 2024, Towards Competitive Search Relevance for Inference-Free Learned Sparse Retrievers"
_SHEN = "Shen et al. 2025, Exploring l0 Sparsification for Inference-free Sparse Retrievers"
_UNPUBLISHED = "not published"
_NOT_PUBLISHED = "how it was trained is not published"
_ENSEMBLE_KD = Supervision("KL to dense and sparse teachers", "10 hard ones")
_SCALED = "; each teacher's scores are scaled to [0, 1] for a query, and their mean multiplied by 30"
_IDF_AWARE = "IDF is part of the score that is trained, the penalty is the plain FLOPS (IDF-aware penalty)"

_DOC_V2 = MethodPreset(
    name="opensearch-doc-v2-distill",
    query="idf",
    document=_SPLADE,
    regularizer=PublishedRegularizer.of_documents(0.02),
    supervision=_ENSEMBLE_KD,
    training=Training(batch=40, rate=2e-5, steps=50_000, warm_up="2,000 steps"),
    paper=_GENG,
    max_length=512,
    note=_IDF_AWARE + _SCALED + "; trained before that on other sets of pairs",
    doubt="strengths, sizes and the paper's equations 5 and 7 are known from second-hand notes only",
)
_DOC_V3 = replace(
    _DOC_V2,
    name="opensearch-doc-v3-distill",
    document=_TWO_LOGS,
    regularizer=PublishedRegularizer(document=PublishedPenalty("FLOPS", 0.08), steps=40_000, above=150),
    supervision=Supervision("KL to stored scores", "one hard one"),
    training=Training(batch=160, rate=2e-5, steps=100_000, warm_up="6,000 steps"),
    paper=_SHEN,
    max_length=256,
    note=_IDF_AWARE,
    doubt="settings are those of the authors' sample for co-condenser; their sample for DistilBERT has FLOPS 0.04 over "
    "10,000 steps above 200 components, and those of the published model are not known",
)
_BI_ENCODER = MethodPreset(
    name="opensearch-v1",
    query=_NO_SPECIAL,
    document=_NO_SPECIAL,
    regularizer=PublishedRegularizer(PublishedPenalty(_UNPUBLISHED), PublishedPenalty(_UNPUBLISHED)),
    supervision=Supervision(_UNPUBLISHED, _UNPUBLISHED),
    training=Training(),
    paper="OpenSearch, opensearch-neural-sparse-encoding-v1",
    shared=True,
    backbone="bert-base-uncased",
    doubt=_NOT_PUBLISHED + "; the backbone is inferred from its size",
)

_INFERENCE_FREE = (
    _BI_ENCODER,
    replace(
        _BI_ENCODER,
        name="opensearch-v2-distill",
        paper="OpenSearch, opensearch-neural-sparse-encoding-v2-distill",
        backbone="distilbert-base-uncased",
    ),
    replace(
        _DOC_V2,
        name="opensearch-doc-v1",
        regularizer=PublishedRegularizer(document=PublishedPenalty(_UNPUBLISHED)),
        supervision=Supervision(_UNPUBLISHED, _UNPUBLISHED),
        training=Training(),
        paper="OpenSearch, opensearch-neural-sparse-encoding-doc-v1",
        backbone="bert-base-uncased",
        note="",
        doubt=_NOT_PUBLISHED + "; the backbone is inferred from its size",
    ),
    _DOC_V2,
    replace(
        _DOC_V2,
        name="opensearch-doc-v2-mini",
        backbone="nreimers/MiniLM-L6-H384-uncased",
        doubt=_DOC_V2.doubt + "; the backbone is inferred from its size",
    ),
    _DOC_V3,
    replace(
        _DOC_V3,
        name="opensearch-doc-v3-gte",
        backbone="Alibaba-NLP/gte-en-mlm-base",
        note=_IDF_AWARE + "; the backbone is a GTE, which transformers has from 5.23 on",
    ),
    replace(
        _DOC_V2,
        name="lexical-doc",
        query="collection-idf",
        document=HeadSpec(special_components=False, lexical=0.3, window=99),
        regularizer=PublishedRegularizer.of_documents(1e-3),
        paper="none; lsr's own, after Geng et al. 2024 and BM25",
        supervision=Supervision("KL to dense and sparse teachers", "one of BM25"),
        training=Training(batch=32, rate=1e-4, steps=250),
        note="words with the same stem have one component; documents have the network's weights plus saturated counts "
        "of their stems; queries have the IDF of the indexed collection",
        doubt="",
    ),
    MethodPreset(
        name="li-lsr",
        query="learned",
        document=_SPLADE,
        regularizer=PublishedRegularizer(document=PublishedPenalty("L1")),
        supervision=Supervision("KL to a teacher", "one a query"),
        training=Training(steps=150_000),
        paper="Nardini et al. 2025, Effective Inference-Free Retrieval for Learned Sparse Representations",
        backbone=_COCONDENSER,
        note="a token's weight is log(1 + relu(w · E + b)) of its word embedding E while it is trained",
        doubt="loss, regularizer, which may act on queries too, and steps are known from second-hand notes, and their "
        "figures contradict the abstract's",
    ),
)

# A literal residual and a lexical focusing window on a language model's last position.
_PROSPER_QUERY = HeadSpec(pooling="last", residual=True, window=256, unit_length=True)
_PROSPER_DOCUMENT = HeadSpec(pooling="last", residual=True, window=512)
_PROSPER = MethodPreset(
    name="prosper",
    query=_PROSPER_QUERY,
    document=_PROSPER_DOCUMENT,
    regularizer=PublishedRegularizer(PublishedPenalty("FLOPS", 5e-3), PublishedPenalty("FLOPS", 1e-3), epochs=1.5),
    supervision=Supervision("cross-entropy", "in-batch"),
    training=Training(batch=512, rate=3e-5, epochs=5, warm_up="0.3 epochs"),
    paper="PROSPER 2025, arXiv 2510.18527",
    shared=True,
    max_length=64,
    backbone="Qwen/Qwen2.5-3B",
    backbone_kind="decoder",
    doubt="whether FLOPS acts on the weights before the residual, as the prose has it, or after, as the equations do; "
    "no code is public",
)
_PROSPERS = (
    _PROSPER,
    replace(_PROSPER, name="prosper-echo", echo=True, max_length=128),
    replace(_PROSPER, name="prosper-bidirectional", bidirectional=True),
    replace(
        _PROSPER,
        name="prosper-max",
        query=replace(_PROSPER_QUERY, pooling="max"),
        document=replace(_PROSPER_DOCUMENT, pooling="max"),
    ),
    replace(
        _PROSPER,
        name="prosper-bert",
        backbone="google-bert/bert-base-chinese",
        backbone_kind="encoder",
        doubt=_PROSPER.doubt + "; which position an encoder's last is, is not stated: here it is [SEP]'s",
    ),
)

PRESETS = {preset.name: preset for preset in (*FRAMEWORK_METHODS, *_SPLADES, *_INFERENCE_FREE, *_PROSPERS)}
