"""A user's own encoder: functions and small classes, whatever rows they return, in memory and beside an index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from sentence_transformers import SparseEncoder

from lsr import BM25Encoder, Searcher, SeismicIndex, SparseVectors, build_index, encoder_from
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.load import as_encoder, load_encoder
from lsr.errors import EncoderError, LsrError, ParameterError, VectorsError
from tests.retrieval.test_indexing import Doc, Listed

WORDS = ["blood", "heart", "salt"]
TEXTS = ["heart blood", "blood blood", "salt"]
COUNTS = np.array([[1.0, 1, 0], [2, 0, 0], [0, 0, 1]])


def counts(texts: list[str]) -> np.ndarray[Any, Any]:
    return np.array([[float(text.split().count(word)) for word in WORDS] for text in texts])


class Small:
    """The least that there may be."""

    def encode_documents(self, texts: list[str]) -> Any:
        return scipy.sparse.csr_array(counts(texts))

    def encode_queries(self, texts: list[str]) -> Any:
        return scipy.sparse.csr_array(2 * counts(texts))


ROWS: dict[str, Callable[[list[str]], Any]] = {
    "dense": counts,
    "csr": lambda texts: scipy.sparse.csr_matrix(counts(texts)),
    "coo": lambda texts: scipy.sparse.coo_array(counts(texts)),
    "vectors": lambda texts: SparseVectors.from_dense(counts(texts)),
    "torch": lambda texts: torch.tensor(counts(texts)).to_sparse(),
    "tokens": lambda texts: [{word: float(text.split().count(word)) for word in WORDS} for text in texts],
    "components": lambda texts: [{i: row[i] for i in np.flatnonzero(row)} for row in counts(texts)],
}


@pytest.mark.parametrize("form", ROWS)
def test_a_function_may_return_rows_of_any_form(form: str) -> None:
    encoder = encoder_from(ROWS[form], vocabulary=WORDS)
    np.testing.assert_array_equal(encoder.encode_documents(TEXTS).to_dense(), COUNTS)
    assert encoder.encode_documents([]) == encoder.encode_queries([]) == SparseVectors.empty(3)
    assert encoder.encode_documents(TEXTS, batch_size=2) == encoder.encode_queries(TEXTS)
    index = SeismicIndex.build(ROWS["vectors"](TEXTS), ids=["a", "b", "c"])
    [hit] = Searcher(index, encoder, TEXTS).search("blood", k=1)
    assert (hit.doc_id, hit.score, hit.text, hit.explain()) == ("b", 2.0, "blood blood", {"blood": 2.0})


def test_names_dimensions_and_queries() -> None:
    encoder = encoder_from(counts, queries=lambda texts: 3 * counts(texts))
    assert (encoder.name, encoder.dim, encoder.vocabulary.tokens) == ("counts", 3, ("0", "1", "2"))
    np.testing.assert_array_equal(encoder.encode_queries(TEXTS).to_dense(), 3 * COUNTS)
    by_number = encoder_from(ROWS["components"], dim=3, name="mine")
    assert (by_number.name, by_number.dim) == ("mine", 3)
    with pytest.raises(EncoderError, match="returns dicts.*give vocabulary or dim"):
        _ = encoder_from(ROWS["components"]).dim
    with pytest.raises(EncoderError, match="dim is 4, but the vocabulary has 3 tokens"):
        encoder_from(counts, dim=4, vocabulary=WORDS)
    of_tokenizer = encoder_from(ROWS["tokens"], vocabulary={"salt": 2, "blood": 0, "heart": 1})
    np.testing.assert_array_equal(of_tokenizer.encode_documents(TEXTS).to_dense(), COUNTS)


def test_an_object_with_two_methods_is_taken_wherever_an_encoder_is() -> None:
    index = SeismicIndex.build(Small().encode_documents(TEXTS))
    for given in (Small(), counts, encoder_from(Small(), vocabulary=WORDS)):
        assert [hit.row for hit in Searcher(index, given).search("blood")] == [1, 0]
    assert Searcher(index, Small()).search("salt")[0].score == 2.0

    class AsInSentenceTransformers:
        def encode_document(self, texts: list[str]) -> Any:
            return torch.tensor(counts(texts)).to_sparse_csr()

        def encode_query(self, texts: list[str]) -> Any:
            return torch.tensor(counts(texts)).to_sparse()

    assert Searcher(index, AsInSentenceTransformers()).search("blood")[0].row == 1
    fitted = BM25Encoder().fit(TEXTS)
    assert as_encoder(fitted) is fitted


def test_the_number_of_components_is_that_of_the_rows_at_hand() -> None:
    asked: list[list[str]] = []

    def own(texts: list[str]) -> Any:
        asked.append(texts)
        return counts(texts)

    encoder = encoder_from(own)
    encoder.encode_queries(["mine"])
    assert encoder.dim == 3 and asked == [["mine"]]
    assert encoder_from(own).dim == 3 and asked[1:] == [["text"]]
    with pytest.raises(EncoderError, match="returns dicts.*give vocabulary or dim"):
        encoder_from(ROWS["components"]).encode_queries(["blood"])
    wayward = encoder_from(lambda texts: np.ones((len(texts), len(texts))))
    wayward.encode_documents(["a", "b"])
    with pytest.raises(EncoderError, match="returns 1 rows of 1 components .* must return one row of 2 components"):
        wayward.encode_documents(["a"])
    with pytest.raises(
        EncoderError, match=r"failed to encode the text 'text', .*KeyError\('text'\).*encoder_from\(\.\.\., dim="
    ):
        _ = encoder_from(lambda texts: [{}[text] for text in texts]).dim


def test_tokens_of_queries_are_those_of_the_index(tmp_path: Path) -> None:
    SeismicIndex.build(counts(TEXTS), vocabulary=WORDS).save(tmp_path / "index")
    named: Callable[[list[str]], Any] = lambda texts: [dict.fromkeys(text.split(), 1.0) for text in texts]  # noqa: E731
    index = SeismicIndex.open(tmp_path / "index")
    for searcher in (Searcher(index, named), Searcher.open(tmp_path / "index", encoder=named)):
        [hit] = searcher.search("salt and vinegar")
        assert hit.explain() == {"salt": 1.0}


def test_rows_that_do_not_fit() -> None:
    with pytest.raises(EncoderError, match="returns 1 rows of 3 components for 2 texts"):
        encoder_from(lambda texts: counts(texts[:1])).encode_documents(["a", "b"])
    with pytest.raises(EncoderError, match="must return one row of 4 components"):
        encoder_from(counts, dim=4).encode_queries(["a"])
    with pytest.raises(ParameterError, match="the rows of encoder 'none' are of type NoneType; give SparseVectors"):
        encoder_from(lambda texts: None, dim=3, name="none").encode_queries(["a"])
    with pytest.raises(VectorsError, match="token 'x' is not in the vocabulary"):
        encoder_from(lambda texts: [{"x": 1.0}], vocabulary=WORDS).encode_documents(["a"])
    for given, message in ((Small, r"is the class Small; give an instance: Small\(\)"), (7, "is of type int")):
        with pytest.raises(EncoderError, match=message):
            as_encoder(given)  # type: ignore[arg-type]


def test_an_index_of_an_own_encoder_takes_it_again(tmp_path: Path) -> None:
    collection = Listed([Doc(f"d{i}", text) for i, text in enumerate(TEXTS)])
    mine = encoder_from(ROWS["tokens"], vocabulary=WORDS)
    build_index(collection, tmp_path / "index", mine)
    with pytest.raises(
        EncoderError, match=r"your own code, which is not stored; give it: Searcher.open\(index, encoder=...\)"
    ):
        Searcher.open(tmp_path / "index")
    [hit] = Searcher.open(tmp_path / "index", encoder=mine).search("salt")
    assert (hit.doc_id, hit.text, hit.explain()) == ("d2", "salt", {"salt": 1.0})
    with pytest.raises(EncoderError, match="was built with another vocabulary than that of '<lambda>'"):
        Searcher.open(
            tmp_path / "index", encoder=encoder_from(ROWS["dense"], vocabulary=["a", "b", "c"], name="<lambda>")
        )
    with pytest.raises(EncoderError, match="makes vectors of 4 components, but those of the index have 3"):
        Searcher.open(tmp_path / "index", encoder=encoder_from(lambda texts: counts(texts), dim=4))


def test_an_own_encoder_that_can_save_is_kept(tmp_path: Path) -> None:
    class Saving(BM25Encoder):
        """Of which load_encoder reads what it saves."""

        def __init__(self) -> None:
            super().__init__()
            self.fit(TEXTS)

    class Wrapped:
        inner = Saving()
        dim, vocabulary = inner.dim, inner.vocabulary

        def encode_documents(self, texts: list[str]) -> SparseVectors:
            return self.inner.encode_documents(texts)

        def encode_queries(self, texts: list[str]) -> SparseVectors:
            return self.inner.encode_queries(texts)

        def save(self, folder: str) -> None:
            self.inner.save(folder)

    build_index(Listed([Doc("a", TEXTS[0])]), tmp_path / "index", Wrapped())
    assert isinstance(load_encoder(tmp_path / "index" / "encoder-000001"), BM25Encoder)
    assert Searcher.open(tmp_path / "index").search("heart")[0].doc_id == "a"


def test_an_index_of_vectors_is_searched_with_the_encoder_given(tmp_path: Path) -> None:
    fitted = BM25Encoder().fit(TEXTS)
    SeismicIndex.build(fitted.encode_documents(TEXTS)).save(tmp_path / "index")
    fitted.save(tmp_path / "encoder")
    with pytest.raises(EncoderError, match=r"has no encoder.*Searcher.open\(folder, encoder=...\)"):
        Searcher.open(tmp_path / "index")
    for given in (fitted, tmp_path / "encoder", str(tmp_path / "encoder")):
        assert Searcher.open(tmp_path / "index", encoder=given).search("salt")[0].row == 2
    with pytest.raises(LsrError, match="not fitted"):
        Searcher.open(tmp_path / "index", encoder="bm25")


def test_an_encoder_meets_the_tokens_of_vectors_that_it_made(tmp_path: Path) -> None:
    encoder = encoder_from(ROWS["tokens"], vocabulary=WORDS)
    encoder.encode_documents(TEXTS[:2]).write(tmp_path / "v.jsonl", encoder.vocabulary)  # none has "salt"
    build_index(tmp_path / "v.jsonl", tmp_path / "index")
    searcher = Searcher.open(tmp_path / "index", encoder=encoder)
    assert searcher.index.dim == 2
    first, second = searcher.search("salt blood heart")
    assert (first.row, first.explain()) == (0, {"blood": 1.0, "heart": 1.0})
    assert (second.row, second.explain()) == (1, {"blood": 2.0})
    with pytest.raises(EncoderError, match="makes vectors of 3 components, but those of the index have 2"):
        Searcher.open(tmp_path / "index", encoder=encoder_from(ROWS["dense"], vocabulary=["a", "blood", "c"]))


def test_a_model_of_sentence_transformers_is_an_encoder() -> None:
    model = SparseEncoder(str(find_checkpoint("tiny").folder), device="cpu")
    encoder = encoder_from(model, vocabulary=model.tokenizer.get_vocab())
    ours = load_encoder("tiny")
    assert encoder.vocabulary == ours.vocabulary
    theirs, expected = encoder.encode_documents(TEXTS), ours.encode_documents(TEXTS)
    np.testing.assert_allclose(theirs.to_dense(), expected.to_dense(), atol=1e-5)
    index = SeismicIndex.build(model.encode_document(TEXTS))
    for queries in (model.encode_query("heart"), model.encode_query(["heart"], convert_to_tensor=False)):
        assert index.search(queries, 1).rows.tolist() == [[0]]
    terms = Searcher(index, encoder, TEXTS).search("heart")[0].explain()
    assert next(iter(terms)) == "heart"
