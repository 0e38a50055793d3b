"""Document expansion: the words that an encoder gives a text and that the text lacks."""

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
_BLANKS = str.maketrans("Ġ▁", "  ")  # how tokens of byte-level BPE and of SentencePiece begin that begin a word
_BEFORE = "a"


class TermExpander(HasFacts):
    """From texts to the words to put after each, heaviest first; what load_encoder and build_encoder take as expander.

    Of the k heaviest terms of a document those that are not among its tokens: TILDE's expansion of passages (Zhuang and
    Zuccon 2021, Fast Passage Re-ranking with Contextualized Exact Term Matching and Efficient Passage Expansion), whose
    code takes k = 200. Left out are function words, and tokens that are no word by themselves, such as punctuation and
    pieces of words: as text they would be read otherwise.

    encoder: any whose documents have terms that the texts lack: `tilde`, SPLADE. Raises ParameterError for k below 1,
    EncoderError for an encoder that is not fitted.
    """

    def __init__(self, encoder: Encoder, k: int = MOST_TERMS) -> None:
        check_whole("k", k)
        if not encoder.fitted:
            raise EncoderError(f"{encoder.name}: is not fitted and has no terms; expand by tilde, SPLADE or their like")
        self.encoder, self.k = encoder, k
        self._words: dict[int, str] = {}

    def __call__(self, texts: Sequence[str], batch_size: int | None = None) -> list[str]:
        """Words with blanks between them, "" where there are none. Raises as the encoder does."""
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
        """JSON: what decides the words."""
        return {"encoder": self.encoder.describe(), "k": self.k}

    def _tokens(self, text: str) -> set[int]:
        """The components of all tokens of the text, also of those that the encoder no longer reads."""
        spans = self.encoder.spans(text)
        return self.encoder.literal(text) if spans is None else set(spans.components.tolist())

    def _word(self, component: int) -> str:
        """The word that is this component, and nothing else, when it stands in a text; "" for none."""
        if component not in self._words:
            word = self.encoder.vocabulary.token(component).translate(_BLANKS).strip()
            fits = word.isalnum() and word.lower() not in FUNCTION_WORDS and self._stays(word, component)
            self._words[component] = word if fits else ""
        return self._words[component]

    def _stays(self, word: str, component: int) -> bool:
        before, after = self.encoder.spans(_BEFORE), self.encoder.spans(f"{_BEFORE} {word}")
        if before is None or after is None:  # of one's own, with words for tokens
            return True
        return bool(after.components.tolist() == [*before.components.tolist(), component])
