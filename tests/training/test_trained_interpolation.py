"""From a training to interpolation: a uniCOIL of two steps is the sparse side, against sums by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lsr.collections.collection import load_collection
from lsr.encoders.load import load_encoder
from lsr.index.parameters import SearchParams
from lsr.retrieval.indexing import build_index
from lsr.retrieval.query_vectors import QueryVectors
from lsr.retrieval.request import Feedback, Fusion, Place
from lsr.retrieval.searcher import Searcher
from tests.training.trained import train_here, write_config

DIM, DEPTH, WEIGHT = 8, 12, 0.4
FEEDBACK = Feedback("rocchio", depth=3, alpha=0.5, beta=0.5)
Numbers = npt.NDArray[np.float64]
Scores = dict[int, float]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unicoil")
    train_here(write_config(folder, "steps = 2", encoder=f'method = "unicoil"\nbackbone = "{folder / "model"}"'))
    return folder


def best(scores: Numbers, least: float) -> Scores:
    """The first DEPTH documents of more than the least score."""
    rows = [row for row in np.argsort(-scores, kind="stable")[:DEPTH].tolist() if scores[row] > least]
    return {row: float(scores[row]) for row in rows}


def summed(sparse: Scores, dense: Scores) -> Scores:
    """WEIGHT * sparse + (1 - WEIGHT) * dense after min-max; a document that a list lacks has its lowest score, 0."""

    def normal(scores: Scores) -> Scores:
        low, high = min(scores.values()), max(scores.values())
        return {row: (score - low) / (high - low) if high > low else 1.0 for row, score in scores.items()}

    first, second = normal(sparse), normal(dense)
    assert min(first.values()) == min(second.values()) == 0
    found = {row: WEIGHT * first.get(row, 0) + (1 - WEIGHT) * second.get(row, 0) for row in {*first, *second}}
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def by_hand(sparse: Scores, vectors: Numbers, query: Numbers, way: Place) -> Scores:
    first = best(vectors @ query, -np.inf)
    source = summed(sparse, first) if way in ("before", "both") else first
    query = 0.5 * query + 0.5 * vectors[list(source)[:3]].mean(0)
    second = best(vectors @ query, -np.inf)
    return summed(sparse, second) if way in ("after", "both") else second


@pytest.mark.parametrize("way", ["before", "after", "both"])
def test_a_trained_unicoil_is_interpolated(folder: Path, tmp_path: Path, way: Place) -> None:
    collection = load_collection(folder / "data", "dev")
    documents = list(collection.documents())[:40]
    texts = list(collection.queries().values())[:4]
    random = np.random.default_rng(2)
    vectors = random.normal(size=(len(documents), DIM)).astype(np.float32)
    asked = random.normal(size=(len(texts), DIM)).astype(np.float32)

    encoder = load_encoder(folder / "out" / "encoder", device="cpu")
    build_index(documents, tmp_path / "index", encoder, vectors)
    searcher = Searcher.open(tmp_path / "index", device="cpu")
    assert searcher.encoder.describe() == encoder.describe()
    found = searcher.search_batch(
        QueryVectors(asked, texts),
        DEPTH,
        SearchParams(exact=True),
        feedback=FEEDBACK,
        interpolate=way,
        fusion=Fusion(weight=WEIGHT, depth=DEPTH),
    )
    matrix = encoder.encode_documents([each.full_text for each in documents]).to_scipy()
    queries = encoder.encode_queries(texts).to_scipy()
    sparse = (matrix @ queries.T).toarray().T.astype(np.float64)
    assert (sparse > 0).any(1).all()
    for row, hits in enumerate(found):
        expected = by_hand(best(sparse[row], 0.0), vectors.astype(np.float64), asked[row].astype(np.float64), way)
        scores = {hit.row: hit.score for hit in hits}
        assert len(scores) == DEPTH
        assert scores == pytest.approx({each: expected[each] for each in scores}, abs=1e-4)
        assert [hit.score for hit in hits] == pytest.approx(list(expected.values())[:DEPTH], abs=1e-4)
