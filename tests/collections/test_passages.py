"""Passages of long documents: what they cover, where they end, and how much they share."""

from __future__ import annotations

import re
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.collections.passages import PassageRows, PassageSplit, document_of
from lsr.collections.sources import Document
from lsr.collections.words import UNSPACED, word_places
from lsr.errors import ParameterError

PIECES = (
    "word",
    "Ends.",
    "“So?”",
    " ",
    " ",
    "\n",
    "\n\n",
    "\n# Heading\n",
    "海边",
    "。",
    "ก็",
    "e\u0301",
    "x" * 150,
    "...",
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=80).map("".join)
SPLITS = st.integers(8, 40).flatmap(
    lambda tokens: st.builds(PassageSplit, st.just(tokens), st.none() | st.integers(0, tokens // 2))
)


def characters(text: str) -> tuple[np.ndarray, np.ndarray]:
    """A tokenizer that makes a token of every character, and of some several."""
    at = np.repeat(np.arange(len(text)), [2 if each == "x" else 1 for each in text])
    return at, at + 1


@given(st.text() | TEXTS)
def test_words_are_what_a_pattern_finds(text: str) -> None:
    begins, ends = word_places(text)
    found = [match.span() for match in re.finditer(f"[{UNSPACED}]|[^\\s{UNSPACED}]+", text)]
    assert list(zip(begins.tolist(), ends.tolist(), strict=True)) == found


@given(TEXTS, SPLITS, st.sampled_from([word_places, characters]), st.integers(0, 2))
def test_passages_cover_the_text_in_order(text: str, split: PassageSplit, places: object, title_tokens: int) -> None:
    spans = split.split(text, places, title_tokens)  # type: ignore[arg-type]
    assert spans.dtype == np.int64 and spans.shape == (len(spans), 2) and len(spans)
    assert (np.diff(spans[:, 0]) > 0).all() and (np.diff(spans[:, 1]) > 0).all()
    assert spans.min() >= 0 and spans.max() <= len(text)
    covered = np.zeros(len(text), bool)
    for begin, end in spans.tolist():
        assert text[begin:end] == text[begin:end].strip()
        covered[begin:end] = True
    assert "".join(each for each, inside in zip(text, covered, strict=True) if not inside).strip() == ""


@given(TEXTS, SPLITS, st.integers(0, 2))
def test_passages_have_no_more_tokens_than_asked_for(text: str, split: PassageSplit, title_tokens: int) -> None:
    spans = split.split(text, title_tokens=title_tokens).tolist()
    for number, (begin, end) in enumerate(spans):
        room = split.tokens - title_tokens * (number > 0)
        begins, ends = word_places(text[begin:end])
        assert (-(-(ends - begins) // 64)).sum() <= room + 1  # a long word may be cut, and its rest counts as one more
        if number and begin < spans[number - 1][1]:
            assert len(word_places(text[begin : spans[number - 1][1]])[0]) <= split.shared + 1


def test_passages_end_at_the_best_border_near() -> None:
    sentence = "One two three four five six seven eight nine ten. "
    paragraph = sentence * 4
    text = f"{paragraph}\n\n{paragraph}\n## More\n{paragraph}"
    split = PassageSplit(tokens=50, overlap=0)
    assert [text[begin:end] for begin, end in split.split(text).tolist()] == [
        paragraph.strip(),
        paragraph.strip(),
        f"## More\n{paragraph}".strip(),
    ]
    text = sentence * 20
    passages = [text[begin:end] for begin, end in PassageSplit(tokens=60, overlap=24).split(text).tolist()]
    assert all(each.startswith("One") and each.endswith("ten.") for each in passages)
    chinese = "我们今天去海边玩。" * 20
    for begin, end in PassageSplit(tokens=40, overlap=10).split(chinese).tolist():
        assert chinese[begin:end].startswith("我们") and chinese[begin:end].endswith("。")


def test_passages_share_tokens_and_are_about_equally_long() -> None:
    text = " ".join(f"w{number}" for number in range(205))
    (first, second) = PassageSplit(tokens=200, overlap=20).split(text).tolist()
    shared = text[second[0] : first[1]].split()
    assert 10 <= len(shared) <= 20
    assert abs(len(text[slice(*first)].split()) - len(text[slice(*second)].split())) < 60
    assert len(PassageSplit(tokens=205).split(text)) == 1


def test_no_mark_is_parted_from_its_letter() -> None:
    text = "ก็" * 300 + "ẹ\u0301" * 300
    for begin, end in PassageSplit(tokens=21, overlap=4).split(text, characters).tolist():
        assert text[begin] in "กẹ" and text[end - 1] not in "กẹ"


@pytest.mark.parametrize("text", ["x" * 1_000_000, "word " * 200_000, "海" * 200_000, "\n" * 300_000 + "end"])
def test_long_texts_have_passages_of_bounded_length(text: str) -> None:
    spans = PassageSplit().split(text)
    assert np.diff(spans).max() <= 200 * 64


def test_rows_have_unique_ids_their_title_and_arrays() -> None:
    text = " ".join(f"w{number}" for number in range(30))
    documents = [Document("a", "The title", text), Document("a#0", "", "short"), Document("b", "", "")]
    rows = PassageRows(documents, PassageSplit(tokens=16, overlap=2))
    for _ in range(2):  # it can be gone through again
        pairs = list(rows)
        ids, texts = zip(*pairs, strict=True)
        assert len(set(ids)) == len(ids) and [document_of(each) for each in ids] == ["a"] * (len(ids) - 2) + [
            "a#0",
            "b",
        ]
        assert all(each.startswith("The title ") for each in texts[:-2])
        assert texts[0].count("The title") == 1 and texts[-2:] == ("short", "")
        assert rows.starts.tolist() == [0, len(ids) - 2, len(ids) - 1, len(ids)]
        assert all(
            passage.endswith(documents[0].full_text[begin:end])
            for passage, (begin, end) in zip(texts[:-2], rows.spans.tolist()[:-2], strict=True)
        )
        assert all(len(each.split()) <= 16 for each in texts)
    plain = PassageRows(documents, PassageSplit(tokens=16, overlap=2, title=False))
    assert [text.startswith("The title") for _, text in plain][:3] == [True, False, False]


def test_a_long_title_leaves_room_for_the_text() -> None:
    document = Document("a", "very long title " * 1000, "w " * 100)
    texts = [text for _, text in PassageRows([document], PassageSplit(tokens=20, overlap=0))]
    assert all(len(text.split()) <= 20 for text in texts)
    assert texts[-1].split()[:6] == ["very", "long", "title", "very", "long", "w"]


@pytest.mark.parametrize("values", [{"tokens": 7}, {"overlap": -1}, {"overlap": 101}, {"title": 1}, {"tokens": 20.0}])
def test_values_are_checked(values: dict[str, object]) -> None:
    with pytest.raises(ParameterError):
        PassageSplit(**values)  # type: ignore[arg-type]


def test_a_split_is_saved_as_json_and_read_back() -> None:
    assert PassageSplit(**asdict(PassageSplit(100, 10, False))) == PassageSplit(100, 10, False)
