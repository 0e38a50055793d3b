"""Splitting long documents into passages that overlap and end at a border of the text."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lsr.checks import check_flag, check_whole
from lsr.collections.sources import Document
from lsr.collections.words import whole_character, word_places
from lsr.errors import ParameterError

Rows = npt.NDArray[np.int64]
# From a text to the begins and ends of its tokens, int64[tokens] each, in characters.
TokenPlaces = Callable[[str], tuple[Rows, Rows]]

FEWEST_TOKENS = 8
LONGEST_TOKEN = 64  # characters; a longer token, such as an unknown word, counts as several
TITLE_SHARE = 4  # a title takes at most a quarter of the tokens
_PIECE = 1 << 15  # characters that are tokenized at once, to bound the memory
# Borders of a text, the best first: before a heading and between paragraphs, between sentences, lines, words.
_BORDERS = tuple(
    map(
        re.compile,
        (
            r"\n[ \t\r]*\n\s*|\n(?=#{1,6}[ \t])",
            r"(?<=[.!?…])[\"'”’»)\]]*\s+|[。！？｡．]+[\"'”’»」』）)\]]*",
            r"\n",
            r"\s+",
        ),
    )
)


@dataclass(frozen=True, slots=True)
class PassageSplit:
    """How long documents are split into passages.

    tokens: maximum number of tokens of a passage, at least 8, as its encoder counts them.
    overlap: maximum number of tokens that a passage shares with the previous one, at most half of `tokens`; the minimum
        is about half of it. Default: a fifth of `tokens`.
    title: whether the title is encoded before each passage that does not contain it. It counts among the tokens.

    A passage ends at the best border in its last quarter: between paragraphs, else sentences, lines, words. The
    passages of a document have about the same length. Raises ParameterError for values out of range.
    """

    tokens: int = 200
    overlap: int | None = None
    title: bool = True

    def __post_init__(self) -> None:
        check_whole("tokens of a passage", self.tokens, FEWEST_TOKENS)
        if self.overlap is not None:
            check_whole("overlap of passages", self.overlap, 0)
        check_flag("title", self.title)
        if self.shared > self.tokens // 2:
            raise ParameterError(
                f"the overlap is {self.overlap} tokens; it must be at most half of the passage of {self.tokens} tokens"
            )

    @property
    def shared(self) -> int:
        """The overlap in tokens."""
        return self.tokens // 5 if self.overlap is None else self.overlap

    def split(self, text: str, places: TokenPlaces = word_places, title_tokens: int = 0) -> Rows:
        """int64[passages, 2]: begin and end of each passage, in characters of `text`, in reading order.

        All text except white space is in a passage; a blank text has one empty passage. places: returns the places of
        tokens. title_tokens: the tokens of a title before all passages but the first. Takes linear time, and 8 bytes
        per token.
        """
        begins = _token_begins(text, places)
        spans: list[tuple[int, int]] = []
        first = begin = 0
        room = self.tokens
        while len(begins) - first > room:
            cut = self._end(text, begins, first, room)
            end = whole_character(text, int(begins[cut]), begin)
            spans.append((begin, end))
            first = cut
            if self.shared and cut < len(begins):
                low, high = cut - self.shared, cut - (self.shared + 1) // 2
                first = _border(text, begins, low, high, last=False)
            while first < len(begins) and begins[first] <= begin:  # several tokens of one character
                first += 1
            if first == len(begins):
                break
            begin = max(whole_character(text, int(begins[first]), begin), begin + 1)
            room = self.tokens - title_tokens
        if not spans or spans[-1][1] < len(text):
            spans.append((begin, len(text)))
        kept: list[tuple[int, int]] = []
        for begin, end in (_stripped(text, *span) for span in spans):
            if kept and begin <= kept[-1][0]:
                kept.pop()
            if begin < end and (not kept or end > kept[-1][1]):
                kept.append((begin, end))
        return np.array(kept or [(0, 0)], np.int64)

    def _end(self, text: str, begins: Rows, first: int, room: int) -> int:
        """The token after the last token of the passage that begins with token `first`."""
        rest = len(begins) - first - self.shared
        passages = -(-rest // (room - self.shared))
        even = -(-rest // passages) + self.shared
        slack = room // 4
        high = first + min(room, even + slack // 2)
        low = max(first + self.shared + 1, high - slack)
        cut = _border(text, begins, low, high, last=True)
        while cut < len(begins) and begins[cut] <= begins[first]:
            cut += 1
        return cut if cut < len(begins) else len(begins) - 1

    def title_of(self, document: Document, places: TokenPlaces = word_places) -> tuple[str, int]:
        """The title that is put before passages, and its number of tokens; "" and 0 without a title."""
        title = document.title.strip()[: LONGEST_TOKEN * self.tokens] if self.title else ""
        begins = _token_begins(title, places)
        most = self.tokens // TITLE_SHARE
        if len(begins) > most:
            title = title[: whole_character(title, int(begins[most]), 0)].rstrip()
        return title, min(len(begins), most)


class PassageRows:
    """The passages of documents, document after document, as (row id, text) pairs for an encoder.

    documents: iterated again by each iteration. The arrays are complete after a complete iteration.
    split, places: see PassageSplit. A row id is the document's id, "#" and the number of the passage, from 0.
    """

    def __init__(self, documents: Iterable[Document], split: PassageSplit, places: TokenPlaces = word_places) -> None:
        self._documents, self._split, self._places = documents, split, places
        self._starts, self._spans, self._titles = array("q", [0]), array("q"), array("q")

    def __iter__(self) -> Iterator[tuple[str, str]]:
        starts, spans, titles = self._starts, self._spans, self._titles = array("q", [0]), array("q"), array("q")
        for document in self._documents:
            text = document.full_text
            title, title_tokens = self._split.title_of(document, self._places)
            passages = self._split.split(text, self._places, title_tokens)
            spans.extend(passages.ravel().tolist())
            starts.append(len(spans) // 2)
            titles.append(len(title))
            for number, (begin, end) in enumerate(passages.tolist()):
                yield f"{document.doc_id}#{number}", passage_text(text, number, begin, end, len(title))

    @property
    def starts(self) -> Rows:
        """int64[documents + 1]: the first row of each document, and the number of rows."""
        return np.array(self._starts, np.int64)

    @property
    def spans(self) -> Rows:
        """int64[rows, 2]: begin and end of each passage in characters of Document.full_text."""
        return np.array(self._spans, np.int64).reshape(-1, 2)

    @property
    def titles(self) -> Rows:
        """int64[documents]: the characters of Document.full_text that are put before passages without them."""
        return np.array(self._titles, np.int64)


def passage_text(text: str, number: int, begin: int, end: int, title: int) -> str:
    """The text of a passage to encode. number: of the passage in its document. title: see PassageRows.titles."""
    passage = text[begin:end]
    return f"{text[:title]} {passage}" if number and title else passage


def first_row_of(doc_id: str) -> str:
    """The id of the first passage of a document."""
    return f"{doc_id}#0"


def document_of(row_id: str) -> str:
    """The document id of a row id of PassageRows."""
    return row_id.rpartition("#")[0]


def _token_begins(text: str, places: TokenPlaces) -> Rows:
    """int64[tokens]: the begin of each token, ascending."""
    parts = [np.zeros(0, np.int64)]
    for first, last in pairwise([*_piece_begins(text), len(text)]):
        begins, ends = places(text[first:last])
        counts = np.maximum(-(-(ends - begins) // LONGEST_TOKEN), 1)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        parts.append(first + np.maximum.accumulate(np.repeat(begins, counts) + LONGEST_TOKEN * within))
    return np.concatenate(parts)


def _piece_begins(text: str) -> Iterator[int]:
    begin = 0
    while begin < len(text):
        yield begin
        middle, end = begin + _PIECE // 2, begin + _PIECE
        if end >= len(text):
            return
        blank = max(text.rfind("\n", middle, end), -1)
        blank = text.rfind(" ", middle, end) if blank < 0 else blank
        begin = blank if blank >= 0 else whole_character(text, end, begin)


def _border(text: str, begins: Rows, low: int, high: int, last: bool) -> int:
    """The token from `low` to `high` after the best border; the last or the first border of its kind."""
    tokens = begins[low : high + 1]
    start, stop = int(begins[low - 1]), int(tokens[-1])
    for pattern in _BORDERS:
        found = [match.end() for match in pattern.finditer(text, start, stop + LONGEST_TOKEN)]
        found = [each for each in found if start < each <= stop]
        if found:
            return low + int(np.searchsorted(tokens, found[-1] if last else found[0]))
    return high if last else low


def _stripped(text: str, begin: int, end: int) -> tuple[int, int]:
    while begin < end and text[begin].isspace():
        begin += 1
    while begin < end and text[end - 1].isspace():
        end -= 1
    return begin, end
