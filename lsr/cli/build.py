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
        typer.Argument(
            metavar="METHOD", help="Method preset; lsr encoders lists them.", autocompletion=options.methods
        ),
    ],
    backbone: Annotated[
        str, typer.Argument(metavar="BACKBONE", help="tiny, the folder of a model, or a Hugging Face id.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    query_backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Another backbone for queries, if the method has two networks. Default: BACKBONE."
        ),
    ] = None,
    idf: Annotated[
        str | None,
        typer.Option(
            metavar="COLLECTION|FILE",
            help="Weights of query tokens: a table (.json, .txt), or a collection or vectors from which IDF is "
            "computed.",
        ),
    ] = None,
    max_length: options.MaxLength = None,
    seed: Annotated[int, typer.Option(help="Seed of the random weights that the backbone does not have.")] = 0,
) -> None:
    """Build an encoder from a method preset and a backbone, and save it.

    Weights that the backbone does not have start with random values: train the encoder before you use it.
    """
    from lsr.encoders.build import build_encoder
    from lsr.encoders.collection_idf import idf_from
    from lsr.encoders.folders.find import find_checkpoint
    from lsr.encoders.method_preset import WITH_IDF
    from lsr.encoders.presets import find_preset

    if idf is not None and find_preset(method).query not in WITH_IDF:
        raise ParameterError(f"{method} does not use IDF; remove --idf")
    table = None if idf is None else idf_from(idf, find_checkpoint(backbone).folder, progress=True)
    encoder = build_encoder(
        method, backbone, query_backbone=query_backbone, idf=table, device="cpu", max_length=max_length, seed=seed
    )
    encoder.save_pretrained(output)
    say(f"{output}: {method}, {counted(encoder.dim, 'component')}")
    print_next(["inspect", output, "a text of yours"])
