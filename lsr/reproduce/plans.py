"""The reproductions: which finding, by which trainings, on what.

All begin from the bundled SPLADE, of two layers, and have the budget that two cores have: a minute a training. What is
compared in a part has the same steps, batches and data; what else differs, a comment says. Strengths were chosen by the
lengths of vectors, and nothing was tuned on what is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lsr.encoders.presets import find_preset
from lsr.encoders.spec import HeadSpec
from lsr.errors import ParameterError
from lsr.experiment.suites import Judged
from lsr.reproduce.finding import Plan, Variant, VariantGroup
from lsr.training.losses import LossSpec
from lsr.training.regularizers import DF_FLOPS, FLOPS, IDF_FLOPS, L1, Penalty, PenaltyKind
from lsr.training.training_config import (
    DataConfig,
    EncoderConfig,
    OptimizerConfig,
    RegularizerConfig,
    TeacherConfig,
    TrainingConfig,
    WindowConfig,
)

START = "tiny"
STEPS = 100
RATE, NEW_HEAD_RATE = 1e-4, 2e-4  # of whole networks, the latter where the head begins as a bag of words

SENTENCES = DataConfig("squad-nqg", "dev", group=2)
SENTENCES_TEST = Judged("squad-nqg", "squad-nqg", "test")
PASSAGES_TEST = Judged("dl19", "msmarco-v1-pool", "dl19", relevant=2)
ABSTRACTS_TEST = Judged("nfcorpus", "beir/nfcorpus", "test")
PACKAGES_TEST = Judged("package-search", "package-search", "test")
SHORT, LONG = 64, 128  # tokens

CROWD = 6  # documents of a query, where a teacher compares them


def inference_free(steps: int) -> Plan:
    """Does IDF help queries that are only looked up, and where: in the score, or in the penalty?"""
    readings: list[tuple[str, str, PenaltyKind, Sequence[float]]] = [
        # Of the baseline more, added later: it bends between three, and all others are compared with it.
        ("binary", "splade-doc", FLOPS, (0.01, 0.03, 0.1, 0.3, 1.0)),
        ("idf-score", "opensearch-doc-v2-distill", FLOPS, (0.001, 0.01, 0.1)),
        ("idf-penalty", "splade-doc", IDF_FLOPS, (0.03, 0.3, 3.0)),
    ]
    variants = []
    for name, method, kind, strengths in readings:
        idf = SENTENCES.collection if method != "splade-doc" else ""
        encoder = EncoderConfig(method=method, backbone=START, idf=idf, max_length=SHORT)
        for strength in strengths:
            penalties = RegularizerConfig(
                document=(Penalty(kind, strength),), idf=SENTENCES.collection if kind == IDF_FLOPS else ""
            )
            variants.append(Variant(f"{name}-{strength:g}", _training(encoder, steps, penalties), name))
    part = VariantGroup("sentences", tuple(variants), (SENTENCES_TEST,), "binary", START)
    return Plan("inference-free", _question(inference_free), (part,), curves=True)


def teachers(steps: int) -> Plan:
    """Does an ensemble of a dense and a sparse teacher teach more than either, and must it be normalized?"""
    encoder = EncoderConfig(
        method="opensearch-doc-v2-distill", backbone=START, idf=SENTENCES.collection, max_length=SHORT
    )

    penalties = RegularizerConfig(document=(Penalty(FLOPS, 0.01),))

    def config(negatives: str, loss: str = "kl") -> TrainingConfig:
        data = replace(SENTENCES, group=CROWD, negatives=negatives)
        return _training(encoder, steps, penalties, data, LossSpec(loss))

    dense, sparse = ("minilm",), (START,)
    mined = {
        "dense": TeacherConfig(dense=dense),
        "sparse": TeacherConfig(sparse=sparse),
        "ensemble": TeacherConfig(dense=dense, sparse=sparse),
        # The sum of two is twice their mean; unlike the others it is not stretched to `scale`.
        "sum": TeacherConfig(dense=dense, sparse=sparse, normalize="none", scale=2.0),
    }
    variants = [
        Variant("none", config("ensemble", "in-batch")),  # which does not look at scores
        *(Variant(name, config(name)) for name in mined),
    ]
    part = VariantGroup("sentences", tuple(variants), (SENTENCES_TEST,), "ensemble", START, mined)
    return Plan("teachers", _question(teachers), (part,))


def prosper(steps: int) -> Plan:
    """What do PROSPER's literal residual and its lexical focusing window give, on short texts and on long ones?"""
    query, document = HeadSpec(unit_length=True), HeadSpec()
    penalties = RegularizerConfig(query=(Penalty(FLOPS, 5e-3),), document=(Penalty(FLOPS, 1e-3),))
    parts = []
    for name, data, test, length, window in (
        (
            "packages",
            DataConfig("package-search", group=1),
            PACKAGES_TEST,
            SHORT,
            WindowConfig((64, 32, 16), (128, 64, 32)),
        ),
        (
            "abstracts",
            DataConfig("beir/nfcorpus", group=1),
            ABSTRACTS_TEST,
            LONG,
            WindowConfig((64, 32, 16), (256, 128, 64)),
        ),
    ):
        variants = []
        for variant, residual, focused in (
            ("head", False, False),
            ("residual", True, False),
            ("window", False, True),
            ("both", True, True),
        ):
            encoder = EncoderConfig(
                method="prosper-max",
                backbone=START,
                max_length=length,
                query_head=replace(query, residual=residual),
                document_head=replace(document, residual=residual),
            )
            config = _training(encoder, steps, penalties, data)
            variants.append(Variant(variant, replace(config, window=window if focused else None)))
        parts.append(VariantGroup(name, tuple(variants), (test,), "head", START))
    return Plan("prosper", _question(prosper), tuple(parts))


