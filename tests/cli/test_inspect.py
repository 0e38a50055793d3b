"""lsr inspect: the table, the JSON, and that both say what the library says."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.load import load_encoder
from tests.cli.commands import Lsr, rejected

DOCUMENT = "The heart pumps blood through the body."
QUERY = "what does the cardiac muscle do"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    BM25Encoder().fit(["heart blood", "heart liver", "lung"]).save(tmp_path / "bm25")
    return tmp_path / "bm25"


@pytest.mark.parametrize("side", ["document", "query"])
def test_json_holds_every_term(lsr: Lsr, side: str) -> None:
    record = lsr("inspect", "tiny", DOCUMENT, "--json", *(["--query"] if side == "query" else [])).json
    assert (record["encoder"], record["side"], record["text"]) == ("tiny", side, DOCUMENT)
    encoder = load_encoder("tiny")
    vectors = encoder.encode_queries([DOCUMENT]) if side == "query" else encoder.encode_documents([DOCUMENT])
    components, weights = vectors.row(0)
    expected = {encoder.vocabulary.token(each): weight for each, weight in zip(components, weights, strict=True)}
    assert {term["token"]: term["weight"] for term in record["terms"]} == pytest.approx(expected)
    assert [term["weight"] for term in record["terms"]] == sorted(expected.values(), reverse=True)
    literal = {term["token"] for term in record["terms"] if term["literal"]}
    assert {"heart", "pumps", "blood", "body"} <= literal <= {"the", "heart", "pumps", "blood", "through", "body", "."}
    assert record["literal"] == len(literal)
    assert record["expanded"] == len(expected) - len(literal) > 0
    weight = sum(expected[token] for token in literal)
    assert record["literal_share"] == pytest.approx(weight / sum(expected.values()))


def test_the_table(lsr: Lsr) -> None:
    record = lsr("inspect", "tiny", DOCUMENT, "--json").json
    shown = lsr("inspect", "tiny", DOCUMENT, "-k", 10)
    assert (shown.status, shown.err) == (0, "")
    summary, blank, head, *rows, rest = shown.out.splitlines()
    share = record["literal_share"]
    assert summary == (
        f"document: {len(record['terms'])} terms, {record['literal']} literal ({share:.1%} of the weight), "
        f"{record['expanded']} from expansion ({1 - share:.1%})"
    )
    assert (blank, head.split(), rest) == ("", ["term", "weight"], f"and {len(record['terms']) - 10} more")
    assert [row.split() for row in rows] == [
        [term["token"], f"{term['weight']:.4f}", "literal" if term["literal"] else "expanded"]
        for term in record["terms"][:10]
    ]


def test_against_a_query(lsr: Lsr) -> None:
    record = lsr("inspect", "tiny", DOCUMENT, "--against", QUERY, "--json").json
    left = {term["token"]: term for term in lsr("inspect", "tiny", DOCUMENT, "--json").json["terms"]}
    right = {term["token"]: term for term in lsr("inspect", "tiny", QUERY, "--query", "--json").json["terms"]}
    shared = {term["token"]: term for term in record["shared"]}
    assert set(shared) == set(left) & set(right)
    assert "heart" in shared  # only the document says it
    for token, term in shared.items():
        assert term["document_weight"] == pytest.approx(left[token]["weight"])
        assert term["query_weight"] == pytest.approx(right[token]["weight"])
        assert term["product"] == pytest.approx(term["document_weight"] * term["query_weight"])
        assert (term["in_document"], term["in_query"]) == (left[token]["literal"], right[token]["literal"])
    assert record["score"] == pytest.approx(sum(term["product"] for term in shared.values()))
    assert sum(term["share"] for term in shared.values()) == pytest.approx(1)
    assert record["document"]["not_shared"] == len(left) - len(shared)
    assert record["query"]["not_shared"] == len(right) - len(shared)

    shown = lsr("inspect", "tiny", DOCUMENT, "--against", QUERY, "-k", 3).out.splitlines()
    assert shown[0] == f"score {record['score']:.4f} from {len(shared)} shared terms"
    assert (
        shown[3]
        == f"not shared: {len(left) - len(shared)} terms of the document, {len(right) - len(shared)} of the query"
    )
    assert shown[5].split() == ["term", "document", "query", "contribution", "share"]
    best = record["shared"][0]
    assert shown[6].split()[0] == best["token"]
    assert shown[6].split()[-2:] == [f"{best['product']:.4f}", f"{best['share']:.1%}"]
    assert shown[-1] == f"and {len(shared) - 3} more"


def test_bm25(lsr: Lsr, saved: Path) -> None:
    assert "bm25 is not fitted" in rejected(lsr("inspect", "bm25", "heart"))
    shown = lsr("inspect", saved, "heart blood bone", "--against", "heart of the lung").out.splitlines()
    assert shown[0].endswith("from 1 shared term")
    assert shown[1] == "document: 2 terms, 2 literal (100.0% of the weight), 0 from expansion (0.0%)"
    assert shown[3] == "not shared: 1 term of the document, 1 of the query"
    assert shown[-1].split()[::2] == ["heart", "literal", "literal", "100.0%"]


def test_nothing_to_show(lsr: Lsr, saved: Path) -> None:
    for encoder in ("tiny", saved):
        for text in ("", " \t\n"):
            assert lsr("inspect", encoder, text).out == "document: no terms\n"
            assert lsr("inspect", encoder, text, "--json").json["terms"] == []
    nothing = lsr("inspect", saved, "heart", "--against", "bone").out.splitlines()
    assert nothing[0] == "score 0.0000 from 0 shared terms"
    assert nothing[2:] == ["query: no terms", "not shared: 1 term of the document, 0 of the query"]


def test_tokens_cannot_steer_the_terminal(lsr: Lsr, tmp_path: Path) -> None:
    joined = "nim\u200cfasele"  # a joiner, which is part of the word
    BM25Encoder().fit([joined, "heart"]).save(tmp_path / "bm25")
    (row,) = lsr("inspect", tmp_path / "bm25", joined).out.splitlines()[3:]
    assert row.split()[0] == r"nim\u200cfasele"
    assert lsr("inspect", tmp_path / "bm25", joined, "--json").json["terms"][0]["token"] == joined
    shown = lsr("inspect", "tiny", "heart\x1b[31m red\x9b\x07\u202e", "--against", "\x1b]0;x\x07 heart")
    assert (shown.status, shown.err) == (0, "")
    assert shown.out.replace("\n", "").isprintable()


def test_a_text_of_a_hundred_thousand_tokens(lsr: Lsr) -> None:
    outcome = lsr("inspect", "tiny", "liver " * 100_000, "--max-length", 64, "--json")
    assert outcome.status == 0
    assert "liver" in {term["token"] for term in outcome.json["terms"] if term["literal"]}


def test_max_length(lsr: Lsr) -> None:
    """What is not read is not literal either, even if the encoder expands to it."""
    record = lsr("inspect", "tiny", "heart blood", "--max-length", 3, "--json").json
    assert [term["token"] for term in record["terms"] if term["literal"]] == ["heart"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("heart", "-k", 0), "-k is 0; it must be at least 1"),
        (("heart", "--query", "--against", "blood"), "--query and --against cannot be combined"),
        (("heart", "--dtype", "float8"), "float8"),
        (("heart", "--max-length", 0), "max_length is 0"),
        (("\udc80",), "lone surrogate"),
    ],
)
def test_bad_input(lsr: Lsr, words: tuple[object, ...], message: str) -> None:
    assert message in rejected(lsr("inspect", "tiny", *words))


def test_unknown_encoder(lsr: Lsr, tmp_path: Path) -> None:
    assert str(tmp_path / "none") in rejected(lsr("inspect", tmp_path / "none", "heart"))
