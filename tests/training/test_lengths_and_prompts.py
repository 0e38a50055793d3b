"""Lengths and prompts of queries and of documents: in batches, in what is saved, and when training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.encoders.build import build_encoder
from lsr.encoders.load import load_encoder
from lsr.encoders.spec import LookupSpec
from lsr.errors import ParameterError
from lsr.training.model import TrainableEncoder
from lsr.training.start import start_encoder
from lsr.training.training_config import read_training
from tests.encoders.models import write_model
from tests.training.trained import train_here, write_config

TEXTS = ["alpha beta gamma delta sea run", "sea"]
READ = {"max_length": 7, "query_max_length": 5, "query_prompt": "the ", "document_prompt": "of "}
AS_TOML = "\n".join(f"{name} = {value!r}" for name, value in READ.items())


def tokens_of(encoder: Any, ids: Any) -> list[str]:
    return [encoder.vocabulary.token(int(each)) for each in ids]


@pytest.mark.parametrize("method", ["splade-max", "distilsplade-sep", "splade-doc", "unicoil"])
def test_batches_hold_prompts_and_no_more_tokens_than_are_read(method: str, tmp_path: Path) -> None:
    encoder = build_encoder(method, write_model(tmp_path), **READ)  # type: ignore[arg-type]
    model = TrainableEncoder(encoder)
    queries, documents = model.batch(TEXTS, True), model.batch(TEXTS, False)
    assert documents.tokens is not None
    assert tokens_of(encoder, documents.tokens.ids[0]) == ["[CLS]", "of", "alpha", "beta", "gamma", "delta", "[SEP]"]
    if queries.tokens is None:
        assert queries.bags is not None
        found = [tokens_of(encoder, queries.bags[1][queries.bags[0] == text]) for text in range(2)]
        assert [set(each) for each in found] == [{"the", "alpha", "beta", "gamma", "delta"}, {"the", "sea"}]
    else:
        assert tokens_of(encoder, queries.tokens.ids[0]) == ["[CLS]", "the", "alpha", "beta", "[SEP]"]
        assert tokens_of(encoder, queries.tokens.ids[1][:4]) == ["[CLS]", "the", "sea", "[SEP]"]


@pytest.mark.parametrize("method", ["splade-max", "distilsplade-sep", "splade-doc", "unicoil", "prosper-bert"])
def test_a_trained_encoder_keeps_them(method: str, tmp_path: Path) -> None:
    encoder = f'method = "{method}"\nbackbone = "{tmp_path / "model"}"\n{AS_TOML}'
    train_here(write_config(tmp_path, "steps = 2", encoder=encoder, regularizer=""))
    folder = tmp_path / "out" / "encoder"
    loaded = load_encoder(folder)
    assert (loaded.spec.query.max_length, loaded.spec.query.prompt) == (5, "the ")
    assert (loaded.spec.document.max_length, loaded.spec.document.prompt) == (7, "of ")
    plain = load_encoder(folder, max_length=7)  # one length of both, where no shorter one was saved
    assert (plain.spec.query.max_length, plain.spec.document.max_length) == (5, 7)
    shared = method in ("splade-max", "unicoil", "prosper-bert")
    assert len(list(folder.rglob("model.safetensors"))) == (1 if shared else 2)
    for encode in (loaded.encode_queries, loaded.encode_documents):
        rows = encode([TEXTS[0], TEXTS[0] + " sea sea"]).to_dense()
        np.testing.assert_array_equal(rows[0], rows[1])  # the end is not read
    if not isinstance(loaded.spec.query, LookupSpec):
        assert loaded.query_side.backbone is loaded.document_side.backbone or not shared

    config = read_training(write_config(tmp_path, encoder=f'start = "{folder}"')).encoder
    assert start_encoder(config, "cpu", 0, False, None).spec == loaded.spec
    more = 'query_prompt = ""\ndocument_prompt = "run "\nquery_max_length = 6'
    config = read_training(write_config(tmp_path, encoder=f'start = "{folder}"\n{more}')).encoder
    changed = start_encoder(config, "cpu", 0, False, None).spec
    assert (changed.query.prompt, changed.query.max_length) == ("", 6)
    assert (changed.document.prompt, changed.document.max_length) == ("run ", 7)


def test_invalid_lengths_and_prompts_are_refused(tmp_path: Path) -> None:
    for options, said in (
        ({"query_max_length": 0}, "query_max_length is 0"),
        ({"query_max_length": 2}, "it must be at least 3"),
        ({"query_prompt": None}, "query_prompt"),
        ({"document_prompt": "\ud800"}, "document_prompt"),
    ):
        with pytest.raises(ParameterError, match=said):
            build_encoder("splade-max", write_model(tmp_path), **options)  # type: ignore[arg-type]
