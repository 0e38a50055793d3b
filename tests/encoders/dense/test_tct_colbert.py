"""TCT-ColBERT, against the steps of Pyserini's encoders in NumPy, on a BERT of random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from lsr.errors import EncoderError, ParameterError
from tests.encoders.dense.test_dense_encoder import POSITIONS, SIZES, assert_same, load
from tests.encoders.models import SPECIAL, WORDS, write_tokenizer

TOKENS = [*SPECIAL, *WORDS, "[", "]", "d", "q", ".", "x"]
TEXTS = [
    "alpha beta",
    "",
    "  the sea  of gamma [MASK] running alphas.",
    "Delta [CLS] é [SEP]",
    "run " * 20,
    "sea " * 31 + "alpha",
    "run alpha " * 400,
    "x" * 3000,
]


def write_tct(folder: Path, tokens: Sequence[str] = tuple(TOKENS)) -> Path:
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(3)
    sizes = {**SIZES, "vocab_size": len(tokens), "max_position_embeddings": POSITIONS, "initializer_range": 0.5}
    transformers.BertForPreTraining(transformers.BertConfig(**sizes)).save_pretrained(folder)
    return folder


class Pyserini:
    """TctColBertDocumentEncoder and TctColBertQueryEncoder: one text at a time."""

    def __init__(self, folder: Path) -> None:
        self.model = transformers.BertModel.from_pretrained(folder).eval()
        self.tokenizer = transformers.BertTokenizer.from_pretrained(folder)

    def states(self, text: str, longest: int) -> np.ndarray:
        """Of the tokens behind the first four."""
        inputs = self.tokenizer(
            text, max_length=longest, truncation=True, add_special_tokens=False, return_tensors="pt"
        )
        with torch.no_grad():
            return self.model(**inputs).last_hidden_state[0, 4:].numpy()

    def document(self, text: str) -> np.ndarray:
        states = self.states("[CLS] [D] " + text, POSITIONS)
        return states.sum(0) / max(len(states), 1e-9)

    def query(self, text: str) -> np.ndarray:
        return np.average(self.states("[CLS] [Q] " + text + "[MASK]" * 36, 36), axis=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tct(tmp_path_factory.mktemp("models") / "castorini" / "tct_colbert-v2-hnp-msmarco")


def test_equals_pyserini(folder: Path) -> None:
    encoder, twin = load(folder), Pyserini(folder)
    documents, queries = encoder.encode_documents(TEXTS), encoder.encode_queries(TEXTS)
    assert_same(documents, np.stack([twin.document(text) for text in TEXTS]).astype(np.float32))
    assert_same(queries, np.stack([twin.query(text) for text in TEXTS]))
    assert not documents[1].any()  # nothing follows the four tokens
    assert np.abs(queries - documents).max(1).min() > 0.01
    assert (encoder.dim, encoder.max_length) == (24, POSITIONS)


def test_queries_have_thirty_six_tokens_whatever_documents_have(folder: Path) -> None:
    short = load(folder, max_length=40)
    assert_same(short.encode_queries(TEXTS), load(folder).encode_queries(TEXTS))
    twin = Pyserini(folder)
    expected = [twin.states("[CLS] [D] " + text, 40).mean(0) for text in TEXTS if text]
    assert_same(short.encode_documents([text for text in TEXTS if text]), np.stack(expected))


def test_the_encoder_is_saved_and_described(folder: Path, tmp_path: Path) -> None:
    encoder = load(folder)
    described = encoder.describe()
    assert (described["skipped"], described["query_tokens"]) == (4, 36)
    assert (described["query_prompt"], described["document_prompt"]) == ("[CLS] [Q] ", "[CLS] [D] ")
    encoder.save(tmp_path)
    assert_same(load(tmp_path).encode_queries(TEXTS[:3]), encoder.encode_queries(TEXTS[:3]))


def test_the_name_tells(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").symlink_to(folder)
    assert load(tmp_path / "other").max_length == POSITIONS  # a link is what it leads to
    unknown = write_tct(tmp_path / "mine")
    with pytest.raises(EncoderError, match=r"has no modules\.json.*tct_colbert in its name"):
        load(unknown)
    named = unknown.rename(tmp_path / "my-TCT-ColBERT")
    assert_same(load(named).encode_queries(["sea"]), load(folder).encode_queries(["sea"]))


def test_other_tokenizers_and_lengths_are_refused(tmp_path: Path, folder: Path) -> None:
    for name, tokens in (("tct-colbert-without-mask", TOKENS), ("tct-colbert-of-words", [*SPECIAL, *WORDS, *"[d]q"])):
        other = write_tct(tmp_path / name, tokens)
        write_tokenizer(other, tokens)  # which knows [MASK] as three marks
        with pytest.raises(EncoderError, match="not that of TCT-ColBERT"):
            load(other)
    for length in (1, 4):
        with pytest.raises(ParameterError, match="4 tokens before every text, so it must be at least 5"):
            load(folder, max_length=length)
    assert load(folder, max_length=5).encode_queries(["sea"]).any()
