"""Evaluation during training: documents of a development set are encoded, indexed, searched and measured."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lsr.collections.offline import open_collection
from lsr.collections.runs import Qrels
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.errors import CollectionError
from lsr.eval.flops import expected_flops
from lsr.eval.measures import parse_measures, query_values
from lsr.index.parameters import IndexConfig
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.request import SPARSE, SearchRequest
from lsr.retrieval.searcher import Searcher

HASH_VALUES = 1 << 64
UNCUT_DEPTH = 1000  # depth of a ranking for measures without a cutoff


class DevelopmentSet(NamedTuple):
    """Documents, queries and judgments in memory. queries: id -> text."""

    ids: list[str]
    texts: list[str]
    queries: dict[str, str]
    qrels: Qrels
    drop_same_id: bool


class Evaluated(NamedTuple):
    """The result of an evaluation.

    measures: name -> mean over the queries.
    query_nnz, document_nnz: mean number of non-zero weights.
    flops: see expected_flops.
    """

    measures: dict[str, float]
    query_nnz: float
    document_nnz: float
    flops: float


def read_development_set(
    spec: str,
    split: str | None = None,
    queries: int | None = None,
    documents: int | None = None,
    offline_data: Path | None = None,
) -> DevelopmentSet:
    """The development set of a collection.

    split: the split with the queries and judgments. None for a collection without splits, such as those of NanoBEIR.
    queries: the maximum number of queries, chosen by a hash of their ids.
    documents: the maximum number of documents: those judged for these queries, and others chosen by a hash of their
        ids. Measures over a part of the documents are higher than over all.
    offline_data: see open_collection.

    Raises CollectionError.
    """
    collection = open_collection(spec, None, offline_data)
    if collection.splits and split is not None:
        collection = open_collection(spec, split, offline_data)
    every_query, qrels = collection.queries(), collection.qrels()
    chosen = sorted(every_query, key=_hash)[:queries]
    judged = {doc_id for query_id in chosen for doc_id in qrels[query_id]}
    ids: list[str] = []
    texts: list[str] = []
    # Ids are chosen only by their hashes, so that one pass is enough; the share that fits is known before.
    share = 1.0
    if documents is not None:
        count = collection.count or sum(1 for _ in collection.documents())
        share = max(0, documents - len(judged)) / max(count - len(judged), 1)
    for document in collection.documents():
        if share >= 1 or document.doc_id in judged or _hash(document.doc_id) < share * HASH_VALUES:
            ids.append(document.doc_id)
            texts.append(document.full_text)
    if not judged.intersection(ids):
        raise CollectionError(
            f"{spec}: no judged document is in the collection; check that judgments and documents belong together"
        )
    wanted = set(chosen)
    kept = {query_id: text for query_id, text in every_query.items() if query_id in wanted}
    return DevelopmentSet(ids, texts, kept, {each: qrels[each] for each in kept}, collection.drop_same_id)


def evaluate_encoder(
    encoder: SparseEncoder, on: DevelopmentSet, measures: Sequence[str], threads: int = 1, progress: bool = False
) -> Evaluated:
    """Encode, index, search and measure with the present encoder."""
    k = max(each.params.get("cutoff", UNCUT_DEPTH) for each in parse_measures(measures).values())
    vectors = encoder.encode_documents(on.texts, progress=progress)
    rows = encoder.encode_queries(list(on.queries.values()))
    searcher = Searcher(SeismicIndex.build(vectors.with_ids(on.ids), IndexConfig(), threads=threads), encoder)
    run = searcher.snapshot.rank_encoded(list(on.queries), {SPARSE: rows}, SearchRequest(k), threads, on.drop_same_id)
    per_query = query_values(on.qrels, run, list(measures))
    means = {measure: statistics.fmean(values.values()) for measure, values in per_query.items()}
    query_nnz, document_nnz = (each.nnz / max(len(each), 1) for each in (rows, vectors))
    return Evaluated(means, query_nnz, document_nnz, expected_flops(rows, vectors))


def evaluate_on(
    encoder: SparseEncoder,
    sets: Mapping[str, DevelopmentSet],
    measure: str,
    threads: int = 1,
    progress: bool = False,
) -> dict[str, float]:
    """Name of a figure -> its mean over all sets: the measure, non-zeros and FLOPS. Also the measure of each set."""
    found = {name: evaluate_encoder(encoder, each, [measure], threads, progress) for name, each in sets.items()}
    figures = {
        measure: statistics.fmean(each.measures[measure] for each in found.values()),
        "query nnz": statistics.fmean(each.query_nnz for each in found.values()),
        "document nnz": statistics.fmean(each.document_nnz for each in found.values()),
        "FLOPS": statistics.fmean(each.flops for each in found.values()),
    }
    if len(found) > 1:
        figures |= {f"{measure} {name}": each.measures[measure] for name, each in found.items()}
    return figures


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "little")
