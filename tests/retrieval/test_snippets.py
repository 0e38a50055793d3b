"""Snippets: what they show of a text, and what they mark in it."""

from __future__ import annotations

import pickle
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr import load_encoder
from lsr.encoders.base import Encoder, TokenSpans
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.bm25_words import token_spans, tokenize
from lsr.errors import ParameterError
from lsr.index.inverted.exact_index import ExactIndex
from lsr.retrieval.searcher import Searcher
from lsr.retrieval.snippets import Snippet, make_snippet

TEXT = (
    "Bone mineral density is low in children without vitamin D. The study took place in Norway. "
    "Snowboarding was not allowed there, as C++ was. Café crème was served. "
) * 3 + "A last sentence about the bones of whales."
CHINESE = "我们今天去海边玩。" * 30 + "月亮和潮汐的关系非常复杂。" + "科学家们研究了很多年。" * 30


def snippet_of(encoder: Encoder, query: str, text: str, length: int = 100) -> Snippet:
    (components, weights), (others, values) = (
        encoder.encode_queries([query]).row(0),
        encoder.encode_documents([text]).row(0),
    )
    document = dict(zip(others.tolist(), values.tolist(), strict=True))
    pairs = zip(components.tolist(), weights.tolist(), strict=True)
    contributions = {component: weight * document[component] for component, weight in pairs if component in document}
    return make_snippet(text, contributions, encoder.vocabulary.token, encoder.spans, length)


def highlighted(snippet: Snippet) -> list[str]:
    return [snippet.text[begin:end] for begin, end in snippet.highlights]


@pytest.fixture(scope="module")
def bm25() -> BM25Encoder:
    return BM25Encoder().fit([TEXT, CHINESE])


@pytest.fixture(scope="module")
def tiny() -> Encoder:
    return load_encoder("tiny")


def test_words_that_contribute_are_marked(bm25: BM25Encoder) -> None:
    snippet = snippet_of(bm25, "norway vitamin DENSITY", TEXT)
    assert highlighted(snippet) == ["density", "vitamin", "Norway"]
    assert snippet.text == TEXT[snippet.begin : snippet.end] and snippet.text.startswith("Bone mineral")
    assert highlighted(snippet_of(bm25, "whales", TEXT)) == ["whales"]
    assert snippet_of(bm25, "whales", TEXT).text.endswith("whales.")
    assert highlighted(snippet_of(bm25, "CAFE\u0301", TEXT)) == ["Café"]


def test_the_beginning_is_shown_where_no_word_contributes(bm25: BM25Encoder) -> None:
    snippet = snippet_of(bm25, "zebra", TEXT)
    assert (snippet.begin, snippet.highlights) == (0, ()) and 60 < len(snippet.text) <= 100
    assert TEXT[snippet.end] == " "
    assert make_snippet("", {}, str, bm25.spans) == Snippet("", 0, 0)


def test_text_without_spaces_is_cut_and_marked(bm25: BM25Encoder) -> None:
    snippet = snippet_of(bm25, "月亮潮汐", CHINESE, 40)
    assert highlighted(snippet) == ["月亮", "潮汐"]
    assert len(snippet.text) <= 40 and snippet.text.startswith("月亮")


def test_a_network_marks_its_tokens_as_words_but_no_expansion(tiny: Encoder) -> None:
    snippet = snippet_of(tiny, "vitamin d and bone density", TEXT)
    assert {"Bone", "density", "vitamin"} <= set(highlighted(snippet))
    sports = snippet_of(tiny, "snow sports", TEXT)
    assert "Snow" in highlighted(sports)[0] and "sport" not in sports.text
    assert highlighted(snippet_of(tiny, "月亮", CHINESE)) == []  # unknown to its vocabulary


def test_pieces_of_a_word_are_marked_together() -> None:
    # "snowboarding boarding" as snow ##board ##ing board ##ing
    spans = TokenSpans.of([(0, 0, 4), (1, 4, 9), (2, 9, 12), (3, 13, 18), (2, 18, 21)])

    def marked(*components: int) -> str:
        weights = dict.fromkeys(components, 1.0)
        return make_snippet("snowboarding boarding", weights, str, lambda _: spans).marked("[", "]")

    assert marked(0, 1) == "[snowboarding] boarding"
    assert marked(0) == "[snow]boarding boarding"
    assert marked(2) == "snowboarding boarding"
    assert marked(3) == "snowboarding [boarding]"


def test_tokens_are_looked_for_as_words_where_places_are_unknown() -> None:
    names = ["snow", "##ing", "海边", "▁in", "absent"]
    text = "In Snow, snowing 去海边玩"
    found = make_snippet(text, dict.fromkeys(range(5), 1.0), names.__getitem__, None)
    assert highlighted(found) == ["In", "Snow", "海边"]


