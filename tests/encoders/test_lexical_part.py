"""The method lexical-doc: stems, what is stored of it, and the IDF that is counted in what is indexed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lsr
from lsr.encoders.build import build_encoder
from lsr.encoders.idf import idf_of_texts
from lsr.encoders.load import load_encoder
from lsr.encoders.sparse.lookup import LookupSide
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.encoders.sparse.tokens import FolderTokenizer
from lsr.encoders.sparse.word_stems import stems_of
from lsr.vectors.vocabulary import Vocabulary
from tests.encoders.models import SPECIAL, write_model, write_tokenizer

TEXTS = ["alpha beta sea", "sea of the sea", "run run beta"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lexical")
    idf = np.linspace(0.5, 2, 17, dtype=np.float32)
    build_encoder("lexical-doc", write_model(folder / "backbone"), idf=idf, device="cpu").save_pretrained(folder / "it")
    return folder / "it"


def test_stems() -> None:
    words = ["[CLS]", "run", "runs", "running", "##s", "be", "his", "hi", "sea", "seas", "4th"]
    assert stems_of(Vocabulary(words)).tolist() == [0, 1, 1, 1, 4, 5, 6, 7, 8, 8, 10]


def test_an_index_counts_its_own_idf(saved: Path, tmp_path: Path) -> None:
    encoder = load_encoder(saved, device="cpu")
    assert isinstance(encoder, SparseEncoder) and not encoder.fitted
    expected = encoder.encode_documents(TEXTS)
    searcher = lsr.build_index(TEXTS, tmp_path / "index", encoder)
    side = load_encoder(saved, device="cpu").query_side  # type: ignore[attr-defined]
    assert isinstance(side, LookupSide)
    table = idf_of_texts(TEXTS, side.tokens)
    for each in (searcher, lsr.Searcher.open(tmp_path / "index")):
        query = each.encoder.encode_queries(["the sea, the"]).to_dense()[0]
        wanted = np.zeros_like(query)
        for token, count in (("the", 2), ("sea", 1)):
            component = side.vocabulary.id_of(token)
            assert component is not None
            wanted[component] = count * table[component]
        np.testing.assert_allclose(query, wanted, rtol=1e-6)
        assert each.encoder.encode_documents(TEXTS) == expected
    assert len({hit.doc_id for hit in searcher.search("sea")}) >= 2


def test_words_of_a_stem_have_one_number(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, [*SPECIAL, "run", "runs", "of", "running"])
    tokens, first = FolderTokenizer(tmp_path, stemmed=True), len(SPECIAL)
    assert tokens.ids(["Running of runs", "run"], 9) == [[first, first + 2, first], [first]]
    assert tokens.spans("of runs").components.tolist() == [first + 2, first]


def test_words_beyond_the_network_count(saved: Path) -> None:
    """The network reads the first max_length tokens, and the lexical part reads all, in any order."""
    encoder = load_encoder(saved, device="cpu", max_length=6)
    assert isinstance(encoder, SparseEncoder)
    begin, end = "sea sea sea sea", "alpha beta run"
    found = encoder.encode_documents([f"{begin} {end}", f"{begin} run beta alpha", begin, ""])
    assert found[0] == found[1] and len(found[3].values) == 0
    components = [encoder.vocabulary.id_of(word) for word in ("alpha", "beta", "run")]
    assert (found[0].to_dense()[0, components] > 0).all() and encoder.literal(f"{begin} {end}") >= set(components)
