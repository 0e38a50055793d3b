"""Vocabulary: the tokens of the components of sparse vectors."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from numbers import Integral

from lsr.checks import check_text, expanded, listed, shown
from lsr.errors import VectorsError
from lsr.storage.files import replacing_file

FORMAT_VERSION = 1


class Vocabulary:
    """Tokens in the order of their components: token i names component i.

    tokens: in that order, or token -> component, such as a tokenizer's get_vocab().

    Raises VectorsError if a token is not text, cannot be written as UTF-8, or occurs twice.
    """

    def __init__(self, tokens: Iterable[str] | Mapping[str, int]) -> None:
        if isinstance(tokens, Mapping):
            whole = all(isinstance(each, Integral) and not isinstance(each, bool) for each in tokens.values())
            if not whole or {*tokens.values()} != {*range(len(tokens))}:
                raise VectorsError(
                    f"the components of {len(tokens)} tokens must be the numbers 0 to {len(tokens) - 1}, each once"
                )
            tokens = sorted(tokens, key=tokens.__getitem__)
        self.tokens: tuple[str, ...] = tuple(listed(tokens, "tokens", VectorsError))
        self._ids: dict[str, int] = {}
        self._number(0)

    def _number(self, begin: int) -> None:
        for i, token in enumerate(self.tokens[begin:], begin):
            check_text(f"token {i} of the vocabulary", token, VectorsError)
            first = self._ids.setdefault(token, i)
            if first != i:
                raise VectorsError(f"tokens {first} and {i} of the vocabulary are both {token!r}; each must occur once")

    @classmethod
    def of(cls, tokens: VocabularyLike) -> Vocabulary:
        """`tokens` as a Vocabulary. A Vocabulary is returned unchanged."""
        return tokens if isinstance(tokens, Vocabulary) else cls(tokens)

    def extended(self, tokens: Iterable[str]) -> Vocabulary:
        """A vocabulary with the new tokens appended, in their order. Returns itself if there are none.

        Raises VectorsError for a token that is not text or cannot be written as UTF-8.
        """
        new = [token for token in dict.fromkeys(tokens) if token not in self._ids]
        if not new:
            return self
        extended = object.__new__(Vocabulary)
        extended.tokens, extended._ids = (*self.tokens, *new), self._ids.copy()
        extended._number(len(self))  # the others are already checked
        return extended

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens)"

    @property
    def named(self) -> bool:
        """Whether the tokens are names, not just the numbers of the components."""
        return self.tokens != tuple(map(str, range(len(self))))

    def id_of(self, token: str) -> int | None:
        """The component of `token`, or None."""
        return self._ids.get(token)

    def token(self, component: int) -> str:
        """The token of `component`. Raises VectorsError if there is no such component."""
        if isinstance(component, bool) or not isinstance(component, Integral):
            raise VectorsError(f"component {shown(component)} is not a whole number; give the number of a component")
        if not 0 <= component < len(self.tokens):
            raise VectorsError(f"component {component} has no token; the vocabulary has {len(self)} tokens")
        return self.tokens[component]

    @cached_property
    def hash(self) -> str:
        """SHA-256 in hexadecimal of the length (8 bytes) and UTF-8 bytes of each token; equal only for equal tokens."""
        encoded = [token.encode() for token in self.tokens]
        return hashlib.sha256(b"".join(len(each).to_bytes(8, "little") + each for each in encoded)).hexdigest()

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file. Raises StorageError."""
        text = json.dumps({"format_version": FORMAT_VERSION, "tokens": self.tokens}, ensure_ascii=False)
        with replacing_file(path) as file:
            file.write(text.encode())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read a file written by `write`. Raises VectorsError."""
        path = expanded(path)
        try:
            with open(path, "rb") as file:
                content = json.loads(file.read())
        except OSError as error:
            raise VectorsError(f"{path}: cannot be read: {error.strerror}; give a vocabulary that lsr wrote") from error
        except (ValueError, RecursionError) as error:
            raise VectorsError(f"{path}: truncated or not JSON ({error}); give a vocabulary that lsr wrote") from error
        if not isinstance(content, dict) or not isinstance(content.get("tokens"), list):
            raise VectorsError(f"{path}: is not a vocabulary (no list of tokens); give a vocabulary that lsr wrote")
        version = content.get("format_version")
        if version != FORMAT_VERSION:
            raise VectorsError(f"{path}: format version {version}, but this lsr reads {FORMAT_VERSION}; upgrade lsr")
        try:
            return cls(content["tokens"])
        except VectorsError as error:
            raise VectorsError(f"{path}: {error}") from None


# The argument of Vocabulary.of.
VocabularyLike = Vocabulary | Iterable[str] | Mapping[str, int]
