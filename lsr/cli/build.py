"""lsr build"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_next, say
from lsr.display import counted
from lsr.errors import ParameterError


def build(
    method: Annotated[
        str,
        typer.Argument(metavar="METHOD", help="A method, as lsr encoders lists them.", autocompletion=options.methods),
    ],
    backbone: Annotated[str, typer.Argument(metavar="BACKBONE", help="tiny, a model's folder or Hugging Face id.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    query_backbone: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another model for queries, where the method has two networks")
    ] = None,
    idf: Annotated[
        str | None,
        typer.Option(
            metavar="COLLECTION|FILE",
            help="Weights of query tokens: a collection or vectors to count in, or a table (.json, .txt)",
        ),
    ] = None,
    max_length: options.MaxLength = None,
    seed: Annotated[int, typer.Option(help="Of the random weights, where the backbone has none.")] = 0,
) -> None:
    """Put a method's heads on a backbone and save the encoder.

    Weights that the backbone does not have begin at random: such an encoder means nothing before it has been trained.
    """
    from lsr.encoders.build import build_encoder
    from lsr.encoders.collection_idf import idf_from
    from lsr.encoders.folders.find import find_checkpoint
    from lsr.encoders.method_preset import WITH_IDF
    from lsr.encoders.presets import find_preset

    if idf is not None and find_preset(method).query not in WITH_IDF:
        raise ParameterError(f"{method} has no place for --idf; leave it out")
    table = None if idf is None else idf_from(idf, find_checkpoint(backbone).folder, progress=True)
    encoder = build_encoder(
        method, backbone, query_backbone=query_backbone, idf=table, device="cpu", max_length=max_length, seed=seed
    )
    encoder.save_pretrained(output)
    say(f"{output}: {method}, {counted(encoder.dim, 'component')}")
    print_next(["inspect", output, "a text of yours"])
