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
        typer.Option(metavar="NAME", help="What made its vectors: tiny, a model's folder or Hugging Face id."),
    ] = None,
    texts: Annotated[
        str | None,
        typer.Option(metavar="DOCUMENTS", help="What lsr index takes: the texts of documents with the index's ids."),
    ] = None,
    id: options.IdColumn = None,
    text: options.TextColumn = None,
    title: options.TitleColumn = None,
    *,
    loading: dict[str, Any],
    json: options.Json = False,
) -> None:
    """Give an index that was built from vectors its encoder, and the texts of its documents."""
    if encoder is None and (texts is None or loading):
        raise ParameterError("there is nothing to attach; give --encoder, or --texts")
    from lsr.encoders.load import load_encoder
    from lsr.retrieval.attach import attach as attach_to
    from lsr.storage.manifest import read_manifest

    read_manifest(index)  # says what is wrong before anything is loaded
    documents = None if texts is None else options.documents_of([texts], id, text, title)
    if isinstance(documents, str):
        raise ParameterError(f"--texts {texts}: holds vectors; give the documents that they were made of")
    with while_loading(encoder):
        model = None if encoder is None else load_encoder(encoder, **loading)
    generation = attach_to(index, model, documents, progress=not json)
    if json:
        has = {"encoder": None if model is None else model.name, "texts": texts is not None}
        print_json({"index": str(index), **has, "generation": generation})
        return
    attached = [*([] if model is None else [f"encoder {model.name}"]), *([] if texts is None else ["texts"])]
    say(f"{index}: has {' and '.join(attached)} now")
    print_next(["search", index, WORDS_TO_SEARCH])
