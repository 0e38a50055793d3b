"""The console script `lsr`: its commands, and how each of them ends."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from lsr.cli.build import build
from lsr.cli.compare import compare
from lsr.cli.demo import demo
from lsr.cli.encode import encode
from lsr.cli.encoders import encoders
from lsr.cli.evaluate import evaluate
from lsr.cli.experiment import experiment
from lsr.cli.index import index
from lsr.cli.info import info
from lsr.cli.inspect import inspect
from lsr.cli.mine import mine
from lsr.cli.output import watched
from lsr.cli.reproduce import reproduce
from lsr.cli.run import run
from lsr.cli.search import search
from lsr.cli.train import train
from lsr.cli.tune import tune
from lsr.cli.warmup import warmup
from lsr.cli.why import why
from lsr.errors import LsrError

BAD_INPUT = 2
INTERRUPTED = 130
BROKEN_PIPE = 1

app = typer.Typer(
    name="lsr",
    help="Learned sparse retrieval: encode text, index it, search it, measure the result.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    encoders,
    build,
    inspect,
    encode,
    index,
    tune,
    search,
    why,
    run,
    evaluate,
    compare,
    experiment,
    mine,
    train,
    reproduce,
    info,
    warmup,
    demo,
):
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"lsr {version('lsr-engine')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 2 after bad input, 130 after Ctrl-C, 1 if nobody reads the output.

    Bad input costs exactly one line on stderr. Any other exception is a defect of lsr and keeps its traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not watched():
        os.environ.setdefault("TQDM_DISABLE", "1")  # the bars that ir_datasets draws while it downloads
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a text may hold what the terminal cannot show
    try:
        status = app(words or ["--help"], prog_name="lsr", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "lsr"
        return _complain(f"{error.format_message().rstrip('.')}; see {command} --help")
    except (LsrError, OSError) as error:
        return _complain(str(error))
    return status if isinstance(status, int) else 0


def _complain(message: str) -> int:
    print(f"lsr: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT
