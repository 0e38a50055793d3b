"""The named methods of the field: which heads, regulariser and supervision each is. Nothing here loads torch."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from lsr.encoders.spec import HeadSpec
from lsr.errors import EncoderError

# Query sides that run no network. binary: every occurrence of a token weighs the same, learned, scale. bag-of-words:
# every token of the query weighs 1, once. idf: its IDF. learned: a table that is trained (Li-LSR).
LOOKUPS = ("binary", "bag-of-words", "idf", "learned")


@dataclass(frozen=True, slots=True)
class Preset:
    """A method.

    query: a HeadSpec, or one of LOOKUPS. document: a HeadSpec. shared: whether one network does both.
    expanded: by what documents are expanded beforehand, or "". backbone: what it was published on.
    regulariser, supervision: as trained in `paper`; lambdas as (query, document). hyper: other settings.
    doubt: what is not known for certain. echo, bidirectional: as in TransformerSpec and BackboneSpec.
    """

    name: str
    query: HeadSpec | str
    document: HeadSpec
    regulariser: str
    supervision: str
    paper: str
    shared: bool = False
    expanded: str = ""
    backbone: str = "distilbert-base-uncased"
    hyper: str = ""
    doubt: str = ""
    max_length: int = 256
    echo: bool = False
    bidirectional: bool = False


SPLADE = HeadSpec()
# The unified framework leaves [CLS] and [SEP] out; naver's and OpenSearch's code does not.
FRAMEWORK = HeadSpec(special_positions=False)
FRAMEWORK_MLP = HeadSpec("mlp", "log1p", "max", special_positions=False)
DOUBLE_LOG = HeadSpec(activation="log1p-log1p")
IMPACT = HeadSpec("mlp", "relu", "max", special_positions=False)
EPIC_DOCUMENT = HeadSpec(activation="log1p-softplus", special_positions=False, importance=True, quality=True)

UNIFIED = "Nguyen et al. 2023, A Unified Framework for Learned Sparse Retrieval"
FORMAL = "Formal et al. 2021, SPLADE v2"
PLUS = "Formal et al. 2022, From Distillation to Hard Negative Sampling"
EFFICIENT = "Lassance and Clinchant 2022, An Efficiency Study for SPLADE Models"
V3 = "Lassance et al. 2024, SPLADE-v3"
GENG = "Geng et al. 2024, Towards Competitive Search Relevance for Inference-Free Learned Sparse Retrievers"
SHEN = "Shen et al. 2025, Exploring l0 Sparsification for Inference-free Sparse Retrievers"
PROSPER = "PROSPER, 2025, arXiv 2510.18527"

BM25_IN_BATCH = "in-batch negatives and one of BM25"
MARGIN_MSE = "margin-MSE, cross-encoder scores of ensemble hard negatives"
V3_LOSS = "KL + 0.05 margin-MSE, five cross-encoders, 8 negatives a query"
EFFICIENT_LOSS = "KL, cross-encoder scores of ensemble hard negatives"
DISTIL = "batch 128, 150,000 steps, warm-up 6,000"
SHORT = "batch 8, rate 5e-6, 5 epochs, warm-up 0.1"
HETEROGENEOUS = "KL to a dense and a sparse teacher, scaled to [0, 1] for each query, averaged, times 30"
UNCERTAIN_KD = "the paper's own hyper-parameters are known from second-hand notes only"


def _mlp(activation: str, pooling: str) -> HeadSpec:
    return HeadSpec("mlp", activation, pooling, special_positions=False)


_ALL = (
    # The unified framework's methods, by its configurations.
    Preset("deepct", _mlp("identity", "sum"), _mlp("identity", "max"), "none", "term-MSE on term recall",
           "Dai and Callan 2019, DeepCT", shared=True, hyper="batch 32, rate 5e-6, 5 epochs"),
    Preset("unicoil", _mlp("relu", "sum"), IMPACT, "none", BM25_IN_BATCH, "Lin and Ma 2021, uniCOIL", shared=True,
           hyper=SHORT),
    Preset("unicoil-dt5q", _mlp("relu", "sum"), IMPACT, "none", BM25_IN_BATCH, "Lin and Ma 2021, uniCOIL", shared=True,
           expanded="docT5query", hyper=SHORT),
    Preset("unicoil-tilde", _mlp("relu", "sum"), IMPACT, "none", BM25_IN_BATCH, "Lin and Ma 2021, uniCOIL", shared=True,
           expanded="TILDE", hyper=SHORT),
    Preset("deepimpact", "binary", IMPACT, "none", "cross-entropy of pairs, negatives of BM25",
           "Mallia et al. 2021, DeepImpact", expanded="docT5query", hyper="batch 32, rate 3e-6, 100,000 steps"),
    Preset("tilde", "binary", HeadSpec(pooling="first"), "none", "distillation, in the framework",
           "Zhuang and Zuccon 2021, TILDE"),
    Preset("tildev2", "binary", IMPACT, "none", BM25_IN_BATCH, "Zhuang and Zuccon 2021, TILDEv2", expanded="TILDE",
           hyper=SHORT,
           doubt="the framework's distilled configuration loads documents that are not expanded"),
    Preset("epic", _mlp("log1p-softplus", "sum"), EPIC_DOCUMENT, "none", "negative likelihood, groups of 2",
           "MacAvaney et al. 2020, EPIC", hyper="batch 16, rate 2e-5 constant, 2,432 steps"),
    Preset("sparta", "binary", FRAMEWORK, "none", "cross-entropy, groups of 4", "Zhao et al. 2021, SPARTA",
           hyper="batch 8, rate 3e-5, 5 epochs"),
    Preset("splade-max", FRAMEWORK, FRAMEWORK, "FLOPS .01 / .05, quadratic over 50,000 steps", "in-batch negatives",
           FORMAL, shared=True, hyper="batch 8, rate 5e-6, 5 epochs"),
    Preset("distilsplade-max", FRAMEWORK, FRAMEWORK, "FLOPS .1 / .08, quadratic over 50,000 steps", MARGIN_MSE, FORMAL,
           shared=True, hyper=DISTIL),
    Preset("distilsplade-sep", FRAMEWORK, FRAMEWORK, "FLOPS .1 / .08, quadratic over 50,000 steps", MARGIN_MSE, UNIFIED,
           hyper=DISTIL),
    Preset("qmlp-dmlm", _mlp("log1p", "sum"), FRAMEWORK, "FLOPS 0 / .08 or none", MARGIN_MSE, UNIFIED, hyper=DISTIL),
    Preset("qmlm-dmlp", FRAMEWORK, FRAMEWORK_MLP, "FLOPS, strength not stated", MARGIN_MSE, UNIFIED, hyper=DISTIL,
           doubt="its row of the framework's table states neither activation nor strength; those of qmlp-dmlm stand"),
    # SPLADE's own line.
    Preset("splade", HeadSpec(pooling="sum"), HeadSpec(pooling="sum"), "FLOPS 3e-4 / 1e-4, quadratic over 50,000 steps",
           BM25_IN_BATCH, "Formal et al. 2021, SPLADE", shared=True, hyper="batch 124, rate 2e-5, 150,000 steps",
           doubt="strengths are those of naver's configuration of max pooling"),
    Preset("splade-doc", "bag-of-words", SPLADE, "FLOPS on documents, 1e-4 to 1e-1 swept", BM25_IN_BATCH, FORMAL,
           hyper="batch 124, rate 2e-5, 50,000 steps"),
    Preset("splade++-ed", SPLADE, SPLADE, "FLOPS .5 / .4, quadratic over 50,000 steps", MARGIN_MSE, PLUS, shared=True,
           backbone="Luyu/co-condenser-marco", hyper=DISTIL),
    Preset("splade++-sd", SPLADE, SPLADE, "FLOPS .5 / .4, quadratic over 50,000 steps",
           "margin-MSE, negatives mined with SPLADE itself", PLUS, shared=True, backbone="Luyu/co-condenser-marco",
           hyper=DISTIL),
    Preset("efficient-splade-v", SPLADE, SPLADE, "L1 5e-4 queries, FLOPS 5e-4 documents, quadratic over 50,000 steps",
           EFFICIENT_LOSS, EFFICIENT, hyper="batch 128, 250,000 steps; large, medium and small differ in strength",
           doubt="naver's trainer adds the first regulariser twice: documents' strength is in effect doubled"),
    Preset("efficient-splade-vi-bt", SPLADE, SPLADE,
           "L1 5e-4 queries, FLOPS 5e-4 documents, quadratic over 50,000 steps", EFFICIENT_LOSS, EFFICIENT,
           hyper="batch 128, 250,000 steps; queries by BERT-tiny",
           doubt="naver's trainer adds the first regulariser twice: documents' strength is in effect doubled"),
    Preset("efficient-splade-vi-doc", "bag-of-words", SPLADE, "FLOPS 5e-4 documents, quadratic over 10,000 steps",
           EFFICIENT_LOSS, EFFICIENT, hyper="batch 128, 50,000 steps"),
    Preset("splade-v3", SPLADE, SPLADE, "FLOPS on documents, L1 on queries", V3_LOSS, V3, shared=True,
           backbone="naver/splade-cocondenser-selfdistil", doubt="strengths are not in the paper"),
    Preset("splade-v3-distilbert", SPLADE, SPLADE, "FLOPS on documents, L1 on queries", V3_LOSS, V3, shared=True,
           doubt="strengths are not in the paper"),
    Preset("splade-v3-lexical", HeadSpec(literal_only=True), SPLADE, "FLOPS on documents, L1 on queries", V3_LOSS, V3,
           shared=True, backbone="naver/splade-cocondenser-selfdistil", doubt="strengths are not in the paper"),
    Preset("splade-v3-doc", "bag-of-words", SPLADE, "FLOPS on documents", V3_LOSS, V3,
           backbone="Luyu/co-condenser-marco", doubt="strengths are not in the paper"),
    # Inference-free queries.
    Preset("opensearch-v1", SPLADE, SPLADE, "FLOPS", "not published", "OpenSearch neural sparse, bi-encoder",
           shared=True, backbone="133 M parameters", doubt="how it was trained is not published"),
    Preset("opensearch-v2-distill", SPLADE, SPLADE, "FLOPS", HETEROGENEOUS, "OpenSearch neural sparse, bi-encoder",
           shared=True, doubt="how it was trained is known in parts"),
    Preset("opensearch-doc-v1", "bag-of-words", SPLADE, "FLOPS on documents", "not published",
           "OpenSearch neural sparse, doc-v1", backbone="133 M parameters",
           doubt="whether its queries have the IDF table of doc-v2 is told by its folder only"),
    Preset("opensearch-doc-v2-distill", "idf", SPLADE, "FLOPS .02 on documents, the score weighted by IDF",
           HETEROGENEOUS, GENG, hyper="batch 40, rate 2e-5, 50,000 steps, warm-up 2,000", doubt=UNCERTAIN_KD),
    Preset("opensearch-doc-v2-mini", "idf", SPLADE, "FLOPS .02 on documents, the score weighted by IDF", HETEROGENEOUS,
           GENG, backbone="23 M parameters", doubt=UNCERTAIN_KD),
    Preset("opensearch-doc-v3-distill", "idf", DOUBLE_LOG,
           "FLOPS .08 over documents of more than 150 components, quadratic over 40,000 steps",
           "KL to the scores of stored hard negatives", SHEN,
           hyper="batch 160, rate 2e-5, 100,000 steps, warm-up 6,000",
           doubt="hyper-parameters are those of the sample configuration"),
    Preset("opensearch-doc-v3-gte", "idf", DOUBLE_LOG,
           "FLOPS over documents of more than some components", "KL to the scores of stored hard negatives", SHEN,
           backbone="Alibaba-NLP/gte-en-mlm-base", max_length=512,
           doubt="its architecture is code in its repository, which lsr does not run"),
    Preset("li-lsr", "learned", SPLADE, "L1", "KL, one negative a query",
           "Nardini et al. 2025, Effective Inference-Free Retrieval for Learned Sparse Representations",
           backbone="Luyu/co-condenser-marco", hyper="150,000 steps",
           doubt="loss, regulariser and figures are known from the abstract and second-hand notes only"),
    # Literal residual and lexical focusing window.
    Preset("prosper", HeadSpec(pooling="last", residual=True, window=256, unit_length=True),
           HeadSpec(pooling="last", residual=True, window=512), "FLOPS 5e-3 / 1e-3, quadratic over 1.5 epochs",
           "in-batch negatives, no temperature", PROSPER, shared=True, backbone="Qwen/Qwen2.5-3B", max_length=64,
           hyper="rate 3e-5, decay .1, 5 epochs",
           doubt="whether FLOPS acts on the base weights or on those with the residual is not clear in the paper"),
    Preset("prosper-echo", HeadSpec(pooling="last", residual=True, window=256, unit_length=True),
           HeadSpec(pooling="last", residual=True, window=512), "FLOPS 5e-3 / 1e-3, quadratic over 1.5 epochs",
           "in-batch negatives, no temperature", PROSPER, shared=True, backbone="Qwen/Qwen2.5-3B", max_length=128,
           echo=True, hyper="rate 3e-5, decay .1, 5 epochs", doubt="as prosper"),
    Preset("prosper-bidirectional", HeadSpec(pooling="last", residual=True, window=256, unit_length=True),
           HeadSpec(pooling="last", residual=True, window=512), "FLOPS 5e-3 / 1e-3, quadratic over 1.5 epochs",
           "in-batch negatives, no temperature", PROSPER, shared=True, backbone="Qwen/Qwen2.5-3B", max_length=64,
           bidirectional=True, hyper="rate 3e-5, decay .1, 5 epochs", doubt="as prosper"),
    Preset("prosper-max", HeadSpec(residual=True, window=256, unit_length=True), HeadSpec(residual=True, window=512),
           "FLOPS 5e-3 / 1e-3, quadratic over 1.5 epochs", "in-batch negatives, no temperature", PROSPER, shared=True,
           backbone="Qwen/Qwen2.5-3B", max_length=64, hyper="rate 3e-5, decay .1, 5 epochs", doubt="as prosper"),
    Preset("prosper-bert", HeadSpec(pooling="last", residual=True, window=256, unit_length=True),
           HeadSpec(pooling="last", residual=True, window=512), "FLOPS 5e-3 / 1e-3, quadratic over 1.5 epochs",
           "in-batch negatives, no temperature", PROSPER, shared=True, backbone="google-bert/bert-base-chinese",
           max_length=64, hyper="rate 3e-5, decay .1, 5 epochs",
           doubt="as prosper; and whether the last position is [SEP], as here, is not stated for an encoder"),
)  # fmt: skip

PRESETS = {preset.name: preset for preset in _ALL}


def find_preset(name: str) -> Preset:
    """Raises EncoderError, with the nearest names, for one that is not there."""
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, n=3) or sorted(PRESETS)[:3]
        raise EncoderError(f"{name!r} is no method; perhaps {', '.join(near)}? `lsr encoders` lists them all")
    return PRESETS[name]
