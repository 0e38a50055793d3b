"""DeepCT's weights as term frequencies of BM25, against numbers worked out by hand and the formula in plain Python."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr import Searcher, SparseVectors, TermFrequencyEncoder, build_encoder, build_index, load_encoder
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.errors import EncoderError, ParameterError
from tests.encoders.models import write_model
from tests.processes import run_python

TEXTS = ["alpha beta", "the sea of gamma running alphas", "sea sea the the beta", "", "run of delta sea"]
SEA = 5 + 8  # components of words behind five special tokens


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> SparseEncoder:
    """An encoder of positive weights, on disk. SPLADE's, so that there are some without training."""
    folder = tmp_path_factory.mktemp("network")
    build_encoder("splade-max", write_model(folder / "model"), device="cpu").save_pretrained(folder / "saved")
    loaded = load_encoder(folder / "saved", device="cpu")
    assert isinstance(loaded, SparseEncoder)
    return loaded


def rows(*of_documents: dict[int, float]) -> SparseVectors:
    return SparseVectors.of(list(of_documents), dim=17)


def test_by_hand(network: SparseEncoder) -> None:
    weights = rows({SEA: 0.3, 5: 0.04}, {SEA: 0.62}, {}, {6: 0.149, 7: 0.151})
    encoder = TermFrequencyEncoder(network, 10, k1=0.9, b=0.4).fit_weights([weights[:2], weights[2:]])
    assert encoder.frequencies(weights).to_dense()[:, [SEA, 5, 6, 7]].tolist() == [
        [3, 0, 0, 0], [6, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 2]
    ]  # fmt: skip
    average = (3 + 6 + 0 + 3) / 4
    impacts = encoder.impacts(weights).to_dense()
    assert impacts[0, SEA] == pytest.approx(3 / (3 + 0.9 * (0.6 + 0.4 * 3 / average)))
    assert impacts[1, SEA] == pytest.approx(6 / (6 + 0.9 * (0.6 + 0.4 * 6 / average)))
    assert (impacts[3, 6], impacts[3, 7]) == pytest.approx((1 / (1 + 0.9), 2 / (2 + 0.9)))
    assert np.count_nonzero(impacts) == 4
    queries = encoder.encode_queries(["sea of the sea", "[CLS]", "beta"]).to_dense()
    assert queries[0, SEA] == pytest.approx(2 * math.log(1 + (4 - 2 + 0.5) / (2 + 0.5)))
    assert queries[2, 6] == pytest.approx(math.log(1 + (4 - 1 + 0.5) / (1 + 0.5)))
    assert queries[0, 5 + 4] == pytest.approx(queries[2, 6])  # "of", in no document: as in a single one
    assert not queries[1].any()


def test_scores_are_bm25_over_rounded_weights(network: SparseEncoder) -> None:
    scale, k1, b = 7.0, 1.2, 0.75
    encoder = TermFrequencyEncoder(network, scale, k1, b).fit(iter(TEXTS))
    weights = network.encode_documents(TEXTS).to_dense()
    frequency = [[round(scale * float(weight)) for weight in row] for row in weights]
    lengths = [sum(row) for row in frequency]
    found = encoder.encode_queries(["sea alpha sea run"]).to_dense() @ encoder.encode_documents(TEXTS).to_dense().T
    vocabulary = encoder.vocabulary
    for document, tf in enumerate(frequency):
        score = 0.0
        for token, times in (("sea", 2), ("alpha", 1), ("run", 1)):
            component = vocabulary.id_of(token)
            assert component is not None
            n = sum(row[component] > 0 for row in frequency)
            idf = math.log(1 + (len(TEXTS) - n + 0.5) / (n + 0.5))
            norm = k1 * (1 - b + b * lengths[document] / (sum(lengths) / len(TEXTS)))
            score += times * idf * tf[component] / (tf[component] + norm)
        assert found[0, document] == pytest.approx(score, rel=1e-5)


