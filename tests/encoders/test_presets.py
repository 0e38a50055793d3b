"""Every named method, built on encoders and decoders, saved, and loaded again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.encoders.build import build_encoder
from lsr.encoders.load import load_encoder
from lsr.encoders.method_preset import LOOKUPS, WITH_IDF
from lsr.encoders.presets import PRESETS
from lsr.encoders.published_training import PublishedPenalty
from lsr.encoders.sparse.lookup import LookupSide
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.encoders.spec import HeadSpec
from lsr.errors import EncoderError, ParameterError
from tests.encoders.models import write_model
from tests.processes import run_python

TEXTS = ["alpha beta", "", "the sea of gamma running alphas", "run " * 30, "sea sea the the beta"]


def build(method: str, folder: Path, **options: Any) -> SparseEncoder:
    if PRESETS[method].query in WITH_IDF:
        size = json.loads((folder / "config.json").read_bytes())["vocab_size"]
        options.setdefault("idf", np.linspace(0.5, 2, size, dtype=np.float32))
    return build_encoder(method, folder, device="cpu", **options)


@pytest.mark.parametrize("kind", ["bert", "qwen2"])
@pytest.mark.parametrize("method", PRESETS)
def test_every_method_on_any_backbone(method: str, kind: str, tmp_path: Path) -> None:
    preset = PRESETS[method]
    encoder = build(method, write_model(tmp_path / "backbone", kind))
    documents, queries = encoder.encode_documents(TEXTS), encoder.encode_queries(TEXTS)
    assert documents.dim == queries.dim == encoder.dim
    # mlp may give nothing before it is trained; the output layers of these models give something.
    assert documents.nnz > 0 or (isinstance(preset.document, HeadSpec) and preset.document.kind == "mlp")
    assert documents[1].nnz == queries[1].nnz == 0
    assert isinstance(preset.query, str) == isinstance(encoder.query_side, LookupSide)
    assert isinstance(preset.document, str) == isinstance(encoder.document_side, LookupSide)

    encoder.save_pretrained(tmp_path / "saved")
    loaded = load_encoder(tmp_path / "saved", device="cpu")
    np.testing.assert_allclose(loaded.encode_documents(TEXTS).to_dense(), documents.to_dense(), atol=1e-5)
    np.testing.assert_allclose(loaded.encode_queries(TEXTS).to_dense(), queries.to_dense(), atol=1e-5)


@pytest.mark.parametrize("method", ["unicoil", "prosper", "li-lsr", "epic"])
def test_the_seed_decides(method: str, tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    first, same, other = (build(method, folder, seed=seed) for seed in (1, 1, 2))
    for encode in ("encode_documents", "encode_queries"):
        vectors = [getattr(encoder, encode)(TEXTS) for encoder in (first, same, other)]
        assert vectors[0] == vectors[1]
    assert first.encode_documents(TEXTS) != other.encode_documents(TEXTS) or (
        first.encode_queries(TEXTS) != other.encode_queries(TEXTS)
    )


def test_a_backbone_without_an_output_layer_gets_one(tmp_path: Path) -> None:
    import transformers

    write_model(tmp_path / "masked-lm")
    transformers.AutoModel.from_pretrained(tmp_path / "masked-lm").save_pretrained(tmp_path / "base")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "base" / name).write_bytes((tmp_path / "masked-lm" / name).read_bytes())
    with pytest.raises(EncoderError, match="BertModel, which has no output layer"):
        load_encoder(tmp_path / "base", device="cpu")
    assert build("splade-max", tmp_path / "base").encode_documents(TEXTS).nnz > 0


def test_two_networks_and_one(tmp_path: Path) -> None:
    write_model(tmp_path / "large")
    write_model(tmp_path / "small", hidden_size=12)
    apart = build("distilsplade-sep", tmp_path / "large")
    assert apart.query_side.backbone is not apart.document_side.backbone  # type: ignore[union-attr]
    one = build("unicoil", tmp_path / "large")
    assert one.query_side.backbone is one.document_side.backbone  # type: ignore[union-attr]
    mixed = build("efficient-splade-vi-bt", tmp_path / "large", query_backbone=tmp_path / "small")
    assert mixed.query_side.backbone.hidden == 12  # type: ignore[union-attr]
    assert mixed.document_side.backbone.hidden == 24  # type: ignore[union-attr]
    mixed.save_pretrained(tmp_path / "saved")
    loaded = load_encoder(tmp_path / "saved", device="cpu")
    assert loaded.encode_queries(TEXTS) == mixed.encode_queries(TEXTS)
    assert loaded.encode_queries(TEXTS) != mixed.encode_documents(TEXTS)


def test_documents_are_expanded_first(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    texts = ["alpha beta", "sea"]
    plain = build("tildev2", folder, seed=5)
    expanded = build("tildev2", folder, seed=5, expander=lambda texts: ["gamma delta" for _ in texts])
    by_hand = plain.encode_documents([f"{text} gamma delta" for text in texts])
    assert expanded.encode_documents(texts) == by_hand
    assert by_hand.nnz > 0
    assert expanded.encode_queries(texts) == plain.encode_queries(texts)
    wrong = build("tildev2", folder, expander=lambda texts: [])
    with pytest.raises(EncoderError, match="returned 0 texts for 2"):
        wrong.encode_documents(texts)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("splade-doc", {"query_backbone": "x"}, "uses a lookup table for queries"),
        ("splade-max", {"query_backbone": "x"}, "has one network"),
        ("qmlp-dbin", {"query_backbone": "x"}, "has one network"),
        ("splade-doc", {"query_head": HeadSpec()}, "uses a lookup table for queries"),
        ("qmlp-dbin", {"document_head": HeadSpec()}, "uses a lookup table for documents"),
        ("opensearch-doc-v2-distill", {"idf": None}, "needs idf"),
        ("splade-doc", {"idf": np.ones(17, np.float32)}, "does not use idf"),
    ],
)
def test_arguments_without_a_place(method: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=message):
        build(method, write_model(tmp_path), **options)


def test_unknown_method(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="'splade-v4' is not a method; perhaps splade-v3"):
        build_encoder("splade-v4", tmp_path)


# The unified framework's methods: heads of queries and documents, their lambdas, the steps over which these rise.
FRAMEWORK = {
    "deepct": ("mlp identity sum", "mlp identity max", None, None, None),
    "unicoil": ("mlp relu sum", "mlp relu max", None, None, None),
    "unicoil-dt5q": ("mlp relu sum", "mlp relu max", None, None, None),
    "unicoil-tilde": ("mlp relu sum", "mlp relu max", None, None, None),
    "deepimpact": ("binary", "mlp relu max", None, None, None),
    "tilde": ("binary", "mlm log1p first", None, None, None),
    "tildev2": ("binary", "mlp relu max", None, None, None),
    "epic": ("mlp log1p-softplus sum", "mlm log1p-softplus max", None, None, None),
    "sparta": ("binary", "mlm log1p max", None, None, None),
    "splade-max": ("mlm log1p max", "mlm log1p max", 0.01, 0.05, 50_000),
    "distilsplade-max": ("mlm log1p max", "mlm log1p max", 0.1, 0.08, 50_000),
    "distilsplade-sep": ("mlm log1p max", "mlm log1p max", 0.1, 0.08, 50_000),
    "qmlp-dmlm": ("mlp log1p sum", "mlm log1p max", None, 0.08, 50_000),
    "qmlm-dmlp": ("mlm log1p max", "mlp log1p max", 0.1, None, 50_000),
    "unicoil-dbin": ("mlp relu sum", "binary", None, None, None),
    "qmlm-dbin": ("mlm log1p max", "binary", None, None, None),
    "qmlp-dbin": ("mlp log1p sum", "binary", None, None, None),
    "qbin-dmlp": ("binary", "mlp log1p max", None, None, None),
    "epic-qbin": ("binary", "mlm log1p-softplus max", None, None, None),
    "sparta-qmlp": ("mlp log1p sum", "mlm log1p max", None, None, None),
}


def head(side: HeadSpec | str) -> str:
    return side if isinstance(side, str) else f"{side.kind} {side.activation} {side.pooling}"


@pytest.mark.parametrize("method", FRAMEWORK)
def test_methods_of_the_unified_framework(method: str) -> None:
    preset = PRESETS[method]
    penalties = preset.regularizer.query, preset.regularizer.document
    assert all(penalty is None or penalty.kind == "FLOPS" for penalty in penalties)
    strengths = [None if penalty is None else penalty.strength for penalty in penalties]
    found = (head(preset.query), head(preset.document), *strengths, preset.regularizer.steps)
    assert found == FRAMEWORK[method]
    for side in (preset.query, preset.document):
        assert isinstance(side, str) or side.pooling == "first" or not side.special_positions
    assert preset.max_length == 250


def test_every_kind_of_queries_meets_every_kind_of_documents() -> None:
    kinds = ("binary", "mlp", "mlm")
    cells = {
        tuple(head(side).split()[0] for side in (PRESETS[each].query, PRESETS[each].document)) for each in FRAMEWORK
    }
    assert cells == {(query, document) for query in kinds for document in kinds} - {("binary", "binary")}


def test_binary_documents_have_each_token_once(tmp_path: Path) -> None:
    """scale * 1[t in x] of documents, scale * tf of queries (Nguyen et al. 2023); special tokens have no place."""
    folder = write_model(tmp_path)
    documents = build("qmlp-dbin", folder).encode_documents(["sea sea the"])
    queries = build("qbin-dmlp", folder).encode_queries(["sea sea the"])
    assert documents.values.tolist() == pytest.approx([0.3, 0.3])
    assert sorted(queries.values.tolist()) == pytest.approx([0.3, 0.6])
    assert documents.indices.tolist() == queries.indices.tolist()


def test_which_methods_expand_share_and_look_up() -> None:
    expanded = {name: preset.expanded for name, preset in PRESETS.items() if preset.expanded}
    doc_t5_query = dict.fromkeys(("unicoil-dt5q", "deepimpact"), "docT5query")
    assert expanded == {**doc_t5_query, **dict.fromkeys(("unicoil-tilde", "tildev2", "unicoil-dbin"), "TILDE")}
    bags = {name for name, preset in PRESETS.items() if preset.query == "bag-of-words"}
    assert bags == {"splade-doc", "splade-v3-doc", "efficient-splade-vi-doc"}
    by_idf = {name for name, preset in PRESETS.items() if preset.query == "idf"}
    assert by_idf == {name for name in PRESETS if name.startswith("opensearch-doc-")}
    apart = {
        name
        for name, preset in PRESETS.items()
        if not preset.shared and not isinstance(preset.query, str) and not isinstance(preset.document, str)
    }
    pairs = {"epic", "distilsplade-sep", "qmlp-dmlm", "qmlm-dmlp", "sparta-qmlp"}
    assert apart == pairs | {"efficient-splade-v", "efficient-splade-vi-bt"}


def test_later_methods() -> None:
    lexical = PRESETS["splade-v3-lexical"]
    assert (lexical.query, lexical.document) == (HeadSpec(literal_only=True), HeadSpec())
    assert PRESETS["splade"].query == PRESETS["splade"].document == HeadSpec(pooling="sum")
    assert PRESETS["opensearch-doc-v2-distill"].document == HeadSpec()
    assert PRESETS["opensearch-doc-v3-distill"].document == HeadSpec(activation="log1p-log1p")
    lengths = {name: PRESETS[f"opensearch-doc-{name}"].max_length for name in ("v2-distill", "v2-mini", "v3-distill")}
    assert lengths == {"v2-distill": 512, "v2-mini": 512, "v3-distill": 256}
    for name in (name for name in PRESETS if name.startswith("prosper")):
        query, document = PRESETS[name].query, PRESETS[name].document
        assert isinstance(query, HeadSpec) and isinstance(document, HeadSpec)
        assert (query.residual, query.window, query.unit_length) == (True, 256, True)
        assert (document.residual, document.window, document.unit_length) == (True, 512, False)
        assert query.pooling == document.pooling == ("max" if name == "prosper-max" else "last")
        assert PRESETS[name].backbone_kind == ("encoder" if name == "prosper-bert" else "decoder")


@pytest.mark.parametrize(
    ("method", "query", "document", "steps"),
    [
        ("splade++-ed", PublishedPenalty("FLOPS", 0.5), 0.4, 50_000),
        ("splade++-sd", PublishedPenalty("FLOPS", 0.5), 0.4, 50_000),
        ("efficient-splade-v", PublishedPenalty("L1", 5e-4), 5e-4, 50_000),
        ("efficient-splade-vi-bt", PublishedPenalty("L1", 5e-4), 5e-4, 50_000),
        ("efficient-splade-vi-doc", None, 5e-4, 10_000),
        ("splade-v3", PublishedPenalty("L1"), None, None),
        ("opensearch-doc-v2-distill", None, 0.02, None),
        ("opensearch-doc-v3-distill", None, 0.08, 40_000),
        ("prosper", PublishedPenalty("FLOPS", 5e-3), 1e-3, None),
    ],
)
def test_regularizers_of_later_methods(
    method: str, query: PublishedPenalty | None, document: float | None, steps: int | None
) -> None:
    regularizer = PRESETS[method].regularizer
    assert (regularizer.query, regularizer.document) == (query, PublishedPenalty("FLOPS", document))
    assert regularizer.steps == steps


def test_presets_state_unknown_facts() -> None:
    """A strength that is missing is no zero: a line says that it is in doubt."""
    for preset in PRESETS.values():
        penalties = (preset.regularizer.query, preset.regularizer.document)
        if any(penalty is not None and penalty.strength is None for penalty in penalties):
            assert preset.doubt, preset.name
    uncertain = ("prosper", "li-lsr", "opensearch-doc-v2-distill", "splade-v3", "efficient-splade-v", "tildev2")
    assert all(PRESETS[name].doubt for name in uncertain)


def test_the_list_is_sound() -> None:
    assert all(name == preset.name for name, preset in PRESETS.items())
    assert all(preset.query in LOOKUPS for preset in PRESETS.values() if isinstance(preset.query, str))
    # Weights of a side in common make sense only where both sides have a network.
    looked_up = [
        preset for preset in PRESETS.values() if "str" in {type(preset.query).__name__, type(preset.document).__name__}
    ]
    assert not any(preset.shared for preset in looked_up)
    assert {preset.document for preset in looked_up if isinstance(preset.document, str)} == {"binary"}
    assert all(preset.supervision and preset.regularizer and preset.paper for preset in PRESETS.values())


def test_the_list_needs_no_torch() -> None:
    done = run_python("import sys, lsr.encoders.presets, lsr.encoders; print('torch' in sys.modules)")
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_an_index_refers_only_to_what_can_be_loaded_again(tmp_path: Path) -> None:
    """What is built has no name that gives it back; once saved it has, also where its sides read different lengths."""
    folder = write_model(tmp_path / "model")
    built = build("unicoil", folder, seed=5)
    with pytest.raises(EncoderError, match="was built and has not been saved"):
        built.save(tmp_path / "reference")
    with pytest.raises(EncoderError, match="was built and has not been saved"):
        built.check_saveable()
    built.save_pretrained(tmp_path / "whole")
    files = {path.name for path in (tmp_path / "whole").iterdir()}
    assert files == {"README.md", "encoder.json", "shared", "shared.head.safetensors"}
    for expander in (None, more):
        loaded = load_encoder(tmp_path / "whole", device="cpu", expander=expander)
        loaded.save(tmp_path / "reference")
        opened = load_encoder(tmp_path / "reference", device="cpu")
        assert opened.describe() == loaded.describe()
        assert opened.encode_queries(TEXTS) == loaded.encode_queries(TEXTS) == built.encode_queries(TEXTS)
        if expander is None:
            assert opened.encode_documents(TEXTS) == built.encode_documents(TEXTS)
            continue
        with pytest.raises(EncoderError, match="documents were expanded by more, which is not saved"):
            opened.encode_documents(TEXTS)


def more(texts: Sequence[str]) -> list[str]:
    return ["gamma" for _ in texts]
