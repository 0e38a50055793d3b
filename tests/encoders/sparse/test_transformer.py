"""SPLADE-max against plain transformers code, on the bundled checkpoint and on small random models."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from lsr import load_encoder
from lsr.collections.collection import load_collection
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.sparse import heads
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.errors import EncoderError, ParameterError
from lsr.vectors.sparse_vectors import SparseVectors
from tests.data import LIBRARY
from tests.encoders.models import ARCHITECTURES, SPECIAL, TEXTS, WORDS, splade_max, write_model, write_tokenizer
from tests.processes import run_python


def load(name: str | Path, **options: Any) -> SparseEncoder:
    encoder = load_encoder(name, device="cpu", **options)
    assert isinstance(encoder, SparseEncoder)
    return encoder


@pytest.fixture(scope="module")
def tiny() -> SparseEncoder:
    return load("tiny")


@pytest.fixture(scope="module")
def documents() -> list[str]:
    short = [document.full_text for document in load_collection(LIBRARY).documents()]
    texts = [*short[:30], *(" ".join(short[first : first + 5]) for first in range(30, 80, 5))]  # more than 256 tokens
    return [*texts, "", "what causes high blood pressure", texts[0][:60]]


def test_tiny_equals_plain_transformers(tiny: SparseEncoder, documents: list[str]) -> None:
    expected = splade_max(find_checkpoint("tiny").folder, documents, 256)
    found = tiny.encode_documents(documents).to_dense()
    assert (expected > 0).sum() > 5000
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("screened", [False, True])
def test_with_and_without_screening(
    tiny: SparseEncoder, documents: list[str], monkeypatch: pytest.MonkeyPatch, screened: bool
) -> None:
    # Both ways of VocabularyLayer, whatever the processor at hand multiplies.
    monkeypatch.setattr(heads, "_multiplies_bfloat16", lambda: screened)
    encoder = load("tiny")
    expected = tiny.encode_documents(documents).to_dense()
    np.testing.assert_allclose(encoder.encode_documents(documents).to_dense(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("max_length", [8, 80])
def test_random_models_equal_plain_transformers(tmp_path: Path, kind: str, max_length: int) -> None:
    write_model(tmp_path, kind)
    expected = splade_max(tmp_path, TEXTS, max_length)
    encoder = load_encoder(tmp_path, device="cpu", max_length=max_length)
    found = encoder.encode_documents(TEXTS)
    assert 0.05 < (expected > 0).mean() < 0.95
    np.testing.assert_allclose(found.to_dense(), expected, atol=1e-4, rtol=0)
    assert encoder.encode_queries(TEXTS) == found
    assert encoder.vocabulary.tokens[: len(SPECIAL + WORDS)] == (*SPECIAL, *WORDS)


def test_rows_are_in_normal_form(tiny: SparseEncoder, documents: list[str]) -> None:
    vectors = tiny.encode_documents(documents)
    assert SparseVectors(vectors.indptr, vectors.indices, vectors.values, vectors.dim).values is vectors.values
    assert vectors.indices.dtype == np.uint16
    assert vectors.values.dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_batches_do_not_matter(tiny: SparseEncoder, documents: list[str], batch_size: int) -> None:
    expected = tiny.encode_documents(documents).to_dense()
    found = tiny.encode_documents(documents, batch_size=batch_size).to_dense()
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def test_windows_do_not_matter(tiny: SparseEncoder, documents: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = tiny.encode_documents(documents).to_dense()
    monkeypatch.setattr("lsr.encoders.sparse.transformer.TEXTS_AT_ONCE", 7)
    np.testing.assert_allclose(tiny.encode_documents(documents).to_dense(), expected, atol=1e-5, rtol=0)


def test_order_follows_the_texts(tiny: SparseEncoder, documents: list[str]) -> None:
    forward = tiny.encode_documents(documents).to_dense()
    backward = tiny.encode_documents(documents[::-1]).to_dense()
    np.testing.assert_allclose(backward[::-1], forward, atol=1e-5, rtol=0)


def test_bfloat16_is_close(tiny: SparseEncoder, documents: list[str]) -> None:
    half = load_encoder("tiny", device="cpu", dtype="bfloat16")
    expected = tiny.encode_documents(documents).to_dense()
    found = half.encode_documents(documents).to_dense()
    assert abs(found - expected).max() < 0.25
    np.testing.assert_array_equal(found.any(1), expected.any(1))
    found, expected = found[found.any(1)], expected[found.any(1)]
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.995
    assert half.describe() == {**tiny.describe(), "dtype": "bfloat16"}


@pytest.fixture
def four_threads() -> Iterator[None]:
    """Torch's threads, whatever the machine and the environment give."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_several_threads_give_what_one_gives_and_stay(tiny: SparseEncoder, documents: list[str]) -> None:
    four = tiny.encode_documents(documents).to_dense()
    assert torch.get_num_threads() == 4
    torch.set_num_threads(1)
    np.testing.assert_allclose(four, tiny.encode_documents(documents).to_dense(), atol=1e-5, rtol=0)


