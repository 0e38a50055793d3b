"""lsr reproduce"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_table
from lsr.extras import TRAINING, need


def reproduce(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="inference-free, teachers, prosper, framework or regularizers.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="Output folder. Default: NAME.", show_default=False)
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds. Each training runs once per seed.")] = 3,
    steps: Annotated[
        int | None, typer.Option(help="Steps of each training. Default: 1,000, or 100 for regularizers.")
    ] = None,
    variants: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Train only variants whose names match this pattern, such as '*-0.1'. Can be repeated.",
        ),
    ] = None,
    offline_data: options.OfflineData = None,
    device: options.Device = None,
    threads: options.Threads = None,
) -> None:
    """Reproduce a published comparison: train the variants, evaluate them, and test the differences.

    Finished results are kept. If interrupted, run the same command again to resume.
    """
    options.check_folder(offline_data)

    need("training", *TRAINING)
    from lsr.reproduce.plans import find_plan
    from lsr.reproduce.reproduction import reproduce as run

    plan = find_plan(name, steps)
    report = run(
        plan,
        Path(name) if output is None else output,
        seeds=seeds,
        variants=variants or (),
        offline_data=offline_data,
        device=device,
        threads=threads,
        progress=True,
    )
    for number, block in enumerate(report):
        if number:
            print()
        if isinstance(block, str):
            print(block)
        else:
            print_table(block)
