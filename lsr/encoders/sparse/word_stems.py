"""Stems of the words of a vocabulary."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lsr.encoders.bm25_words import FUNCTION_WORDS
from lsr.encoders.snowball import stems
from lsr.extras import need
from lsr.vectors.vocabulary import Vocabulary

SHORTEST_STEMMED = 3  # characters


def content_tokens(vocabulary: Vocabulary) -> npt.NDArray[np.bool_]:
    """Whether a token has a letter or digit, and is not a function word: bool [components]."""
    return np.array([token not in FUNCTION_WORDS and any(map(str.isalnum, token)) for token in vocabulary.tokens])


def stems_of(vocabulary: Vocabulary) -> npt.NDArray[np.int64]:
    """int64 [components]: for each component, the first one with its stem; itself if no other has it.

    Words of letters except function words are stemmed by Snowball's English stemmer. Raises MissingExtraError.
    """
    need("components of stems", "Stemmer")
    found = np.arange(len(vocabulary))
    words = [
        (component, token)
        for component, token in enumerate(vocabulary.tokens)
        if token.isalpha() and len(token) >= SHORTEST_STEMMED and token not in FUNCTION_WORDS
    ]
    first: dict[str, int] = {}
    for (component, _), stem in zip(words, stems("english", [word for _, word in words]), strict=True):
        found[component] = first.setdefault(stem, component)
    return found
