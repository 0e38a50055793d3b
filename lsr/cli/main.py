"""The console script `lsr`: its commands, and how each of them ends."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from lsr.cli.output import watched
from lsr.errors import LsrError

BAD_INPUT = 2
INTERRUPTED = 130
BROKEN_PIPE = 1

# In the order in which --help lists them. Each is a module of this package, with a function of the same name.
COMMANDS = (
    *("encoders", "build", "inspect", "encode", "index", "tune", "search", "why", "run", "evaluate", "compare"),
    *("experiment", "mine", "train", "reproduce", "info", "warmup", "demo"),
)
HELP = "Learned sparse retrieval: encode text, index it, search it, measure the result."


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"lsr {version('lsr-engine')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def command_line(words: Sequence[str] = ()) -> typer.Typer:
    """The command that is called, or, where none is, all of them: importing 18 takes longer than most of them run."""
    app = typer.Typer(name="lsr", help=HELP, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_options)
    called = next((word for word in words if not word.startswith("-")), "")
    for name in [called] if called in COMMANDS else COMMANDS:
        app.command()(getattr(import_module(f"lsr.cli.{name}"), name))
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 2 after bad input, 130 after Ctrl-C, 1 if nobody reads the output.

    Bad input costs exactly one line on stderr. Any other exception is a defect of lsr and keeps its traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    if not watched():
        os.environ.setdefault("TQDM_DISABLE", "1")  # the bars that ir_datasets draws while it downloads
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a text may hold what the terminal cannot show
    try:
        status = command_line(words)(words or ["--help"], prog_name="lsr", standalone_mode=False)
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


def _open_streams() -> None:
    """Give streams that were closed somewhere to go, or the files that are opened next would take their places."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (for as long as lsr runs)


def _complain(message: str) -> int:
    print(f"lsr: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT
