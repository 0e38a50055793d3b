"""lsr new"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.cli.output import say, typed
from lsr.errors import ParameterError

STARTER = Path(__file__).parent.parent / "starter"


def new(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to create. It must not exist, or be empty.")],
) -> None:
    """Create a starter project: an experiment file, a training configuration and a small collection.

    The two files are commented and run without changes.
    """
    from lsr.storage.files import refuse_stream, replacing_file, storage_errors

    refuse_stream(folder)
    with storage_errors(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ParameterError(
                f"{folder}: the folder is not empty, and lsr new overwrites nothing; give a new folder"
            )
        for source in sorted(path for path in STARTER.rglob("*") if path.is_file()):
            target = folder / source.relative_to(STARTER)
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing_file(target) as file:
                file.write(source.read_bytes())
    say(f"{folder}: {', '.join(path.name for path in sorted(STARTER.iterdir()))}; next:")
    print()
    print(typed("cd", folder))
    for words in (["experiment", "experiment.toml", "--plan"], ["experiment", "experiment.toml"]):
        print(typed("lsr", *words))
    print(typed("lsr", "train", "training.toml"))
