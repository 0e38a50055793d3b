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
        typer.Argument(metavar="PICKLE", help="A .pkl[.gz] file of {query id: {document id: score}}."),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write, for [teacher] scores.")],
    json: options.Json = False,
) -> None:
    """Convert a cross-encoder's published scores for trainings, without running the pickle that they come in.

    Only what builds dicts, numbers and texts is followed; a pickle that would do anything else is refused. A killed
    conversion resumes when the same command is given again.
    """
    from lsr.training.published_scores import convert_score_pickle

    converted = convert_score_pickle(pickle, output, progress=True)
    if json:
        print_json({"folder": str(output), **converted._asdict()})
        return
    queries = counted(converted.queries, "query", "queries")
    say(f"{output}: {counted(converted.scores, 'score')} for {queries}; name it in a training, [teacher] scores")
    print_next(["train", "CONFIG"])