def test_saved_it_looks_queries_up_without_its_network(network: SparseEncoder, tmp_path: Path) -> None:
    encoder = TermFrequencyEncoder(network, 10).fit(TEXTS)
    encoder.save(tmp_path / "one")
    opened = load_encoder(tmp_path / "one", device="cpu")
    opened.save(tmp_path / "two")
    again = load_encoder(tmp_path / "two", device="cpu")
    for each in (opened, again):
        assert each.describe() == encoder.describe()
        assert each.encode_queries(TEXTS) == encoder.encode_queries(TEXTS)
        assert each.encode_documents(TEXTS) == encoder.encode_documents(TEXTS)
        assert each.literal("sea", query=True) == each.literal("sea") == {SEA}
    code = f"""
import sys, lsr
print(lsr.load_encoder({str(tmp_path / "one")!r}).encode_queries(["sea"]).nnz, "torch" in sys.modules)"""
    assert run_python(code).stdout.split() == ["1", "False"]
    shutil.rmtree(tmp_path / "two" / "network")
    lost = load_encoder(tmp_path / "two")
    assert lost.encode_queries(TEXTS) == encoder.encode_queries(TEXTS)
    with pytest.raises(EncoderError):
        lost.encode_documents(TEXTS)
    (tmp_path / "one" / "query" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(EncoderError):
        load_encoder(tmp_path / "one")


def test_an_index_runs_the_network_once_and_resumes(
    network: SparseEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, read = SparseEncoder.encode_documents, []

    def counted(self: SparseEncoder, texts: list[str], *rest: Any, **named: Any) -> SparseVectors:
        read.extend(texts)
        return encode(self, texts, *rest, **named)

    def killed(self: TermFrequencyEncoder, weights: SparseVectors) -> SparseVectors:
        raise KeyboardInterrupt

    monkeypatch.setattr(SparseEncoder, "encode_documents", counted)
    documents = [text for text in TEXTS if text]
    with monkeypatch.context() as patched:
        patched.setattr(TermFrequencyEncoder, "impacts", killed)
        with pytest.raises(KeyboardInterrupt):
            build_index(documents, tmp_path / "index", TermFrequencyEncoder(network, 10))
    searcher = build_index(documents, tmp_path / "index", TermFrequencyEncoder(network, 10))
    assert read == documents
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    expected = TermFrequencyEncoder(network, 10).fit(documents)
    scores = expected.encode_queries(["sea run"]).to_dense() @ expected.encode_documents(documents).to_dense().T
    with Searcher.open(tmp_path / "index") as opened:
        for each in (searcher, opened):
            hits = each.search("sea run", k=4)
            assert {hit.doc_id: hit.score for hit in hits} == pytest.approx(
                {str(row): float(score) for row, score in enumerate(scores[0]) if score > 0}, rel=1e-3
            )
        best = opened.search("sea run", k=1)[0]
        opened.add([{"id": "new", "text": best.text}])
        opened.commit()
        found = {hit.doc_id: hit.score for hit in opened.search("sea run", k=9)}
        assert found["new"] == pytest.approx(found[best.doc_id], rel=1e-3)  # by the statistics of the build


@pytest.mark.parametrize("name", ["tiny", "bm25"])
def test_options(name: str, tmp_path: Path) -> None:
    if name == "bm25":
        with pytest.raises(ParameterError, match="bm25 has no frequency_scale; leave it out"):
            load_encoder(name, frequency_scale=10)
        return
    encoder = load_encoder(name, frequency_scale=10, k1=2, b=0.5)
    assert isinstance(encoder, TermFrequencyEncoder)
    assert (encoder.scale, encoder.k1, encoder.b) == (10, 2, 0.5)
    with pytest.raises(ParameterError, match="tiny has no k1; remove it, or encode with bm25"):
        load_encoder(name, k1=2)
    for scale in (0, -1, math.nan, True, "10"):
        with pytest.raises(ParameterError, match="frequency_scale"):
            load_encoder(name, frequency_scale=scale)  # type: ignore[arg-type]
    for act in (encoder.describe, encoder.check_saveable, lambda: encoder.encode_queries(["a"])):
        with pytest.raises(EncoderError, match=r"is not fitted: BM25 needs.*call fit\(texts\)"):
            act()
    with pytest.raises(EncoderError, match="all term frequencies of"):
        load_encoder(name, frequency_scale=0.001).fit(["salt raises blood pressure"])  # type: ignore[attr-defined]
    encoder.fit(["salt raises blood pressure"]).save(tmp_path / "saved")
    with pytest.raises(ParameterError, match="frequency_scale applies only to encoders with a network"):
        load_encoder(tmp_path / "saved", frequency_scale=10)