def test_small_contributions_are_not_marked(bm25: BM25Encoder) -> None:
    word = bm25.vocabulary.id_of
    weights = {word("bone"): 1.0, word("norway"): 0.01}
    assert highlighted(make_snippet(TEXT, weights, bm25.vocabulary.token, bm25.spans)) == ["Bone", "Bone"]  # type: ignore[arg-type]


def test_only_the_passage_is_shown(bm25: BM25Encoder) -> None:
    begin = TEXT.index("Snowboarding")
    weights = {bm25.vocabulary.id_of("vitamin"): 1.0, bm25.vocabulary.id_of("snowboarding"): 0.5}
    found = make_snippet(TEXT, weights, bm25.vocabulary.token, bm25.spans, 100, (begin, begin + 70))  # type: ignore[arg-type]
    assert found.begin == begin and found.end <= begin + 70 and highlighted(found) == ["Snowboarding"]
    for bad in ((-1, 5), (5, 4), (0, len(TEXT) + 1)):
        with pytest.raises(ParameterError, match="passage"):
            make_snippet(TEXT, {}, str, None, passage=bad)


def test_marks_of_text_and_of_html() -> None:
    snippet = Snippet("a <b> & c", 0, 9, ((2, 5), (8, 9)))
    assert snippet.marked() == "a **<b>** & **c**"
    assert snippet.html() == "a <mark>&lt;b&gt;</mark> &amp; <mark>c</mark>"
    assert snippet.as_dict() == {"text": "a <b> & c", "highlights": [[2, 5], [8, 9]]}
    assert str(snippet) == "a <b> & c"


@pytest.mark.parametrize("pad", ["Nothing to see here. ", "Né d'hier, là. ", "我们今天去海边玩。"])
def test_a_long_text_takes_milliseconds(bm25: BM25Encoder, pad: str) -> None:
    half = pad * (4_000_000 // len(pad))
    began = time.process_time()
    found = snippet_of_words(bm25, f"{half} the WHALES of Norway. {half}")
    assert highlighted(found) == ["WHALES", "Norway"]
    assert time.process_time() - began < 1  # milliseconds, on a machine that does nothing else


def snippet_of_words(encoder: BM25Encoder, text: str) -> Snippet:
    weights = {encoder.vocabulary.id_of(word): 1.0 for word in ("whales", "norway", "density")}
    return make_snippet(text, weights, encoder.vocabulary.token, encoder.spans)  # type: ignore[arg-type]


PIECES = (
    "bone",
    "Vitamin",
    " ",
    " ",
    "\n",
    ". ",
    "海边",
    "。",
    "ก็",
    "e\u0301",
    "ﬁ",
    "²",
    "İ",
    "Σ",
    "ΟΔΟΣ",
    "ß",
    "the",
    "x" * 30,
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join)


@given(TEXTS)
def test_spans_are_those_of_the_tokens(text: str) -> None:
    spans = list(token_spans(text))
    assert [word for word, _, _ in spans] == tokenize(text)
    for word, begin, end in spans:
        assert 0 <= begin < end <= len(text)
        normal = unicodedata.normalize("NFKC", text[begin:end]).lower()
        assert word.replace("ς", "σ") in normal.replace("ς", "σ")


@given(TEXTS, st.dictionaries(st.integers(0, 6), st.floats(0.1, 9), max_size=5), st.integers(20, 60))
def test_highlights_are_parts_of_a_part_of_the_text(text: str, weights: dict[int, float], length: int) -> None:
    encoder = BM25Encoder().fit(["bone vitamin 海边 2 x e\u0301 οδος"])
    found = make_snippet(text, weights, encoder.vocabulary.token, encoder.spans, length)
    assert found.text == text[found.begin : found.end] and len(found.text) <= length
    assert found.text == found.text.strip()
    ends = [at for pair in found.highlights for at in pair]
    assert ends == sorted(set(ends)) and all(0 <= at <= len(found.text) for at in ends)
    assert found.marked("", "") == found.text


def test_hits_have_snippets_pickled_ones_too(bm25: BM25Encoder) -> None:
    index = ExactIndex.build(bm25.encode_documents([CHINESE, TEXT]), ids=["a", "b"])
    hit = Searcher(index, bm25, [CHINESE, TEXT]).search("bones of whales in Norway", k=1)[0]
    assert hit.passage is None
    again = pickle.loads(pickle.dumps(hit))
    for each in (hit, again):
        assert highlighted(each.snippet(120)) == ["Norway", "bones", "whales"][-len(each.snippet(120).highlights) :]
        assert each.snippet(120).highlights
        shown = each.as_dict(snippet=120)
        assert shown["snippet"] == each.snippet(120).as_dict() and "snippet" not in each.as_dict()
    with pytest.raises(ParameterError, match="no texts"):
        Searcher(index, bm25).search("whales")[0].snippet()
