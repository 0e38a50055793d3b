"""Document expansion: words that an encoder predicts and that the text lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lsr.checks import check_whole
from lsr.display import HasFacts
from lsr.encoders.base import Encoder, encodable
from lsr.encoders.bm25_words import FUNCTION_WORDS
from lsr.errors import EncoderError

MOST_TERMS = 200
_BLANKS = str.maketrans("Ġ▁", "  ")  # first characters of tokens that begin a word, in byte-level BPE and SentencePiece
_BEFORE = "a"


class TermExpander(HasFacts):
    """Predicts words to append to documents, heaviest first. An expander for load_encoder and build_encoder.

    encoder: an encoder whose documents have terms that the texts lack, such as `tilde` or SPLADE.
    k: the number of heaviest terms of a document to consider.

    Appends those of the k heaviest terms of a document that are not among its tokens: TILDE's expansion of passages
    (Zhuang and Zuccon 2021, Fast Passage Re-ranking with Contextualized Exact Term Matching and Efficient Passage
    Expansion), with k = 200 in its code. Function words are skipped, and tokens that are not words, such as punctuation
    and pieces of words, because they would be tokenized differently in a text. Raises ParameterError for k below 1,
    EncoderError for an encoder that is not fitted.
    """

    def __init__(self, encoder: Encoder, k: int = MOST_TERMS) -> None:
        check_whole("k", k)
        if not encoder.fitted:
            raise EncoderError(
                f"{encoder.name}: is not fitted and has no terms; use an encoder with expansion, such as tilde or "
                "SPLADE"
            )
        self.encoder, self.k = encoder, k
        self._words: dict[int, str] = {}

    def __call__(self, texts: Sequence[str], batch_size: int | None = None) -> list[str]:
        """The words for each text, separated by blanks; "" for none. Raises the errors of the encoder."""
        checked = encodable(texts)
        vectors = self.encoder.encode_documents(checked, batch_size)
        expansions = []
        for row, text in enumerate(checked):
            components, weights = vectors.row(row)
            heaviest = components[np.lexsort((components, -weights))][: self.k].tolist()
            known = self._tokens(text)
            words = [self._word(component) for component in heaviest if component not in known]
            expansions.append(" ".join(filter(None, words)))
        return expansions

    def _facts(self) -> dict[str, object]:
        return {"encoder": self.encoder.name, "k": self.k}

    def describe(self) -> dict[str, Any]:
        """A description as JSON: everything that determines the words."""
        return {"encoder": self.encoder.describe(), "k": self.k}

    def _tokens(self, text: str) -> set[int]:
        """The components of all tokens of the text, also beyond the encoder's maximum length."""
        spans = self.encoder.spans(text)
        return self.encoder.literal(text) if spans is None else set(spans.components.tolist())

    def _word(self, component: int) -> str:
        """The word whose only token is this component; "" if there is none."""
        if component not in self._words:
            word = self.encoder.vocabulary.token(component).translate(_BLANKS).strip()
            fits = word.isalnum() and word.lower() not in FUNCTION_WORDS and self._stays(word, component)
            self._words[component] = word if fits else ""
        return self._words[component]

    def _stays(self, word: str, component: int) -> bool:
        before, after = self.encoder.spans(_BEFORE), self.encoder.spans(f"{_BEFORE} {word}")
        if before is None or after is None:  # a user's encoder with words as tokens
            return True
        return bool(after.components.tolist() == [*before.components.tolist(), component])
