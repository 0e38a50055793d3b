"""The plain words of a text, as BM25 counts them."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from itertools import pairwise

from lsr.collections.words import UNSPACED

# English function words, which say least about the topic of a text.
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be but by for from had has have he her his i in into is it its of on or she so such than "
        "that the their them then there these they this those to was we were which will with would you your",
    )
)

_ASCII_WORDS, _WORDS = re.compile(r"\w+", re.ASCII), re.compile(r"\w+")
_WORD_JOINERS = "\u200c\u200d"  # join letters of Persian and Indic scripts; not in the category of marks
_MARKS = ("Mn", "Mc", "Me")
_UNSPACED_LETTER = re.compile(f"[{UNSPACED}]")


def tokenize(
    text: str, cut_runs: bool = True, query: bool = False, left_out: Collection[str] = FUNCTION_WORDS
) -> list[str]:
    """The tokens of a text, in order; see BM25Encoder. cut_runs: split scripts without spaces. left_out: words."""
    text = unicodedata.normalize("NFKC", text).lower()
    words: list[str] = _pattern_of(text).findall(text)
    if cut_runs and not text.isascii() and _UNSPACED_LETTER.search(text):
        words = [word[begin:end] for word in words for begin, end in _cut(word, query)]
    return [word for word in words if word not in left_out]


def token_spans(
    text: str, cut_runs: bool = True, left_out: Collection[str] = FUNCTION_WORDS
) -> Iterator[tuple[str, int, int]]:
    """The tokens of a document, as `tokenize` returns them, with their begin and end in characters."""
    text, begins, ends = _normalized(text)
    for match in _pattern_of(text).finditer(text):
        word, start = match[0], match.start()
        unspaced = cut_runs and not word.isascii() and _UNSPACED_LETTER.search(word)
        for begin, end in _cut(word, query=False) if unspaced else ((0, len(word)),):
            if word[begin:end] not in left_out:
                yield word[begin:end], begins[start + begin], ends[start + end - 1]


def _normalized(text: str) -> tuple[str, Sequence[int], Sequence[int]]:
    """The text in NFKC and lower case, and for each of its characters the begin and end in the original text."""
    if text.isascii():
        return text.lower(), range(len(text)), range(1, len(text) + 1)
    normal: list[str] = []
    begins: list[int] = []
    ends: list[int] = []
    begin = 0
    while begin < len(text):
        end = begin + 1
        while end < len(text) and not text[end].isascii() and _joins(text[end]):
            end += 1
        # The normalized form of a letter with its marks, by character; some have two characters in lower case.
        for each in unicodedata.normalize("NFKC", text[begin:end]):
            normal.append(each)
            length = len(each.lower())
            begins += [begin] * length
            ends += [end] * length
        begin = end
    return "".join(normal).lower(), begins, ends


def _cut(word: str, query: bool) -> Iterator[tuple[int, int]]:
    """The tokens of a run of word characters: the whole run, or, in scripts without spaces, characters and pairs."""
    for stretch in _stretch_pattern().finditer(word):
        if not _UNSPACED_LETTER.match(stretch[0]):
            yield stretch.span()
            continue
        letters = [letter.span() for letter in _letter_pattern().finditer(word, *stretch.span())]
        if not query or len(letters) == 1:
            yield from letters
        yield from ((first, last) for (first, _), (_, last) in pairwise(letters))


def _pattern_of(text: str) -> re.Pattern[str]:
    # Most texts have no marks, so the pattern with all marks is compiled only when needed.
    if text.isascii():
        return _ASCII_WORDS
    return _word_pattern() if any(map(_joins, set(text))) else _WORDS


def _joins(character: str) -> bool:
    """Whether a character belongs to the letter before it."""
    return unicodedata.category(character) in _MARKS or character in _WORD_JOINERS


@cache
def _word_pattern() -> re.Pattern[str]:
    return re.compile(f"\\w[\\w{_marks()}]*")


@cache
def _stretch_pattern() -> re.Pattern[str]:
    return re.compile(f"(?:[{UNSPACED}][{_marks()}]*)+|[^{UNSPACED}]+")


@cache
def _letter_pattern() -> re.Pattern[str]:
    return re.compile(f".[{_marks()}]*")


@cache
def _marks() -> str:
    # \w has letters and digits, but no marks: it would cut words in the middle where a letter with its accents is not
    # one character.
    ranges: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in _MARKS:
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    marks = "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
    return marks + _WORD_JOINERS