def test_a_very_long_text_is_cut_off(tiny: SparseEncoder) -> None:
    word = "pressure "
    vectors = tiny.encode_documents([word * 100_000, word * 254, word * 255])
    dense = vectors.to_dense()
    np.testing.assert_allclose(dense[1:], dense[[0, 0]], atol=1e-5)


def test_white_space_at_the_ends_does_not_count(tiny: SparseEncoder) -> None:
    vectors = tiny.encode_documents(["  blood pressure\n", "blood pressure"])
    np.testing.assert_array_equal(vectors.to_dense()[0], vectors.to_dense()[1])


def test_no_texts(tiny: SparseEncoder) -> None:
    vectors = tiny.encode_documents([])
    assert (len(vectors), vectors.dim) == (0, 30522)


def test_a_text_of_nothing_has_an_empty_row(tiny: SparseEncoder) -> None:
    vectors = tiny.encode_documents(["", "pressure", " \n\t"])
    assert [row.nnz > 0 for row in vectors] == [False, True, False]


def test_texts_that_are_none(tiny: SparseEncoder) -> None:
    with pytest.raises(EncoderError, match="row 1: character 2.*lone surrogate"):
        tiny.encode_documents(["fine", "no\udfff"])
    with pytest.raises(EncoderError, match="row 0.*int"):
        tiny.encode_queries([3])  # type: ignore[list-item]
    with pytest.raises(EncoderError, match="single string"):
        tiny.encode_documents("one text")
    with pytest.raises(ParameterError, match="batch_size"):
        tiny.encode_documents(["a"], batch_size=0)


def test_more_tokens_than_the_model_knows(tmp_path: Path) -> None:
    write_model(tmp_path)
    write_tokenizer(tmp_path, [*SPECIAL, *WORDS, "extra"])
    with pytest.raises(EncoderError, match="has 18 tokens, but vectors have 17 components"):
        load_encoder(tmp_path, device="cpu")


def test_more_rows_than_tokens(tmp_path: Path) -> None:
    write_model(tmp_path, components=24)
    encoder = load_encoder(tmp_path, device="cpu")
    assert encoder.dim == 24
    assert encoder.vocabulary.token(23) == "<unnamed 23>"
    expected = splade_max(tmp_path, TEXTS, 96)
    np.testing.assert_allclose(encoder.encode_documents(TEXTS).to_dense(), expected, atol=1e-4, rtol=0)


def test_a_network_that_gives_nan(tmp_path: Path) -> None:
    path = write_model(tmp_path) / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if name.endswith("position_embeddings.weight"))
    weights[name][40] = float("nan")
    save_file(weights, path, metadata={"format": "pt"})
    encoder = load_encoder(tmp_path, device="cpu")
    assert encoder.encode_documents(["alpha"]).nnz > 0
    with pytest.raises(EncoderError, match="NaN or infinite"):
        encoder.encode_documents(["alpha", "beta " * 50])
    weights[name][:] = float("nan")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(EncoderError, match="NaN or infinite"):
        load_encoder(tmp_path, device="cpu")


def test_interrupted_at_once(tmp_path: Path) -> None:
    """Ctrl-C stops the encoding soon, and leaves no thread that keeps the process alive."""
    code = """
import _thread, signal, threading
from lsr import load_encoder
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
encoder = load_encoder("tiny", device="cpu")
threading.Timer(0.3, _thread.interrupt_main).start()
try:
    encoder.encode_documents(["many words of a long text " * 20] * 100_000)  # many times what run_python waits for
except KeyboardInterrupt:
    print("interrupted")
"""
    done = run_python(code)
    assert done.stdout.split() == ["interrupted"], done.stderr


def test_rotary_positions_stay_exact_in_bfloat16(tmp_path: Path) -> None:
    write_model(tmp_path, "qwen2")
    exact, rounded = (load(tmp_path, dtype=dtype).document_side for dtype in ("float32", "bfloat16"))
    for (name, expected), (_, found) in zip(
        exact.backbone.named_buffers(),
        rounded.backbone.named_buffers(),
        strict=True,  # type: ignore[union-attr]
    ):
        assert torch.equal(expected, found), name
    assert {parameter.dtype for parameter in rounded.backbone.parameters()} == {torch.bfloat16}  # type: ignore[union-attr]


@pytest.mark.usefixtures("four_threads")
def test_new_threads_compute_on_all_cores_after_an_encoding(tiny: SparseEncoder, documents: list[str]) -> None:
    """What a thread of a pool sets is what threads that start later begin with."""
    tiny.encode_documents(documents)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 4


def test_a_network_that_changes_its_logits_is_refused(tmp_path: Path) -> None:
    """Gemma 2 caps logits after its output layer; a head that takes states alone would leave that out."""
    write_tokenizer(tmp_path, [*SPECIAL, *WORDS])
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = transformers.Gemma2Config(
        vocab_size=len(SPECIAL) + len(WORDS), num_hidden_layers=1, head_dim=8, final_logit_softcapping=0.01, **sizes
    )
    transformers.Gemma2ForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match="Gemma2ForCausalLM changes its logits .*; give a model that returns"):
        load(tmp_path)
