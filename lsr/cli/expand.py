"""lsr expand"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.checks import expanded
from lsr.cli import options
from lsr.cli.output import print_next, remark, say, while_loading
from lsr.display import counted


def expand(
    collection: options.CollectionSpec,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write, in the BEIR format.")],
    by: Annotated[
        str,
        typer.Option(metavar="NAME", help="Encoder that predicts the expansion terms, such as tiny or tilde/encoder."),
    ],
    top_k: Annotated[
        int,
        typer.Option(help="Number of predicted terms per document. The terms that the text lacks are appended to it."),
    ] = 200,
    batch_size: options.BatchSize = None,
    max_length: options.MaxLength = None,
    dtype: options.Dtype = "float32",
    device: options.Device = None,
) -> None:
    """Append to each document the words that an encoder predicts and that the text lacks, as TILDE does.

    Queries and judgments of all splits are copied. If interrupted, run the same command again to resume.
    """
    from lsr.collections.collection import load_collection
    from lsr.encoders.load import load_encoder
    from lsr.retrieval.expanded_collection import MARKER, expand_collection
    from lsr.storage.files import refuse_foreign

    documents = load_collection(collection)
    refuse_foreign(expanded(output), MARKER)  # before a model is loaded
    with while_loading(by):
        encoder = load_encoder(by, max_length=max_length, dtype=dtype, device=device)
    written = expand_collection(documents, output, encoder, k=top_k, batch_size=batch_size, progress=True)
    added = written.words / max(written.documents, 1)
    say(f"{output}: {counted(written.documents, 'document')}, {added:.1f} words added to each")
    if documents.drop_same_id:
        remark(
            f"the queries of {documents.name} are documents of the collection; give --same-id drop when you evaluate "
            f"{output}"
        )
    print_next(["index", output, f"{output}.index", "--encoder", "bm25"])
