"""Tokenizers of BM25: plain words, stems, or the tokenizer of a model."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lsr.encoders.bm25_words import FUNCTION_WORDS, token_spans, tokenize
from lsr.encoders.folders.find import BUNDLED, absolute_name, named_checkpoint
from lsr.encoders.snowball import snowball_languages, snowball_version, stems
from lsr.errors import EncoderError, LsrWarning, ParameterError

PLAIN = "plain"
OF_MODEL = "model"  # in encoder.json: the tokenizer is in the same folder
TOKENIZER_FOLDER = "tokenizer"
DROP_FUNCTION_WORDS = (PLAIN, "english", "porter")  # tokenizers that drop English function words
_BIGRAMS = "bigrams"
_UNLIMITED = 1 << 40  # tokens of a text


class Words:
    """Words or stems. name: "plain", or a language of Snowball.

    cut_runs: whether scripts without spaces are split into pairs of characters.
    """

    def __init__(self, name: str = PLAIN, cut_runs: bool = True) -> None:
        self.name = name
        self._cut_runs = cut_runs
        self._left_out = FUNCTION_WORDS if name in DROP_FUNCTION_WORDS else frozenset[str]()

    def tokens(self, text: str, query: bool = False) -> Sequence[str]:
        """The tokens of a text, in order."""
        words = tokenize(text, self._cut_runs, query, self._left_out)
        return words if self.name == PLAIN else stems(self.name, words)

    def spans(self, text: str) -> Iterator[tuple[str, int, int]]:
        """The tokens of a document, each with its begin and end in characters."""
        found = list(token_spans(text, self._cut_runs, self._left_out))
        words = [word for word, _, _ in found]
        tokens = words if self.name == PLAIN else stems(self.name, words)
        yield from ((token, begin, end) for token, (_, begin, end) in zip(tokens, found, strict=True))

    def describe(self) -> dict[str, Any]:
        """A description as JSON. Plain words without splitting, the first version, have an empty description."""
        stemmed = {} if self.name == PLAIN else {"tokenizer": self.name, "snowball": snowball_version()}
        return {**({"unspaced": _BIGRAMS} if self._cut_runs else {}), **stemmed}

    def save(self, folder: Path) -> None:
        """Write nothing: the description is enough."""


class ModelTokens:
    """The tokens of a model's tokenizer, without special tokens such as unknown words. folder: that of the model."""

    name = OF_MODEL

    def __init__(self, folder: Path) -> None:
        from lsr.encoders.sparse.tokens import FolderTokenizer

        self._tokenizer = FolderTokenizer(folder)
        self._special = self._tokenizer.special
        self._token = self._tokenizer.vocabulary.token

    def tokens(self, text: str, query: bool = False) -> Sequence[str]:
        """See Words.tokens; query has no effect."""
        (ids,) = self._tokenizer.ids([text], _UNLIMITED)
        return [self._token(each) for each in ids if each not in self._special]

    def spans(self, text: str) -> Iterator[tuple[str, int, int]]:
        """See Words.spans."""
        for component, begin, end in zip(*(each.tolist() for each in self._tokenizer.spans(text)), strict=True):
            if component >= 0:
                yield self._token(component), begin, end

    def describe(self) -> dict[str, Any]:
        """A description as JSON, with a digest of the tokenizer."""
        return {"tokenizer": OF_MODEL, "tokenizer_hash": hashlib.sha256(self._tokenizer.as_json().encode()).hexdigest()}

    def save(self, folder: Path) -> None:
        """Write its files into a subfolder."""
        (folder / TOKENIZER_FOLDER).mkdir(exist_ok=True)
        self._tokenizer.save(folder / TOKENIZER_FOLDER, _UNLIMITED)


def find_tokenizer(given: str | os.PathLike[str]) -> Words | ModelTokens:
    """The tokenizer for BM25Encoder's argument `tokenizer`. Raises ParameterError, EncoderError, MissingExtraError."""
    if given == PLAIN:
        return Words()
    name = absolute_name(given)
    if name.isidentifier() and name not in BUNDLED:
        languages = snowball_languages()
        if name not in languages:
            raise ParameterError(
                f"tokenizer is {name!r}; give {PLAIN}, a language ({', '.join(languages)}), or a model's folder, "
                "Hugging Face id or name, such as tiny"
            )
        return Words(name)
    path = Path(name)
    if path.name == "tokenizer.json" and path.is_file():
        return ModelTokens(path.parent)
    return ModelTokens(named_checkpoint(name).folder)


def stored_tokenizer(folder: Path, description: Mapping[str, Any]) -> Words | ModelTokens:
    """The tokenizer of a saved encoder. Raises EncoderError, MissingExtraError."""
    name = description.get("tokenizer", PLAIN)
    if name == OF_MODEL:
        return ModelTokens(folder / TOKENIZER_FOLDER)
    if name != PLAIN:
        if name not in snowball_languages():
            raise EncoderError(f"{folder}: the stemmer {name!r} is unknown; upgrade PyStemmer")
        then, now = description.get("snowball"), snowball_version()
        if then != now:
            warnings.warn(
                f"{folder}: built with Snowball {then}, but {now} is installed, whose stems may differ; index again, "
                "or install the former PyStemmer",
                LsrWarning,
                stacklevel=2,
            )
    return Words(str(name), description.get("unspaced") == _BIGRAMS)
