"""Tokenizers of models without transformers, which would import torch."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lsr.encoders.base import TokenSpans
from lsr.encoders.folders.model_files import AGAIN, NO_LIMIT, TOKENIZER_CONFIG_FILE, read_object
from lsr.encoders.sparse.known_words import KnownWords
from lsr.encoders.sparse.word_stems import stems_of
from lsr.encoders.text_beginnings import TextBeginnings
from lsr.errors import EncoderError
from lsr.vectors.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import Encoding

TOKENIZER_FILE, WORDPIECE_FILE = "tokenizer.json", "vocab.txt"
# Components without a token, which pad a model's vocabulary, are named by their number.
UNNAMED = "<unnamed "


class FolderTokenizer:
    """The tokenizer in a folder, from tokenizer.json, or from vocab.txt of a BERT model.

    components: the size of the vocabulary, if it is larger than the tokenizer's.
    stemmed: whether all tokens with the same stem have the number of the first one.
    config: the content of tokenizer_config.json.

    Raises EncoderError if both files are missing, or one is damaged, and MissingExtraError.
    """

    def __init__(self, folder: str | Path, components: int | None = None, stemmed: bool = False) -> None:
        self.folder = Path(folder)
        self.config = read_object(self.folder / TOKENIZER_CONFIG_FILE, optional=True)
        self._tokenizer = _tokenizer(self.folder, self.config)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._beginnings = TextBeginnings(self._tokenizer)
        self._words = KnownWords(self._tokenizer)
        ids = self._tokenizer.get_vocab(with_added_tokens=True)
        self.vocabulary = vocabulary_of(str(self.folder), ids, components)
        self._stems: list[int] | None = stems_of(self.vocabulary).tolist() if stemmed else None

    @cached_property
    def special(self) -> frozenset[int]:
        """The components of special tokens, such as [CLS], [SEP] and [UNK]."""
        added = self._tokenizer.get_added_tokens_decoder()
        named = (value for key, value in self.config.items() if key.endswith("_token"))
        contents = (value.get("content") if isinstance(value, dict) else value for value in named)
        found = (self.vocabulary.id_of(content) for content in contents if isinstance(content, str))
        marked = {component for component, token in added.items() if token.special}
        return frozenset(marked | {component for component in found if component is not None})

    @cached_property
    def around(self) -> tuple[int, int]:
        """The tokens before and after every text. Raises ValueError unless there is one of each."""
        begin, end = self._tokenizer.encode("").ids
        if self._tokenizer.encode("a").ids != [begin, *self.ids(["a"], NO_LIMIT)[0], end]:
            raise ValueError("special tokens elsewhere")
        return begin, end

    def ids(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """The first max_length tokens of each text, without special tokens."""
        found = [self._words.ids(text) for text in texts]
        unknown = [text for text, ids in zip(texts, found, strict=True) if ids is None]
        encoded = iter(self._beginnings.tokenize(unknown, max_length, self._encode, len))
        every = ((next(encoded).ids if ids is None else ids)[:max_length] for ids in found)
        return list(every) if self._stems is None else [[self._stems[token] for token in ids] for ids in every]

    def spans(self, text: str, lower_case: bool = False) -> TokenSpans:
        """All tokens of a text, without special tokens, and their characters."""
        encoded: Encoding = self._tokenizer.encode(lowered(text) if lower_case else text, add_special_tokens=False)
        ids = encoded.ids if self._stems is None else [self._stems[token] for token in encoded.ids]
        return spans_of(ids, encoded.offsets, self.special)

    def _encode(self, texts: list[str]) -> list[Encoding]:
        encoded: list[Encoding] = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return encoded

    def as_json(self) -> str:
        """The whole tokenizer as JSON, as its identity."""
        return str(self._tokenizer.to_str())

    def save(self, folder: Path, max_length: int) -> None:
        """Write tokenizer.json and tokenizer_config.json, with max_length as the maximum length."""
        original = self.folder / TOKENIZER_FILE
        content = original.read_bytes() if original.is_file() else self.as_json().encode()
        (folder / TOKENIZER_FILE).write_bytes(content)
        config = {"tokenizer_class": "PreTrainedTokenizerFast", **self.config, "model_max_length": max_length}
        (folder / TOKENIZER_CONFIG_FILE).write_text(json.dumps(config, indent=1))


def vocabulary_of(where: str, ids: Mapping[str, int], components: int | None) -> Vocabulary:
    """The vocabulary of a tokenizer: token i for component i. components: their number, if it is larger.

    Raises EncoderError, whose message begins with `where`, for fewer components than tokens.
    """
    size = max(ids.values(), default=-1) + 1
    if components is not None and components < size:
        raise EncoderError(
            f"{where}: the tokenizer has {size} tokens, but vectors have {components} components; they are not of one "
            "model, copy both from the same place"
        )
    tokens = [f"{UNNAMED}{component}>" for component in range(components or size)]
    for token, component in ids.items():
        tokens[component] = token
    return Vocabulary(tokens)


def prepared_texts(texts: Sequence[str], prompt: str, lower_case: bool) -> list[str]:
    """The texts for a network's tokenizer, with the prompt; "" for a blank text, without the prompt."""
    prepared = [(prompt + text).strip() if text else "" for text in map(str.strip, texts)]
    return [text.lower() for text in prepared] if lower_case else prepared


def spans_of(ids: Sequence[int], offsets: Sequence[tuple[int, int]], special: Collection[int]) -> TokenSpans:
    """The tokens that a tokenizer returns, without the components of special tokens, such as unknown words."""
    places, components = np.array(offsets, np.int64).reshape(-1, 2), np.array(ids, np.int64)
    components[np.isin(components, list(special))] = -1
    return TokenSpans(components, places[:, 0], places[:, 1])


def lowered(text: str) -> str:
    """The text in lower case, except for the few characters that would become several: positions do not change."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(e.lower() if len(e.lower()) == 1 else e for e in text)


def _tokenizer(folder: Path, config: dict[str, Any]) -> Any:
    from tokenizers import BertWordPieceTokenizer, Tokenizer
    from tokenizers.normalizers import BertNormalizer

    # As in transformers, these settings of a BERT tokenizer have precedence over those in tokenizer.json.
    wanted = {
        "lowercase": config.get("do_lower_case", True),
        "strip_accents": config.get("strip_accents"),
        "handle_chinese_chars": config.get("tokenize_chinese_chars", True),
    }
    path = folder / TOKENIZER_FILE
    if path.is_file():
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises plain Exception
            raise EncoderError(f"{path}: damaged ({error}); {AGAIN}") from error
        if isinstance(tokenizer.normalizer, BertNormalizer) and "do_lower_case" in config:
            tokenizer.normalizer = BertNormalizer(clean_text=True, **wanted)
        return tokenizer
    path = folder / WORDPIECE_FILE
    if not path.is_file():
        raise EncoderError(
            f"{folder}: has neither {TOKENIZER_FILE} nor {WORDPIECE_FILE}; save the tokenizer with transformers' "
            "AutoTokenizer.from_pretrained(...).save_pretrained(folder), which writes them"
        )
    try:
        words = BertWordPieceTokenizer(str(path), **wanted)
        words.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    except Exception as error:  # as above
        raise EncoderError(f"{path}: damaged ({error}); {AGAIN}") from error
    return words._tokenizer
