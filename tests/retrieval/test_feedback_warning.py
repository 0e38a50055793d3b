"""A warning of feedback that is known to lose, once, and not where the weights were chosen."""

from __future__ import annotations

import warnings

import pytest

from lsr.cli.main import main
from lsr.errors import LsrWarning
from lsr.index.inverted.exact_index import ExactIndex
from lsr.retrieval.feedback_warning import warn_once
from lsr.retrieval.indexing import build_index
from lsr.retrieval.request import Feedback, FeedbackMethod
from lsr.retrieval.searcher import Searcher
from lsr.vectors.sparse_vectors import SparseVectors

TEXTS = [f"alpha beta gamma {row} and delta" for row in range(12)]


@pytest.fixture(autouse=True)
def nothing_told() -> None:
    warn_once.cache_clear()


@pytest.fixture(scope="module")
def bm25(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    return build_index(TEXTS, tmp_path_factory.mktemp("feedback") / "index", "bm25")


class Learned:
    """Vectors of letters, as a network's: not BM25's."""

    name, dim = "letters", 26

    def encode_documents(self, texts: list[str]) -> list[dict[int, float]]:
        return [{ord(letter) - 97: 1.0 for letter in text if letter.isalpha()} for text in texts]

    encode_queries = encode_documents


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    rows = Learned().encode_documents(TEXTS)
    return Searcher(ExactIndex.build(SparseVectors.from_dicts(rows, dim=26)), Learned())


def told(searcher: Searcher, feedback: Feedback | FeedbackMethod | None) -> list[str]:
    """Warnings of three searches."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for text in TEXTS[:3]:
            searcher.search(text, feedback=feedback)
    assert all(issubclass(each.category, LsrWarning) for each in caught)
    return [str(each.message) for each in caught]


def test_the_published_weights_are_warned_of_once(bm25: Searcher, learned: Searcher) -> None:
    [message] = told(bm25, "rocchio")
    assert "BM25" in message and "rm3" in message and "beta" in message
    [message] = told(learned, "rm3")
    assert "alpha such as .8" in message
    [message] = told(learned, Feedback("rocchio", depth=3))
    assert "learned sparse" in message


@pytest.mark.parametrize("feedback", [None, Feedback(beta=0.25), Feedback(alpha=1.0), Feedback("rm3")])
def test_chosen_weights_and_methods_without_known_loss_do_not_warn(bm25: Searcher, feedback: Feedback | None) -> None:
    assert told(bm25, feedback) == []


def test_vectors_without_an_encoder_do_not_warn(learned: Searcher) -> None:
    searcher = Searcher(learned.index, None)
    queries = SparseVectors.from_dicts(Learned().encode_documents(TEXTS[:2]), dim=26)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        searcher.search_batch(queries, feedback="rocchio")


def test_the_command_line_prints_the_warning(bm25: Searcher, capsys: pytest.CaptureFixture[str]) -> None:
    assert bm25.snapshot.generation is not None
    words = ["search", str(bm25.snapshot.generation.folder), "alpha", "--feedback", "rocchio"]
    with warnings.catch_warnings():
        assert main(words) == 0
        assert capsys.readouterr().err.count("prefer rm3") == 1
        assert main([*words, "--beta", "0.25"]) == 0
        assert "prefer rm3" not in capsys.readouterr().err
