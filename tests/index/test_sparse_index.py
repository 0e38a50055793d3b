"""The vocabulary of an index: what is taken for one, and queries by token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr import ExactIndex, ParameterError, SeismicIndex, SparseVectors, VectorsError, Vocabulary, open_index

VECTORS = SparseVectors.from_dense(np.array([[2.0, 0], [0, 1], [1, 1]]))


@pytest.mark.parametrize("kind", [SeismicIndex, ExactIndex])
def test_accepted_and_refused_vocabularies(kind: Any, tmp_path: Path) -> None:
    for given in (Vocabulary(["a", "b"]), ["a", "b"], {"b": 1, "a": 0}):
        kind.build(VECTORS, vocabulary=given).save(tmp_path / "index")
        assert open_index(tmp_path / "index").vocabulary == Vocabulary(["a", "b"])
    with pytest.raises(ParameterError, match="the vocabulary has 1 tokens, but the vectors have 2 components"):
        kind.build(VECTORS, vocabulary=["a"])
    for wrong in (7, "ab", [1, 2]):
        with pytest.raises(VectorsError, match="token"):
            kind.build(VECTORS, vocabulary=wrong)
    VECTORS.write(tmp_path / "v.npz")
    for wrong in (7, ["a"]):
        with pytest.raises(VectorsError, match="token"):
            SeismicIndex.build_from(tmp_path / "v.npz", tmp_path / "built", vocabulary=wrong, memory=1 << 40)


@pytest.mark.parametrize("kind", [SeismicIndex, ExactIndex])
def test_queries_are_dicts_of_the_tokens_of_the_index(kind: Any, tmp_path: Path) -> None:
    kind.build(VECTORS, vocabulary=["a", "b"]).save(tmp_path / "index")
    index = open_index(tmp_path / "index")
    queries: list[Any] = [{"a": 1.0}, {"b": 2.0, "unheard-of": 5.0}, {"unheard-of": 1.0}, {0: 1.0}]
    assert [documents.ids for documents in index.search(queries)] == [["0", "2"], ["1", "2"], [], ["0", "2"]]
    with pytest.raises(VectorsError, match="'a' is a token, but there is no vocabulary"):
        kind.build(VECTORS).search([{"a": 1.0}])
    if kind is SeismicIndex:
        assert index.why([{"a": 1.0}], 2).rank == 2
        assert index.tune([{"a": 1.0}, {"b": 1.0}] * 20, [0.9]).queries == 40
