"""lsr verify: what it prints, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsr import load_encoder
from lsr.encoders.golden_card import known_cards
from tests.cli.commands import Lsr, rejected
from tests.encoders.models import write_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


def write_card(path: Path, score: float, doubt: str = "") -> Path:
    path.write_text(
        'model = "somebody/small"\ntraps = ["it is small"]\n[[scores]]\nquery = "the sea"\n'
        f'documents = ["alpha beta of the sea"]\nexpected = [{score!r}]\nsource = "a test"\ndoubt = "{doubt}"\n'
    )
    return path


@pytest.fixture(scope="module")
def score(folder: Path) -> float:
    encoder = load_encoder(folder, device="cpu")
    query, document = encoder.encode_queries(["the sea"]), encoder.encode_documents(["alpha beta of the sea"])
    return float(query.to_dense()[0] @ document.to_dense()[0])


def test_a_model_that_matches_its_card(lsr: Lsr, folder: Path, score: float, tmp_path: Path) -> None:
    card = write_card(tmp_path / "card.toml", score)
    outcome = lsr("verify", str(folder), "--card", str(card))
    assert (outcome.status, outcome.err) == (0, "")
    head, check, trap, summary = outcome.out.splitlines()
    assert head.split() == ["check", "expected", "found", "allowed", "source"]
    assert check.startswith('ok  score of "alpha beta of the sea" for "the sea"')
    assert check.endswith("a test")
    assert trap == "note: it is small"
    assert summary == f"{folder}, by the card of somebody/small: 1 check, all match"


def test_a_model_that_differs_from_its_card(lsr: Lsr, folder: Path, score: float, tmp_path: Path) -> None:
    card = write_card(tmp_path / "card.toml", score * 1.1)
    outcome = lsr("verify", str(folder), "--card", str(card))
    assert outcome.status == 1
    assert outcome.out.splitlines()[1].startswith("FAILED  score of")
    assert outcome.out.splitlines()[-1].endswith("1 check, 1 check failed")

    outcome = lsr("verify", str(folder), "--card", str(card), "--json")
    assert outcome.status == 1
    (check,) = outcome.json["checks"]
    assert (outcome.json["passed"], check["passed"]) == (False, False)
    assert check["found"] == pytest.approx(score)
    assert check["expected"] == pytest.approx(score * 1.1)

    card = write_card(tmp_path / "card.toml", score * 1.1, "an older model")
    outcome = lsr("verify", str(folder), "--card", str(card))
    assert outcome.status == 0
    assert outcome.out.splitlines()[1].startswith("doubtful  score of")
    assert "uncertain: an older model" in outcome.out.splitlines()


def test_the_bundled_model(lsr: Lsr) -> None:
    outcome = lsr("verify", "tiny")
    assert outcome.status == 0
    assert outcome.out.splitlines()[-1] == "tiny, by the card of rasyosef/splade-tiny: 5 checks, all match"


def test_the_list_of_cards(lsr: Lsr) -> None:
    rows = [line.split() for line in lsr("verify").out.splitlines()]
    assert rows[0] == ["model", "also", "queries", "parameters", "license", "checks"]
    assert {row[0] for row in rows[1:]} == set(known_cards())
    assert ["rasyosef/splade-tiny", "tiny", "network", "4.4M", "5"] in rows
    assert [each["model"] for each in lsr("verify", "--json").json] == list(known_cards())


def test_invalid_arguments_are_refused(lsr: Lsr, folder: Path, tmp_path: Path) -> None:
    assert "lsr has no golden card of this model" in rejected(lsr("verify", str(folder)))
    assert "`lsr verify` lists the models with a card" in rejected(lsr("verify", "naver/splade-v4"))
    assert "no such encoder" in rejected(lsr("verify", "nowhere", "--card", "tiny"))
    assert "cannot be read" in rejected(lsr("verify", "tiny", "--card", str(tmp_path / "no.toml")))
