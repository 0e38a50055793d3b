"""lsr encode"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lsr.cli import options
from lsr.cli.output import print_next, say, while_loading
from lsr.display import counted


@options.takes_encoder
def encode(
    collection: options.CollectionSpec,
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="Output: a folder of Parquet files, or an .npz, .jsonl or .jsonl.gz file; - writes JSON lines to "
            "stdout.",
        ),
    ],
    encoder: options.Encoder,
    queries: Annotated[bool, typer.Option("--queries", help="Encode the queries instead of the documents.")] = False,
    split: options.Split = None,
    batch_size: options.BatchSize = None,
    *,
    loading: dict[str, Any],
) -> None:
    """Encode the texts of a collection as sparse vectors.

    If interrupted while it encodes documents to a folder, run the same command again to resume.
    """
    from lsr.collections.collection import load_collection
    from lsr.encoders.load import load_encoder
    from lsr.retrieval.encoding import encode_documents, encode_queries, encode_to_file, fit_if_needed
    from lsr.vectors.io import check_keeps_ids, is_file_format

    texts = load_collection(collection, split)
    check_keeps_ids(output)
    if is_file_format(output):
        options.check_output(output)
    wanted = texts.queries() if queries else {}
    with while_loading(encoder):
        model = load_encoder(encoder, **loading)
    if queries:
        fit_if_needed(model, texts, progress=True)
        stored = encode_queries(wanted, output, model)
    elif is_file_format(output):
        stored = encode_to_file(texts, output, model, batch_size=batch_size, progress=True)
    else:
        stored = encode_documents(texts, output, model, batch_size=batch_size, progress=True)
    say(f"{output}: {counted(stored.rows, 'row')}, {stored.nnz / max(stored.rows, 1):.1f} non-zeros per row")
    if not queries:
        print_next(["index", output, output.with_suffix(".index")])
