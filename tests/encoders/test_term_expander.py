"""Words that documents are expanded with: by hand, and as other readings of the text would have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lsr import build_encoder, encoder_from, load_encoder
from lsr.encoders.term_expander import TermExpander
from lsr.errors import EncoderError, ParameterError
from tests.encoders.models import write_model


def weights(text: str) -> dict[str, float]:
    """Heaviest first: sea, run, gamma, of, ##s, beta."""
    order = ["sea", "run", "gamma", "of", "##s", "[SEP]", "beta"]
    return {token: 9.0 - place for place, token in enumerate(order)} if text else {}


def test_the_heaviest_terms_that_the_text_lacks() -> None:
    tokens = ["sea", "run", "gamma", "of", "##s", "[SEP]", "beta"]
    encoder = encoder_from(lambda texts: [weights(text) for text in texts], vocabulary=tokens)
    # k counts before anything is left out, and function words and pieces are left out.
    assert TermExpander(encoder, 3)(["anything", ""]) == ["sea run gamma", ""]
    assert TermExpander(encoder, 7)(["anything"]) == ["sea run gamma beta"]


def test_tokens_of_the_text_are_not_added_though_the_network_reads_no_further(tmp_path: Path) -> None:
    encoder = build_encoder("splade-max", write_model(tmp_path), device="cpu", max_length=4)
    text = "alpha beta gamma run sea"  # of which it reads two
    dense = encoder.encode_documents([text]).to_dense()[0]
    found = TermExpander(encoder)([text])[0].split()
    order = [encoder.vocabulary.token(int(each)) for each in np.argsort(-dense, kind="stable") if dense[each] > 0]
    assert found == [token for token in order if token in ("delta", "e")]
    assert found


def test_added_words_are_tokenized_as_the_predicted_terms() -> None:
    encoder = load_encoder("tiny")
    text = "Salt raises blood pressure."
    added = TermExpander(encoder, 50)([text])[0]
    components, heaviness = encoder.encode_documents([text]).row(0)
    heaviest = set(components[np.argsort(-heaviness)][:50].tolist())
    tokens = encoder.literal(f"{text} {added}") - encoder.literal(text)
    assert len(tokens) == len(added.split()) > 5
    assert tokens <= heaviest
    assert not tokens & {encoder.vocabulary.id_of(each) for each in ("the", "of", ".", "##s")}


def test_an_expander_of_an_encoder() -> None:
    expander = TermExpander(load_encoder("tiny"), 20)
    encoder = load_encoder("tiny", expander=expander)
    text = "Salt raises blood pressure."
    expected = load_encoder("tiny").encode_documents([f"{text} {expander([text])[0]}"])
    assert encoder.encode_documents([text]) == expected


def test_encoders_without_expansion_are_refused() -> None:
    with pytest.raises(
        EncoderError,
        match="bm25: is not fitted and has no terms; use an encoder with expansion, such as tilde or SPLADE",
    ):
        TermExpander(load_encoder("bm25"))
    with pytest.raises(ParameterError, match="k is 0"):
        TermExpander(load_encoder("tiny"), 0)
