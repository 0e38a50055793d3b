#!/usr/bin/env python3
"""lsr as a retrieval engine of lsr-benchmark: from embeddings of a data set to an index and a run; see README.md."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from shutil import rmtree
from typing import Any

import click
import ir_datasets
import lsr_benchmark
import numpy as np
from lsr_benchmark.click import retrieve_command
from tirex_tracker import ExportFormat, register_metadata, tracking

from lsr import SearchParams, SeismicIndex, SparseVectors

TEAM = "reneuir-baselines"


@retrieve_command()
@click.option(
    "--query-cut", type=int, default=SearchParams().query_cut, help="Number of query terms that estimate blocks."
)
@click.option(
    "--max-blocks",
    type=int,
    default=None,
    help="Approximate number of visited blocks. Default: 100 times the square root of k.",
)
def main(dataset: str, embedding: str, output: Path, k: int, query_cut: int, max_blocks: int | None) -> None:
    output.mkdir(parents=True, exist_ok=True)
    lsr_benchmark.register_to_ir_datasets(dataset)
    embedded = ir_datasets.load(f"lsr-benchmark/{dataset}")
    blocks = "default" if max_blocks is None else max_blocks
    tag = f"lsr-{embedding.replace('/', '-')}-{query_cut}-{blocks}-{k}"
    register_metadata({"actor": {"team": TEAM}, "tag": tag})
    documents = embedded.doc_embeddings(model_name=embedding)
    queries = embedded.query_embeddings(model_name=embedding)
    dim = max(components_of(documents), components_of(queries))
    vectors, asked = vectors_of(documents, dim), vectors_of(queries, dim)

    with tracking(export_file_path=output / "index-metadata.yml", export_format=ExportFormat.IR_METADATA):
        index = SeismicIndex.build(vectors)
    rmtree(output / ".tirex-tracker", ignore_errors=True)  # which the next tracker would find
    with tracking(export_file_path=output / "retrieval-metadata.yml", export_format=ExportFormat.IR_METADATA):
        found = index.search(asked, k, SearchParams(query_cut=query_cut, max_blocks=max_blocks))
    rmtree(output / ".tirex-tracker", ignore_errors=True)

    doc_ids, query_ids = [doc_id for doc_id, _, _ in documents], [query_id for query_id, _, _ in queries]
    with gzip.open(output / "run.txt.gz", "wt", encoding="utf-8") as run:
        for query_id, rows, scores in zip(query_ids, found.rows, found.scores, strict=True):
            for rank, (row, score) in enumerate(zip(rows[rows >= 0], scores, strict=False), start=1):
                run.write(f"{query_id} Q0 {doc_ids[row]} {rank} {score} lsr\n")


def components_of(embeddings: Iterable[tuple[str, Any, Any]]) -> int:
    """The largest component plus 1. Components are texts."""
    return max((int(np.asarray(tokens).astype(np.int64).max(initial=-1)) + 1 for _, tokens, _ in embeddings), default=0)


def vectors_of(embeddings: list[tuple[str, Any, Any]], dim: int) -> SparseVectors:
    """Rows of (id, components, weights), without the ids."""
    indptr = np.cumsum([0, *(len(tokens) for _, tokens, _ in embeddings)], dtype=np.int64)
    components = np.concatenate(
        [np.empty(0, np.int64), *(np.asarray(each).astype(np.int64) for _, each, _ in embeddings)]
    )
    weights = np.concatenate([np.empty(0, np.float32), *(np.asarray(each, np.float32) for _, _, each in embeddings)])
    return SparseVectors(indptr, components, weights, dim)


if __name__ == "__main__":
    main()
