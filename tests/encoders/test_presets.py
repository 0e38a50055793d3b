"""Every named method, built on encoders and decoders, saved, and loaded again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.encoders import SparseEncoder, build_encoder, load_encoder
from lsr.encoders.lookup import LookupSide
from lsr.encoders.presets import LOOKUPS, PRESETS
from lsr.errors import EncoderError, ParameterError
from tests.encoders.models import write_model
from tests.processes import run_python

TEXTS = ["alpha beta", "", "the sea of gamma running alphas", "run " * 30, "sea sea the the beta"]


def build(method: str, folder: Path, **options: Any) -> SparseEncoder:
    if PRESETS[method].query == "idf":
        options.setdefault("idf", np.linspace(0.5, 2, 17, dtype=np.float32))
    return build_encoder(method, folder, device="cpu", **options)


@pytest.mark.parametrize("kind", ["bert", "qwen2"])
@pytest.mark.parametrize("method", PRESETS)
def test_every_method_on_any_backbone(method: str, kind: str, tmp_path: Path) -> None:
    preset = PRESETS[method]
    encoder = build(method, write_model(tmp_path / "backbone", kind))
    documents, queries = encoder.encode_documents(TEXTS), encoder.encode_queries(TEXTS)
    assert documents.dim == queries.dim == encoder.dim
    # mlp may give nothing before it is trained; the output layers of these models give something.
    assert documents.nnz > 0 or preset.document.kind == "mlp"
    assert documents[1].nnz == queries[1].nnz == 0
    assert isinstance(preset.query, str) == isinstance(encoder.query_side, LookupSide)

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
        ("splade-doc", {"query_backbone": "x"}, "looks its queries up"),
        ("splade-max", {"query_backbone": "x"}, "has one network"),
        ("opensearch-doc-v2-distill", {"idf": None}, "needs idf"),
        ("splade-doc", {"idf": np.ones(17, np.float32)}, "has no place for idf"),
    ],
)
def test_arguments_without_a_place(method: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=message):
        build(method, write_model(tmp_path), **options)


def test_unknown_method(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="'splade-v4' is no method; perhaps splade-v3"):
        build_encoder("splade-v4", tmp_path)


def test_the_list_is_sound() -> None:
    assert all(name == preset.name for name, preset in PRESETS.items())
    assert all(preset.query in LOOKUPS for preset in PRESETS.values() if isinstance(preset.query, str))
    # Weights of a side in common make sense only where both sides have a network.
    assert not any(preset.shared and isinstance(preset.query, str) for preset in PRESETS.values())
    assert all(preset.supervision and preset.regulariser and preset.paper for preset in PRESETS.values())


def test_the_list_needs_no_torch() -> None:
    done = run_python("import sys, lsr.encoders.presets, lsr.encoders; print('torch' in sys.modules)")
    assert (done.stdout.strip(), done.stderr) == ("False", "")
