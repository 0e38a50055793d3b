"""Token places as an encoder counts tokens, so that passages fit its maximum length."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lsr.collections.words import word_places
from lsr.encoders.base import Encoder
from lsr.encoders.bm25 import BM25Encoder

Places = npt.NDArray[np.int64]


def token_places(encoder: Encoder) -> Callable[[str], tuple[Places, Places]]:
    """The function for PassageSplit: the tokens of a network, or the words of a text for all other encoders."""
    if isinstance(encoder, BM25Encoder) or encoder.spans("") is None:
        return word_places

    def places(text: str) -> tuple[Places, Places]:
        spans = encoder.spans(text)
        assert spans is not None
        return spans.begins, spans.ends

    return places
