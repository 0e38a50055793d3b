"""Tokenizing the beginning of long texts: the rest is cut off before tokenization."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Tokens = TypeVar("Tokens")

_CHARACTERS = 16  # per token: most texts have fewer, and are tokenized in one step
_LONGEST = 200  # ASCII letters and digits, more than WordPiece reads in a word
_LONG_WORD = re.compile(f"([A-Za-z0-9]{{{_LONGEST}}})[A-Za-z0-9]+")
_BEFORE_BLANK = "[\\w!-~\u2010-\u2027]"  # letters, digits, punctuation of ASCII, dashes, quotes, dots
# Normalizers that treat pieces between white space independently.
_LOCAL = {
    *("BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Precompiled", "Prepend", "Strip", "StripAccents"),
}


class TextBeginnings:
    """Cuts texts at places where the tokenizer starts anew, so that the tokens before are those of the whole text.

    A tokenizer that may not first split texts at white space gets whole texts.
    """

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self._border = None if tokenizer is None else _border(tokenizer)
        self._shortens = tokenizer is not None and _shortens(tokenizer)

    @classmethod
    def of(cls, tokenizer: Any) -> TextBeginnings:
        """Cuts for a tokenizer of transformers. No cuts if it is written in Python, or truncates at the beginning."""
        return cls(None if tokenizer.truncation_side == "left" else getattr(tokenizer, "backend_tokenizer", None))

    def tokenize(
        self,
        texts: Sequence[str],
        wanted: int,
        tokenize: Callable[[list[str]], Sequence[Tokens]],
        length: Callable[[Tokens], int],
    ) -> list[Tokens]:
        """The tokens of each text, or of a beginning that has the first `wanted` tokens of the whole text."""
        characters = _CHARACTERS * wanted
        if self._shortens:
            texts = [_LONG_WORD.sub(r"\1", text) if len(text) > characters else text for text in texts]
        found: dict[int, Tokens] = {}
        rest = list(range(len(texts)))
        while rest:
            found.update(zip(rest, tokenize([self._cut(texts[text], characters) for text in rest]), strict=True))
            rest = [text for text in rest if length(found[text]) < wanted and len(texts[text]) > characters]
            characters *= _CHARACTERS
        return [found[text] for text in range(len(texts))]

    def _cut(self, text: str, characters: int) -> str:
        if self._border is None or len(text) <= characters:
            return text
        border = self._border.search(text, characters)
        return text if border is None else text[: border.end()]


def _added(tokenizer: Tokenizer) -> list[str]:
    return [token.content for token in tokenizer.get_added_tokens_decoder().values()]


def _shortens(tokenizer: Tokenizer) -> bool:
    """Whether a word longer than _LONG_WORD is one unknown token, so that it can be shortened."""
    limit = getattr(tokenizer.model, "max_input_chars_per_word", None)  # only WordPiece has this limit
    splits = states_of(tokenizer.pre_tokenizer)
    return (
        splits == [{"type": "BertPreTokenizer"}]
        and isinstance(limit, int)
        and limit < _LONGEST
        and not any(each.isalnum() for each in _added(tokenizer))
    )


def _border(tokenizer: Tokenizer) -> re.Pattern[str] | None:
    """A pattern of places before white space where a text can be cut; None if this may not be safe.

    The character before is a letter or plain punctuation: other characters could form a grapheme with the blank. BERT
    makes a token of each punctuation mark, so it can also be cut there, except at marks of added tokens.
    """
    normalizers, splits = states_of(tokenizer.normalizer), states_of(tokenizer.pre_tokenizer)
    local = {each["type"] for each in normalizers} <= _LOCAL
    added = _added(tokenizer)
    if not splits or not local or any(re.search(r"\S\s", each) for each in added):
        return None
    border = f"{_BEFORE_BLANK}(?=[ \t\n\r])"
    match splits[0]:
        case {"type": "BertPreTokenizer"}:
            marks = set(string.punctuation).difference(*added)
            if marks:
                border += f"|[{re.escape(''.join(marks))}](?=[!-~])"
            if any(each.get("handle_chinese_chars") for each in normalizers):
                border += "|[\u4e00-\u9fff](?=[\u4e00-\u9fff])"
        case {"type": "Whitespace" | "WhitespaceSplit"} | {"type": "ByteLevel", "use_regex": True}:
            pass
        case {"type": "Metaspace", "split": True}:
            border = f"{_BEFORE_BLANK}(?= )"
        case _:
            return None
    return re.compile(border)


def states_of(part: Any) -> list[dict[str, Any]]:
    """The settings of a normalizer or pre-tokenizer, or of all parts of a sequence."""
    if part is None:
        return []
    state = json.loads(part.__getstate__())
    listed: list[dict[str, Any]] = state.get("normalizers", state.get("pretokenizers", [state]))
    return listed