def framework(steps: int) -> Plan:
    """Of the unified framework: what do expansion of queries, and of documents, give, and what do they cost?"""
    penalties = RegularizerConfig(query=(Penalty(FLOPS, 0.01),), document=(Penalty(FLOPS, 0.01),))
    splade = EncoderConfig(method="splade-max", backbone=START, max_length=SHORT)
    head = find_preset(splade.method).document
    assert isinstance(head, HeadSpec)
    literal = replace(head, literal_only=True)
    config = _training(splade, steps, penalties)
    deepct = _training(replace(splade, method="deepct"), steps, rate=NEW_HEAD_RATE)
    variants = (
        # The mean over 30,522 components, of which a sentence has thirty, is small.
        Variant("deepct", replace(deepct, data=(replace(SENTENCES, group=1),), losses=(), term_recall=1000.0)),
        Variant("unicoil", _training(replace(splade, method="unicoil"), steps, rate=NEW_HEAD_RATE)),
        Variant("splade-max", config),
        Variant("no-query-expansion", replace(config, encoder=replace(splade, query_head=literal))),
        Variant("no-document-expansion", replace(config, encoder=replace(splade, document_head=literal))),
    )
    part = VariantGroup("sentences", variants, (SENTENCES_TEST, ABSTRACTS_TEST), "splade-max", START)
    return Plan("framework", _question(framework), (part,))


def regularizers(steps: int) -> Plan:
    """Which regularizer gives the better ranking for its non-zeros, and for its time in the index?"""
    encoder = EncoderConfig(method="splade-max", backbone=START, max_length=SHORT)
    kinds: list[tuple[str, PenaltyKind, int | None, Sequence[float]]] = [
        ("flops", FLOPS, None, (0.01, 0.1)),
        ("l1", L1, None, (0.001, 0.005)),
        ("df-flops", DF_FLOPS, None, (1.0, 30.0)),
        ("l0-mask", FLOPS, 32, (0.02, 0.2)),
    ]
    variants = [
        Variant(
            f"{name}-{strength:g}",
            _training(
                encoder,
                steps,
                RegularizerConfig(query=(Penalty(FLOPS, 0.01),), document=(Penalty(kind, strength, above=above),)),
            ),
            name,
        )
        for name, kind, above, strengths in kinds
        for strength in strengths
    ]
    part = VariantGroup("sentences", tuple(variants), (SENTENCES_TEST, PASSAGES_TEST), "flops", START)
    return Plan("regularizers", _question(regularizers), (part,), curves=True)


PLANS: dict[str, Callable[[int], Plan]] = {
    "inference-free": inference_free,
    "teachers": teachers,
    "prosper": prosper,
    "framework": framework,
    "regularizers": regularizers,
}


def find_plan(name: str, steps: int = STEPS) -> Plan:
    """steps: of each training. Raises ParameterError for a name that is none."""
    if name not in PLANS:
        raise ParameterError(f"reproduction {name!r} is unknown; there are {', '.join(PLANS)}")
    return PLANS[name](steps)


def _training(
    encoder: EncoderConfig,
    steps: int,
    penalties: RegularizerConfig | None = None,
    data: DataConfig = SENTENCES,
    loss: LossSpec | None = None,
    rate: float = RATE,
) -> TrainingConfig:
    return TrainingConfig(
        encoder,
        (data,),
        OptimizerConfig(steps=steps, rate=rate, precision="bfloat16"),
        (loss or LossSpec("in-batch"),),
        regularizer=penalties or RegularizerConfig(),
    )


def _question(plan: Callable[[int], Plan]) -> str:
    return (plan.__doc__ or "").strip()
