"""Document: what its parts are worth by themselves."""

from __future__ import annotations

import copy
import pickle

import pytest

from lsr.collections.sources import Document


def test_without_metadata_a_document_is_equal_hashed_copied_and_pickled_as_a_tuple() -> None:
    plain = Document("a", "", "text")
    assert plain == Document("a", "", "text", {}) == pickle.loads(pickle.dumps(plain)) == copy.deepcopy(plain)
    assert pickle.loads(pickle.dumps(plain)).metadata is plain.metadata
    assert {plain: 1}[Document("a", "", "text")] == 1
    assert (repr(plain.metadata), dict(plain.metadata), plain.metadata.get("year")) == ("{}", {}, None)
    with pytest.raises(TypeError):
        plain.metadata["year"] = 2020  # type: ignore[index]
