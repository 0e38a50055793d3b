"""Tokens of words that a tokenizer has seen before: most words of queries are in other queries, too."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

from lsr.encoders.text_beginnings import states_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST = 1 << 15  # words that are kept, about 6 MB; then all are forgotten
LONGEST = 1000  # characters of a text: documents are full of words that do not come again
LONGEST_WORD = 32  # that is kept
# Normalizers that change each character of plain ASCII by itself, or not at all.
_BY_CHARACTER = {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"}
_WORD = re.compile(f"[A-Za-z0-9]+|[{re.escape(string.punctuation)}]")


class KnownWords:
    """Puts the tokens of a text together from those of its words, as the tokenizer makes them of each word alone.

    That is the same for plain ASCII and a tokenizer of BERT, which splits texts at blanks and punctuation before all
    else. It takes 3 us for a query, where the tokenizer takes 19.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._plain = _plain(tokenizer)
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int] | None:
        """All tokens of a text, without special tokens around them; None where the tokenizer must be asked."""
        if self._plain is None or len(text) > LONGEST or self._plain.fullmatch(text) is None:
            return None
        found: list[int] = []
        known = self._known
        for word in _WORD.findall(text):
            tokens = known.get(word)
            found += self._learned(word) if tokens is None else tokens
        return found

    def _learned(self, word: str) -> list[int]:
        tokens: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        if len(word) <= LONGEST_WORD:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[word] = tokens
        return tokens


def _plain(tokenizer: Tokenizer) -> re.Pattern[str] | None:
    """What texts are made of whose words can be tokenized one by one; None for a tokenizer that is not known to do so.

    An added token, such as [SEP], is found before words are: texts with a mark of one are left out.
    """
    normalizers = {each["type"] for each in states_of(tokenizer.normalizer)}
    splits = states_of(tokenizer.pre_tokenizer)
    if not normalizers <= _BY_CHARACTER or splits != [{"type": "BertPreTokenizer"}]:
        return None
    if type(tokenizer.model).__name__ != "WordPiece":
        return None
    left_out = set()
    for token in tokenizer.get_added_tokens_decoder().values():
        marks = sorted(set(string.punctuation).intersection(token.content))
        if not marks:
            return None
        left_out.add(marks[0])
    allowed = "".join(each for each in string.printable[:-2] if each not in left_out)  # but for \v and \f
    return re.compile(f"[{re.escape(allowed)}]*")
