"""lsr scores"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_json, print_next, say
from lsr.display import counted


def scores(
    pickle: Annotated[
        Path,
        typer.Argument(metavar="PICKLE", help=".pkl or .pkl.gz file of a dict {query id: {document id: score}}."),
    ],
    output: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Folder to write, for scores in [teacher] of a training configuration."),
    ],
    json: options.Json = False,
) -> None:
    """Convert published scores of a cross-encoder to a teacher for training, without executing the pickle.

    A pickle with anything other than dicts, numbers and strings is rejected. If interrupted, run the same command again
    to resume.
    """
    from lsr.training.published_scores import convert_score_pickle

    converted = convert_score_pickle(pickle, output, progress=True)
    if json:
        print_json({"folder": str(output), **converted._asdict()})
        return
    queries = counted(converted.queries, "query", "queries")
    say(
        f"{output}: {counted(converted.scores, 'score')} for {queries}; to train with them, name the folder in "
        "[teacher] scores"
    )
    print_next(["train", "CONFIG"])
