"""lsr encode"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import watched


def encode(
    collection: options.CollectionSpec,
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="A folder of Parquet to write, or an .npz or .jsonl[.gz] file.")
    ],
    encoder: options.Encoder,
    queries: Annotated[bool, typer.Option("--queries", help="Encode the queries instead of the documents.")] = False,
    split: options.Split = None,
    batch_size: options.BatchSize = None,
    max_length: options.MaxLength = None,
    long_documents: options.LongDocuments = options.DEFAULT_LONG_DOCUMENTS,
    stride: options.Stride = None,
    prune_documents: options.PruneDocuments = "",
    prune_queries: options.PruneQueries = "",
    dtype: options.Dtype = options.DEFAULT_DTYPE,
    device: options.Device = None,
) -> None:
    """Turn the texts of a collection into sparse vectors.

    A killed encoding of documents goes on from its last complete part when the same command is given again.
    """
    from lsr.collections.collection import load_collection
    from lsr.encoders.load import load_encoder
    from lsr.retrieval.encoding import encode_documents, encode_queries, encode_to_file, fit_if_needed
    from lsr.vectors.io import VECTOR_FILES, read_info

    texts = load_collection(collection, split)
    model = load_encoder(
        encoder,
        device=device,
        dtype=dtype,
        max_length=max_length,
        long_documents=long_documents,
        stride=stride,
        prune_documents=prune_documents,
        prune_queries=prune_queries,
    )
    if queries:
        fit_if_needed(model, texts, progress=watched())
        encode_queries(texts.queries(), output, model)
    elif output.name.endswith(VECTOR_FILES):
        encode_to_file(texts, output, model, batch_size=batch_size, progress=watched())
    else:
        encode_documents(texts, output, model, batch_size=batch_size, progress=watched())
    stored = read_info(output)
    print(f"{output}: {stored.rows} rows, {stored.nnz / max(stored.rows, 1):.1f} weights a row")
