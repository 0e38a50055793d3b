"""Long documents as passages: pieces of so many tokens that overlap, and end at a border of the text."""

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
# From a text to where its tokens begin and end, int64[tokens] each, in characters.
TokenPlaces = Callable[[str], tuple[Rows, Rows]]

FEWEST_TOKENS = 8
LONGEST_TOKEN = 64  # characters; what is longer, such as a word that no vocabulary has, counts as several
TITLE_SHARE = 4  # a title takes at most a quarter of the tokens
_PIECE = 1 << 15  # characters that are tokenized at once, which bounds the memory that tokens need
# Where a text can be cut, the best first: before a heading and between paragraphs, between sentences, lines, words.
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
    """How long documents become passages.

    tokens: of a passage, at most, as its encoder counts them. overlap: tokens that a passage shares with the one before
    it, at most, and at least about half as many; None for a fifth of `tokens`. title: whether the title is put before
    the passages that lack it, when they are encoded; it counts among the tokens.

    A passage ends at the best border within its last quarter: between paragraphs, else sentences, lines, words. Those
    of one document are about equally long. Raises ParameterError for fewer than 8 tokens, and for an overlap of more
    than half of them.
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
                f"the overlap is {self.overlap} of {self.tokens} tokens; passages can share half of them at most"
            )

    @property
    def shared(self) -> int:
        """The overlap in tokens."""
        return self.tokens // 5 if self.overlap is None else self.overlap

    def split(self, text: str, places: TokenPlaces = word_places, title_tokens: int = 0) -> Rows:
        """int64[passages, 2]: begin and end of each passage, in characters of `text`, in reading order.

        All that is not white space is in one of them; a blank text has one that is empty. places: where the tokens are.
        title_tokens: those that are put before all passages but the first. Takes linear time, and 8 bytes a token.
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
        """The token before which the passage that begins with token `first` ends."""
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
        """The title, as it precedes the passages that lack it, and its number of tokens; "" and 0 for none."""
        title = document.title.strip()[: LONGEST_TOKEN * self.tokens] if self.title else ""
        begins = _token_begins(title, places)
        most = self.tokens // TITLE_SHARE
        if len(begins) > most:
            title = title[: whole_character(title, int(begins[most]), 0)].rstrip()
        return title, min(len(begins), most)


class PassageRows:
    """The passages of documents, document after document, as the (row id, text) pairs that an encoder is given.

    documents: gone through anew by each iteration, which must be to its end before the arrays are complete.
    split, places: see PassageSplit. A row id is the document's id, "#" and the number of the passage, from 0: no two
    passages have the same.
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
        """int64[documents]: how many characters of Document.full_text are put before the passages that lack them."""
        return np.array(self._titles, np.int64)


def passage_text(text: str, number: int, begin: int, end: int, title: int) -> str:
    """The text that is encoded for a passage. number: in its document, from 0. title: see PassageRows.titles."""
    passage = text[begin:end]
    return f"{text[:title]} {passage}" if number and title else passage


def first_row_of(doc_id: str) -> str:
    """The id of the first passage of a document."""
    return f"{doc_id}#0"


def document_of(row_id: str) -> str:
    """The id of the document that a row of PassageRows is of."""
    return row_id.rpartition("#")[0]


def _token_begins(text: str, places: TokenPlaces) -> Rows:
    """int64[tokens]: where each token begins, rising."""
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
    """The token from `low` to `high` before which the best border is, the last or the first of its kind."""
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
