"""Texts put together from known words, beside what the tokenizer makes of them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from lsr.collections.collection import load_collection
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.sparse import known_words
from lsr.encoders.sparse.known_words import KnownWords
from lsr.encoders.sparse.tokens import FolderTokenizer
from tests.data import data_path

TINY = Tokenizer.from_file(str(find_checkpoint("tiny").folder / "tokenizer.json"))
CASED = Tokenizer.from_str(TINY.to_str())
CASED.normalizer = normalizers.BertNormalizer(lowercase=False)
WORDS = KnownWords(TINY)
PIECES = (
    "[SEP]",
    "[sep]",
    "]",
    "don't",
    "U.S.A.",
    "x" * 150,
    "naïve",
    "e\u0301",
    "潮汐",
    "\x00",
    "\x7f",
    "\v",
    "\xa0",
    "İ",
)


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return found


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(string.printable), st.text()), max_size=8))
def test_tokens_are_those_of_the_tokenizer(pieces: list[str]) -> None:
    for text in ("".join(pieces), " ".join(pieces)):
        for words, tokenizer in ((WORDS, TINY), (KnownWords(CASED), CASED)):
            found = words.ids(text)
            assert found is None or found == ids(tokenizer, text)
            if found is None:
                assert not text.isascii() or set(text) & set("[\v\f") or not text.isprintable()


@pytest.mark.data
@pytest.mark.parametrize("name", ["wiki-120k", "scifact", "package-search", "miracl-yo"])
def test_real_queries(name: str) -> None:
    texts = list(load_collection(data_path(name)).queries().values())
    expected = [ids(TINY, text)[:12] for text in texts]
    tokens = FolderTokenizer(find_checkpoint("tiny").folder)
    for _ in range(2):  # of words that are known by then
        assert tokens.ids(texts, 12) == expected
    assert [tokens.ids([text], 12)[0] for text in texts] == expected
    assert name == "miracl-yo" or sum(WORDS.ids(text) is not None for text in texts) > 0.9 * len(texts)


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_words, "MOST", 10)
    words = KnownWords(TINY)
    for number in range(100):
        text = f"word{number} the {'y' * (number + 1)}"
        assert words.ids(text) == ids(TINY, text)
        assert len(words._known) <= 10
    assert all(len(word) <= known_words.LONGEST_WORD for word in words._known)
    assert words.ids("the " * 1000) is None


def test_tokenizers_that_split_texts_otherwise_are_asked() -> None:
    byte_pairs = Tokenizer(models.BPE())
    byte_pairs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    blanks, prefixed, added = (Tokenizer.from_str(TINY.to_str()) for _ in range(3))
    blanks.pre_tokenizer = pre_tokenizers.Whitespace()
    prefixed.normalizer = normalizers.Prepend("a")
    added.add_tokens([AddedToken("sea")])  # within words, too
    whole = Tokenizer.from_str(TINY.to_str())
    whole.pre_tokenizer = None
    for tokenizer in (byte_pairs, blanks, prefixed, added, whole):
        assert KnownWords(tokenizer).ids("the sea") is None
