"""Golden cards: those that come with lsr, and what verify_encoder makes of one that is met and of one that is not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr import GoldenCard, encoder_from, load_encoder, verify_encoder
from lsr.encoders.golden_card import OrderCheck, ScoreCheck, WeightCheck, find_card, known_cards
from lsr.errors import EncoderError, ParameterError
from tests.encoders.models import SPECIAL, WORDS, splade_max, write_model

OPENSEARCH = "opensearch-project/opensearch-neural-sparse-encoding-"
TEXTS = ["alpha beta of the sea", "running alphas", "gamma"]


def test_every_card_says_who_gives_its_numbers() -> None:
    cards = known_cards()
    for model, card in cards.items():
        assert model == card.model and model.count("/") == 1
        assert card.queries and re.fullmatch(r"[\d.]+[MB](, queries [\d.]+[MB])?", card.parameters), model
        for check in (*card.scores, *card.weights, *card.orders):
            assert check.source, model
    names = [name for card in cards.values() for name in (card.model, *card.also)]
    assert len(names) == len(set(names)) > 25
    for name in (
        *(OPENSEARCH + each for each in ("doc-v3-gte", "doc-v3-distill", "doc-v2-distill", "multilingual-v1")),
        "BAAI/bge-m3", "utahnlp/laconic-1b", "ibm-granite/granite-embedding-30m-sparse", "naver/splade-code-06B",
        "naver/splade-v3", "naver/splade-cocondenser-ensembledistil", "tiny",
    ):  # fmt: skip
        assert find_card(name).traps, name


@pytest.mark.parametrize("name", ["doc-v1", "doc-v2-distill", "doc-v2-mini", "doc-v3-distill"])
def test_published_scores_are_sums_of_the_published_weights(name: str) -> None:
    """The weights of queries are those of all of these models, from one table."""
    card = find_card(OPENSEARCH + name)
    table = next(each for each in find_card(OPENSEARCH + "doc-v3-distill").weights if each.query).expected
    (score,) = (each for each in card.scores if each.documents == ("Currently New York is rainy.",))
    (document,) = (each for each in card.weights if not each.query)
    products = sum(table[token] * weight for token, weight in document.expected.items())
    assert products == pytest.approx(score.expected[0], rel=1e-3)


def test_the_bundled_model_is_what_was_published() -> None:
    result = verify_encoder("tiny", device="cpu")
    assert result.passed and not result.failed
    assert (result.model, result.card, len(result.checks)) == ("tiny", "rasyosef/splade-tiny", 5)
    assert [check.passed for check in result.checks] == [True] * 5
    # Another model's card is not met, by as much as the two differ.
    other = verify_encoder(load_encoder("tiny", device="cpu"), "rasyosef/splade-mini")
    assert [check.passed for check in other.checks] == [True, False, False, False, False]
    assert other.failed == other.checks[1:]
    assert repr(other) == "Verification(tiny, card rasyosef/splade-mini, 5 checks, failed 4 checks)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def card(folder: Path) -> GoldenCard:
    """What a small model gives, computed by plain transformers code."""
    rows = splade_max(folder, TEXTS, 96)
    tokens = SPECIAL + WORDS
    products = rows @ rows[0]
    best, worst = int(np.argmax(products)), int(np.argmin(products))
    return GoldenCard(
        "somebody/small",
        components=len(tokens),
        scores=(ScoreCheck(TEXTS[0], tuple(TEXTS), tuple(products.tolist()), source="here"),),
        weights=(WeightCheck(TEXTS[1], dict(zip(tokens, rows[1].tolist(), strict=True)), query=True, source="here"),),
        orders=(OrderCheck(TEXTS[0], (TEXTS[best], TEXTS[worst]), products[best] / products[worst] * 0.99),),
        traps=("it is small",),
    )


def test_a_card_that_is_met(folder: Path, card: GoldenCard) -> None:
    result = verify_encoder(folder, card, device="cpu")
    assert result.passed, result.failed
    assert len(result.checks) == card.checks == 1 + 3 + len(SPECIAL + WORDS) + 1
    assert result.traps == ("it is small",)
    again = verify_encoder(load_encoder(folder, device="cpu"), card).as_json()
    assert again == {**result.as_json(), "model": str(folder)}
    assert again["passed"] and all(each["passed"] for each in again["checks"])


def failing(card: GoldenCard) -> dict[str, tuple[GoldenCard, int]]:
    """name -> a card that the model does not meet, and how many checks fail."""
    score, weight, order = card.scores[0], card.weights[0], card.orders[0]
    first, *others = score.expected
    return {
        "a score a little too high": (replace(card, scores=(replace(score, expected=(first * 1.01, *others)),)), 1),
        "a weight of a token that has none": (
            replace(card, weights=(replace(weight, expected={"[PAD]": weight.expected["[PAD]"] + 0.01}),)), 1,
        ),
        "a token that is not there": (
            replace(card, weights=(replace(weight, expected={"Paris": 0.0, "sea": -1.0}),)), 2,
        ),
        "components": (replace(card, components=7), 1),
        "an order": (replace(card, orders=(replace(order, factor=order.factor * 1.02),)), 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["a score a little too high", "a weight of a token that has none", "a token that is not there", "components",
     "an order"],
)  # fmt: skip
def test_a_card_that_is_not_met(folder: Path, card: GoldenCard, name: str) -> None:
    wrong, count = failing(card)[name]
    result = verify_encoder(folder, wrong, device="cpu")
    assert not result.passed
    assert len(result.failed) == sum(not each.passed for each in result.checks) == count


def test_documents_that_all_score_nothing_are_in_no_order(folder: Path) -> None:
    def nothing(texts: Any) -> np.ndarray:
        return np.zeros((len(texts), 3))

    card = GoldenCard("somebody/nothing", orders=(OrderCheck("a", ("b", "c")),))
    assert not verify_encoder(encoder_from(nothing, dim=3), card).passed


def test_doubtful_references_do_not_fail(folder: Path, card: GoldenCard) -> None:
    wrong, _ = failing(card)["a score a little too high"]
    doubtful = replace(wrong, scores=(replace(wrong.scores[0], doubt="another text, perhaps"),))
    result = verify_encoder(folder, doubtful, device="cpu")
    assert result.passed and sum(not each.passed for each in result.checks) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('model = "a/b"', "the card of 'a/b' checks nothing"),
        ("components = 3", "model is missing"),
        (
            'model = "a/b"\n[[scores]]\nquery = "q"\ndocuments = ["d", "e"]\nexpected = [1.0]',
            "1 scores for 2 documents",
        ),
        ('model = "a/b"\n[[scores]]\nquery = "q"\ndocuments = []\nexpected = []', "0 scores for 0 documents"),
        ('model = "a/b"\n[[weights]]\ntext = "q"\n[weights.expected]', "expected has no tokens"),
        ('model = "a/b"\n[[weights]]\ntext = "q"\ntolerance = 1.5\n[weights.expected]\na = 1', "tolerance is 1.5"),
        ('model = "a/b"\n[[orders]]\nquery = "q"\ndocuments = ["d"]', "an order needs at least two documents"),
        ('model = "a/b"\n[[order]]\nquery = "q"', "order is unknown; perhaps orders"),
        ("model =", "is not valid TOML"),
    ],
)
def test_bad_cards(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "card.toml"
    path.write_text(content)
    with pytest.raises(ParameterError, match=message) as raised:
        verify_encoder("tiny", path)
    assert str(path) in str(raised.value)


def test_models_and_cards_that_are_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        EncoderError, match=r"naver/splade-v4: lsr has no golden card of this model.* perhaps naver/splade-v3"
    ):
        verify_encoder("naver/splade-v4")
    with pytest.raises(EncoderError, match="lsr has no golden card"):
        verify_encoder(tmp_path)
    with pytest.raises(ParameterError, match=r"no\.toml: cannot be read"):
        verify_encoder("tiny", tmp_path / "no.toml")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        EncoderError, match="naver/splade-v3: is not a folder, and cannot be downloaded from Hugging Face"
    ):
        verify_encoder("naver/splade-v3")
