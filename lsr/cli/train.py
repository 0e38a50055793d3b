"""lsr train"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_json, print_next, remark, say, while_loading
from lsr.errors import ParameterError
from lsr.extras import TRAINING, need
from lsr.storage.files import is_stream


def train(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG", help="Training configuration: a TOML file, or a recipe such as small/splade-max."
        ),
    ],
    output: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="Output folder. Default: the name of the file without .toml.")
    ] = None,
    offline_data: options.OfflineData = None,
    device: options.Device = None,
    json: options.Json = False,
) -> None:
    """Train a sparse encoder. If interrupted, run the same command again to resume.

    The best encoder is saved in OUT/encoder. All commands with an --encoder option take this folder.
    """
    need("training", *TRAINING)
    from lsr.training.training_config import read_training

    config = read_training(file)
    options.check_folder(offline_data)
    folder = file.with_suffix("") if output is None else output
    if folder == file and (file.is_file() or is_stream(file)):
        raise ParameterError(
            f"{file}: the name does not end with .toml, so the output folder cannot be named after it; give OUT"
        )

    with while_loading("PyTorch"):
        from torch import distributed

        from lsr.training.trainer import train as run

    described = run(config, folder, offline_data=offline_data, device=device, progress=True)
    if distributed.is_available() and distributed.is_initialized() and distributed.get_rank() > 0:
        return
    if json:
        print_json(described)
        return
    before = described["metrics_before"]
    say(f"{folder / 'encoder'}: step {described['step']}")
    for name, value in described["metrics"].items():
        print(f"{name} {value:.4g}" + (f", {before[name]:.4g} before training" if name in before else ""))
    commands = [["index", "COLLECTION", f"{folder}.index", "--encoder", folder / "encoder"]]
    if config.evaluation is None:
        remark(
            "without [evaluation], effectiveness was not measured; to measure it, index a collection with the encoder "
            "before and after training, run lsr run on both, and lsr compare"
        )
        if config.encoder.start:
            commands.insert(0, ["index", "COLLECTION", f"{folder}.before.index", "--encoder", config.encoder.start])
    print_next(*commands)
