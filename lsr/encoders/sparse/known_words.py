"""A cache of the tokens of words, because most words of queries occur in other queries, too."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

from lsr.encoders.text_beginnings import states_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST = 1 << 15  # cached words, about 6 MB; then the cache is emptied
LONGEST = 1000  # characters of a text: documents have too many words that occur only once
LONGEST_WORD = 32  # characters of a cached word
# Normalizers that change each ASCII character independently, or not at all.
_BY_CHARACTER = {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"}
_WORD = re.compile(f"[A-Za-z0-9]+|[{re.escape(string.punctuation)}]")


class KnownWords:
    """Composes the tokens of a text from the tokens of its words.

    This gives the same tokens for plain ASCII and a BERT tokenizer, which first splits texts at blanks and punctuation.
    It takes 3 µs per query; the tokenizer takes 19 µs.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._plain = _plain(tokenizer)
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int] | None:
        """All tokens of a text, without special tokens; None if the tokenizer must be used."""
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
    """A pattern of texts whose words can be tokenized separately; None for a tokenizer that may not allow this.

    Added tokens, such as [SEP], are found before words, so texts with a mark of an added token do not match.
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
    allowed = "".join(each for each in string.printable[:-2] if each not in left_out)  # without \v and \f
    return re.compile(f"[{re.escape(allowed)}]*")
