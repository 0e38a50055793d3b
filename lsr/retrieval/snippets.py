"""Snippets: the part of a text with the terms that contribute most, highlighted."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from lsr.checks import check_whole
from lsr.collections.words import UNSPACED, whole_character
from lsr.encoders.base import TokenSpans
from lsr.errors import ParameterError

SHORTEST = 20  # characters of a snippet
LEAST_SHARE = 0.1  # terms with a smaller share of the best term's contribution are not highlighted
REPEATED = 0.05  # a repetition of a term counts so much of its contribution, so that snippets prefer different terms
_TOKENIZED = 1 << 13  # characters: longer texts are tokenized only around the terms
_SOUGHT_TERMS, _SOUGHT_PLACES = 12, 512  # terms, and places of terms, that are searched for in a long text
_PIECE_MARKS = "▁Ġ"  # prefixes of tokens that follow a blank
_UNSPACED = re.compile(f"[{UNSPACED}]")
_SENTENCE_ENDS = re.compile(r"[.!?…][\"'”’»)\]]*\s+|[。！？｡．]+|\n\s*")

Tokenizer = Callable[[str], TokenSpans | None]


@dataclass(frozen=True, slots=True)
class Snippet:
    """A part of a text.

    text: the part.
    begin, end: its place, in characters of the whole text.
    highlights: begin and end of each matched term, in characters of `text`.
    """

    text: str
    begin: int
    end: int
    highlights: tuple[tuple[int, int], ...] = ()

    def marked(self, before: str = "**", after: str = "**", shown: Callable[[str], str] = str) -> str:
        """The text with marks around the highlights.

        before, after: the marks.
        shown: a function that is applied to each piece of the text, such as html.escape.
        """
        pieces, at = [], 0
        for begin, end in self.highlights:
            pieces += [shown(self.text[at:begin]), before, shown(self.text[begin:end]), after]
            at = end
        return "".join([*pieces, shown(self.text[at:])])

    def html(self, before: str = "<mark>", after: str = "</mark>") -> str:
        """Like `marked`, for HTML: the text is escaped, the marks are not."""
        return self.marked(before, after, html.escape)

    def as_dict(self) -> dict[str, Any]:
        """The snippet as a dict for JSON: the text, and the highlights as pairs of begin and end."""
        return {"text": self.text, "highlights": [list(each) for each in self.highlights]}

    def __str__(self) -> str:
        return self.text


def make_snippet(
    text: str,
    contributions: Mapping[int, float],
    token: Callable[[int], str],
    tokenize: Tokenizer | None,
    length: int = 300,
    passage: tuple[int, int] | None = None,
) -> Snippet:
    """The part of a text, of at most `length` characters, with the terms that contribute most.

    contributions: component -> contribution to the score. Expansion terms do not occur in the text and highlight
        nothing.
    token: returns the token of a component.
    tokenize: the encoder's `spans`. If it is None, or returns None, tokens are matched as words.
    passage: the characters of the text to choose from: the found passage.

    Takes milliseconds for a text of any length. Raises ParameterError for a length below 20.
    """
    check_whole("length of a snippet", length, SHORTEST)
    first, last = (0, len(text)) if passage is None else passage
    if not 0 <= first <= last <= len(text):
        raise ParameterError(
            f"the passage is {passage}, but the text has {len(text)} characters; give a part of the text"
        )
    names = {token(component): weight for component, weight in contributions.items() if weight > 0}
    if last - first > _TOKENIZED:
        middle = _densest(text, first, last, names, length)
        first, last = max(first, middle - _TOKENIZED // 2), min(last, middle + _TOKENIZED // 2)
    region = text[first:last]
    tokens = None if tokenize is None else tokenize(region)
    found = _literal_words(region, names) if tokens is None else _words(region, tokens, contributions)
    least = LEAST_SHARE * max((each.weight for each in found), default=0.0)
    found = sorted(each for each in found if each.weight >= least and each.end - each.begin <= length)
    begin, end = _window(region, found, length)
    marks = _joined([(each.begin, each.end) for each in found if begin <= each.begin and each.end <= end])
    highlights = tuple((b - begin, e - begin) for b, e in marks)
    return Snippet(region[begin:end], first + begin, first + end, highlights)


class _Match(NamedTuple):
    """A word of a text that contributes. term: equal for two matches of the same term."""

    begin: int
    end: int
    weight: float
    term: int | str


def _words(text: str, tokens: TokenSpans, contributions: Mapping[int, float]) -> list[_Match]:
    """The words of a text whose tokens contribute.

    A word of several tokens counts as a whole if the contributing tokens are at least half of the word. Otherwise only
    tokens at its beginning count: a common ending of two words means little.
    """
    found, word = [], list[_Match]()

    def finish() -> None:
        counted = [each for each in word if each.weight > 0]
        if counted:
            begin, end = word[0].begin, word[-1].end
            if 2 * sum(each.end - each.begin for each in counted) >= end - begin:
                best = max(counted, key=lambda each: each.weight)
                weight = sum({each.term: each.weight for each in counted}.values())
                found.append(_Match(begin, end, weight, best.term))
            elif word[0].weight > 0:
                found.append(word[0])
        word.clear()

    for component, begin, end in zip(*(column.tolist() for column in tokens), strict=True):
        while begin < end and text[begin].isspace():
            begin += 1
        if begin >= end or not any(map(str.isalnum, text[begin:end])):
            finish()
            continue
        if not (word and begin == word[-1].end and _within_word(text, begin)):
            finish()
        word.append(_Match(begin, end, contributions.get(component, 0.0), component))
    finish()
    return found


def _within_word(text: str, at: int) -> bool:
    around = text[at - 1 : at + 1]
    return not any(map(str.isspace, around)) and around.isprintable() and not _UNSPACED.search(around)


def _literal_words(text: str, names: Mapping[str, float]) -> list[_Match]:
    """Matches of tokens as words of the text, ignoring case."""
    weights = dict(_as_words(names))
    if not weights:
        return []
    pattern = "|".join(_pattern_of(each) for each in sorted(weights, key=len, reverse=True))
    matches = re.finditer(pattern, text, re.IGNORECASE)
    return [_Match(*each.span(), weights.get(each[0].lower(), 0.0), each[0].lower()) for each in matches]


def _as_words(names: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """The best tokens that can be whole words, and their contributions, largest first."""
    words: dict[str, float] = {}
    for name, weight in sorted(names.items(), key=lambda each: -each[1]):
        word = name.lstrip(_PIECE_MARKS).lower()
        if not name.startswith("##") and any(map(str.isalnum, word)):
            words.setdefault(word, weight)
    yield from islice(words.items(), _SOUGHT_TERMS)


def _pattern_of(word: str) -> str:
    return re.escape(word) if _UNSPACED.search(word) else rf"\b{re.escape(word)}\b"


def _densest(text: str, first: int, last: int, names: Mapping[str, float], length: int) -> int:
    """The approximate place of the best terms in a long text; 0 if none is found."""
    plain = text.isascii()
    text = text.lower() if plain else text  # takes a tenth of a second for 8 MB of non-ASCII text
    found: list[_Match] = []
    for word, weight in _as_words(names):
        alone = not _UNSPACED.search(word)
        for written in {word} if plain else {word, word.capitalize(), word.upper()}:
            at, places = text.find(written, first, last), 0
            while at >= 0 and places < _SOUGHT_PLACES:
                end = at + len(written)
                if not alone or not (text[max(at - 1, 0) : at].isalnum() or text[end : end + 1].isalnum()):
                    found.append(_Match(at, end, weight, word))
                places += 1
                at = text.find(written, end, last)
    best = _best_group(sorted(found), length)
    return first + _TOKENIZED // 2 if best is None else (best[0] + best[1]) // 2


def _best_group(found: Sequence[_Match], length: int) -> tuple[int, int] | None:
    """Begin and end of the best group of matches within `length` characters; the first of equal groups."""
    counts: dict[int | str, int] = {}
    best, most, score, left = None, 0.0, 0.0, 0
    for match in found:
        times = counts.get(match.term, 0)
        score += match.weight * (REPEATED if times else 1)
        counts[match.term] = times + 1
        while match.end - found[left].begin > length:
            gone = found[left]
            counts[gone.term] -= 1
            score -= gone.weight * (REPEATED if counts[gone.term] else 1)
            left += 1
        if score > most * (1 + 1e-9):  # running sums are not exact
            best, most = (found[left].begin, match.end), score
    return best


def _window(text: str, found: Sequence[_Match], length: int) -> tuple[int, int]:
    """Begin and end of the snippet: the best matches, from the beginning of a sentence if it is near."""
    low, high = _best_group(found, length) or (0, 0)
    starts = [0, *(match.end() for match in _SENTENCE_ENDS.finditer(text))]
    earliest = max(0, high - length)
    near = [each for each in starts if earliest <= each <= low]
    if near:
        begin = near[-1]
        if begin + length > len(text):  # there is room for more text before
            begin = next(each for each in near if each + length >= len(text) or each == begin)
    else:
        begin = max(earliest, low - (length - (high - low)) // 2)
        blank = re.compile(r"\s+").search(text, begin, low)
        begin = blank.end() if blank else max(whole_character(text, begin, 0), earliest)
    end = min(len(text), begin + length)
    if end < len(text) and not text[end].isspace():
        blank_before = max(text.rfind(each, high, end) for each in " \n\t")
        end = blank_before if blank_before > begin else max(whole_character(text, end, high), high)
    while begin < end and text[end - 1].isspace():
        end -= 1
    while begin < end and text[begin].isspace():
        begin += 1
    return begin, end


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ascending spans, with touching spans joined."""
    joined: list[tuple[int, int]] = []
    for begin, end in spans:
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined
