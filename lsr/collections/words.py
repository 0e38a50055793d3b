"""Words of a text, also in scripts without spaces between words."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt

# Thai and Lao, Myanmar, Hangul's letters, Khmer, Kana and Bopomofo, Han, Myanmar, Hangul, Han beyond the first plane.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua9e0-\ua9ff\uaa60-\uaa7f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U000323af"
)
_JOINED = "\u200c\u200d\ufe0e\ufe0f"  # characters that belong to the previous one, like marks
_OTHER, _BLANK, _UNSPACED = range(3)


def word_places(text: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The begins and ends of the words of a text, int64[words] each.

    Words are separated by blanks. In scripts without spaces, each character is a word.
    """
    kinds = _kinds()[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)]
    other, alone = kinds == _OTHER, kinds == _UNSPACED
    first, last = other.copy(), other.copy()
    first[1:] &= ~other[:-1]
    last[:-1] &= ~other[1:]
    return np.flatnonzero(first | alone), np.flatnonzero(last | alone) + 1


def whole_character(text: str, at: int, least: int) -> int:
    """`at`, or the nearest place before it that does not separate a mark from its letter; at least `least`."""
    place = at
    while place > least and (text[place] in _JOINED or unicodedata.category(text[place])[0] == "M"):
        place -= 1
    return place if place > least else at


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """The kind of each character."""
    kinds = np.zeros(sys.maxunicode + 1, np.uint8)
    kinds[[code for code in range(0x3001) if chr(code).isspace()]] = _BLANK
    for first, last in zip(UNSPACED[::3], UNSPACED[2::3], strict=True):
        kinds[ord(first) : ord(last) + 1] = _UNSPACED
    return kinds
