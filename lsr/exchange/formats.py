"""The formats by name."""

from __future__ import annotations

from typing import NamedTuple

from lsr.exchange import (
    bigann,
    bulk_requests,
    ciff,
    dataset_folder,
    json_vectors,
    milvus_rows,
    qdrant_points,
    seismic_binary,
)
from lsr.exchange.index_rows import Write
from lsr.exchange.opened_vectors import Read


class ExchangeFormat(NamedTuple):
    """How to write and read a format.

    rounded: whether weights are rounded to impacts. folder: whether the output is a folder, not a file.
    passes: how often `write` reads all rows of the index.
    """

    write: Write
    read: Read
    rounded: bool = False
    folder: bool = False
    passes: int = 1


FORMATS = {
    "ciff": ExchangeFormat(ciff.write, ciff.read, rounded=True, passes=3),
    "anserini": ExchangeFormat(json_vectors.write_anserini, json_vectors.read, rounded=True),
    "seismic": ExchangeFormat(json_vectors.write_seismic, json_vectors.read),
    "seismic-bin": ExchangeFormat(seismic_binary.write, seismic_binary.read),
    "opensearch": ExchangeFormat(bulk_requests.write_tokens, bulk_requests.read),
    "opensearch-sparse-vector": ExchangeFormat(bulk_requests.write_numbers, bulk_requests.read),
    "elasticsearch": ExchangeFormat(bulk_requests.write_tokens, bulk_requests.read),
    "qdrant": ExchangeFormat(qdrant_points.write, qdrant_points.read),
    "milvus": ExchangeFormat(milvus_rows.write, milvus_rows.read),
    "datasets": ExchangeFormat(dataset_folder.write, dataset_folder.read, folder=True),
    "bigann": ExchangeFormat(bigann.write, bigann.read, passes=3),
}
