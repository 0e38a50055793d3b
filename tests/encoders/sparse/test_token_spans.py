"""Where the tokens of a text are, for every kind of encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lsr import encoder_from, load_encoder
from lsr.collections.words import word_places
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.sparse.lookup import LookupSide
from lsr.encoders.sparse.tokens import lowered
from lsr.encoders.sparse.transformer import TransformerSide
from lsr.encoders.spec import BackboneSpec, HeadSpec, LookupSpec, TransformerSpec
from lsr.encoders.token_places import token_places
from tests.encoders.models import write_model

TEXT = "  Alpha unknown\nseas, runs"
PLACES = [("alpha", 2, 7), ("unknown", 8, 15), ("sea", 16, 19), ("##s", 19, 20), (",", 20, 21), ("run", 22, 25)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("lower_case", [False, True])
def test_all_sides_tell_the_same_places(folder: Path, lower_case: bool) -> None:
    backbone = BackboneSpec(config=str(folder), weights=str(folder), tokenizer=str(folder))
    transformer = TransformerSide("it", TransformerSpec(backbone, HeadSpec(), 4, lower_case=lower_case))
    lookup = LookupSide(LookupSpec(tokenizer=str(folder), lower_case=lower_case, max_length=4))
    for side in (transformer, lookup):
        spans = side.spans(TEXT)
        assert spans is not None
        known = [side.vocabulary.id_of(token) for token, _, _ in PLACES]
        assert spans.components[:6].tolist() == [-1 if each is None else each for each in known]
        assert [spans.begins[:6].tolist(), spans.ends[:6].tolist()] == [
            list(each) for each in zip(*PLACES, strict=True)
        ][1:]
        assert spans.ends[-1] == len(TEXT)


def test_lower_case_keeps_places() -> None:
    assert lowered("ÀİB") == "àİb" and lowered("AB") == "ab"


def test_passages_are_counted_by_the_tokens_of_networks_and_by_words() -> None:
    tiny = load_encoder("tiny")
    begins, ends = token_places(tiny)("unbelievably good")
    assert len(begins) > 2 and ends[-1] == 17
    own = encoder_from(lambda texts: np.ones((len(texts), 3)), dim=3)
    for encoder in (BM25Encoder(), own):
        assert token_places(encoder) is word_places
    assert own.spans("text") is None
