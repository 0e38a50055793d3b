"""lsr build"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lsr.cli import options
from lsr.cli.output import watched
from lsr.errors import ParameterError

if TYPE_CHECKING:
    from lsr.encoders.idf import Table

_TABLES = (".json", ".txt", ".safetensors")


def build(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A method, as lsr encoders lists them.")],
    backbone: Annotated[str, typer.Argument(metavar="BACKBONE", help="tiny, a model's folder or Hugging Face id.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    query_backbone: Annotated[
        str | None, typer.Option(help="Another model for queries, where the method has two networks")
    ] = None,
    idf: Annotated[
        str | None,
        typer.Option(help="Weights of query tokens: a collection or vectors to count in, or a table (.json, .txt)"),
    ] = None,
    max_length: options.MaxLength = None,
    seed: Annotated[int, typer.Option(help="Of weights that the backbone does not have.")] = 0,
) -> None:
    """Put a method's heads on a backbone and save the encoder.

    Weights that the backbone does not have begin at random: such an encoder means nothing before it has been trained.
    """
    from lsr.encoders import build_encoder
    from lsr.encoders.folders.find import find_checkpoint
    from lsr.encoders.presets import find_preset

    if idf is not None and find_preset(method).query != "idf":
        raise ParameterError(f"{method} has no place for --idf; leave it out")
    table = None if idf is None else _table(idf, find_checkpoint(backbone).folder)
    encoder = build_encoder(
        method, backbone, query_backbone=query_backbone, idf=table, device="cpu", max_length=max_length, seed=seed
    )
    encoder.save_pretrained(output)
    print(f"{output}: {method}, {encoder.dim} components")


def _table(source: str, folder: Path) -> Table:
    from lsr.encoders.folders.files import vocabulary_size
    from lsr.encoders.idf import idf_of_texts, idf_of_vectors, read_table
    from lsr.encoders.tokens import Tokens
    from lsr.eval.collections import load_collection

    if options.is_vectors(source):
        return idf_of_vectors(source)
    tokens = Tokens(folder, vocabulary_size(folder))
    if source.endswith(_TABLES):
        return read_table(source, tokens.vocabulary)
    collection = load_collection(source)
    texts = (document.full_text for document in collection.documents())
    return idf_of_texts(texts, tokens, collection.count if watched() else None, watched())
