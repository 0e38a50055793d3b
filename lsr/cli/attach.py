"""lsr attach"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lsr.cli import options
from lsr.cli.output import WORDS_TO_SEARCH, print_json, print_next, say, while_loading
from lsr.errors import ParameterError


@options.takes_encoder
def attach(
    index: options.IndexFolder,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Encoder that produced the vectors: tiny, the folder of a model, or a Hugging Face id."
        ),
    ] = None,
    dense: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Model that produced the dense vectors: minilm, a folder, or a Hugging Face id."
        ),
    ] = None,
    texts: Annotated[
        str | None,
        typer.Option(
            metavar="DOCUMENTS",
            help="Documents, in any form that lsr index takes, with the ids of the index. Their texts are stored.",
        ),
    ] = None,
    id: options.IdColumn = None,
    text: options.TextColumn = None,
    title: options.TitleColumn = None,
    *,
    loading: dict[str, Any],
    json: options.Json = False,
) -> None:
    """Add an encoder, a dense encoder or texts to an index that was built from vectors."""
    of_dense = options.of_dense(loading) if dense is not None else {}
    if encoder is None and ((texts is None and dense is None) or loading != of_dense):
        raise ParameterError("nothing to attach; give --encoder, --dense or --texts")
    from lsr.encoders.load import load_encoder
    from lsr.retrieval.attach import attach as attach_to
    from lsr.retrieval.dense_building import attach_dense
    from lsr.storage.manifest import read_manifest

    read_manifest(index)  # raises errors before anything is loaded
    documents = None if texts is None else options.documents_of([texts], id, text, title)
    if isinstance(documents, str):
        raise ParameterError(
            f"--texts {texts}: expected documents, found vectors; give the documents from which the vectors were made"
        )
    dense_model = None
    if dense is not None:
        with while_loading(dense):
            from lsr.encoders.dense.dense_encoder import load_dense_encoder

            dense_model = load_dense_encoder(dense, **of_dense)
    with while_loading(encoder):
        model = None if encoder is None else load_encoder(encoder, **loading)
    generation = 0
    if model is not None or documents is not None:
        generation = attach_to(index, model, documents, progress=not json)
    if dense_model is not None:
        generation = attach_dense(index, dense_model)
    if json:
        has = {"encoder": None if model is None else model.name, "texts": texts is not None}
        has |= {} if dense_model is None else {"dense": dense_model.name}
        print_json({"index": str(index), **has, "generation": generation})
        return
    attached = [
        *([] if model is None else [f"encoder {model.name}"]),
        *([] if dense_model is None else [f"dense encoder {dense_model.name}"]),
        *([] if texts is None else ["texts"]),
    ]
    say(f"{index}: attached {' and '.join(attached)}")
    print_next(["search", index, WORDS_TO_SEARCH])
