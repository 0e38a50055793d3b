"""The console script `lsr`: its commands, their help and their exit status."""

from __future__ import annotations

import functools
import gc
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, TextIO

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup, TyperOption

from lsr.checks import expanded
from lsr.cli.examples import EXAMPLES
from lsr.cli.output import printable, watched
from lsr.cli.panels import OUTPUT, panel
from lsr.errors import LsrError, LsrWarning

BAD_INPUT = 2
INTERRUPTED = 130
BROKEN_PIPE = 1
LONGEST_COMPLAINT = 500  # characters; a message can repeat all arguments, such as every file of a folder

# The panels of --help. Each command is a function in the module of the same name in this package. The command
# "import" is import_, because import is a keyword.
PANELS = {
    "Search": ("index", "search", "why", "info", "tune"),
    "Serve": ("serve", "mcp"),
    "Update and maintain": ("add", "update", "delete", "refit", "attach", "merge", "upgrade", "check", "repair"),
    "Evaluate": ("run", "evaluate", "compare", "experiment"),
    "Encode": ("encoders", "inspect", "verify", "encode", "expand", "build"),
    "Import and export": ("export", "import"),
    "Train": ("mine", "scores", "train", "reproduce"),
    "Getting started": ("demo", "new", "doctor", "warmup"),
}
RESUMING = ("train", "experiment", "reproduce", "demo")  # always; others resume if their message names kept work
COMMANDS = {name: panel for panel, names in PANELS.items() for name in names}
HELP = (
    "Learned sparse retrieval: encode text, build an index, search it, and evaluate the results. `lsr demo` shows "
    "all of this on the documentation of Python's standard library."
)
_VALUES = {"<int>": "N", "<int range>": "N", "<float>": "NUMBER", "<list[float]>": "NUMBER"}


def _print_versions(wanted: bool) -> None:
    if wanted:
        from lsr.provenance import versions

        found = versions()
        print(f"lsr {found.pop('lsr-engine')}\nPython {found.pop('Python')}")
        print(
            ", ".join(f"{name} {version}" if version else f"{name}: not installed" for name, version in found.items())
        )
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_versions, is_eager=True, help="Print versions and exit.")
    ] = False,
) -> None:
    pass


def command_line(words: Sequence[str] = ()) -> TyperGroup:
    """The group with the called command, or with all commands if none is called. Importing all of them is slow."""
    app = typer.Typer(name="lsr", help=HELP, pretty_exceptions_enable=False)
    app.callback()(_options)
    called = _called(words)
    for name in [called] if called in COMMANDS else COMMANDS:
        examples = "\n".join(EXAMPLES[name]).replace("[", r"\[")  # "[" begins a style
        module = f"{name}_" if iskeyword(name) else name
        command = _at_home(getattr(import_module(f"lsr.cli.{module}"), module))
        app.command(name, rich_help_panel=COMMANDS[name], epilog=f"[bold]Examples[/]\n{examples}")(command)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    for each in (group, *group.commands.values()):
        assert isinstance(each, TyperGroup | TyperCommand)
        _prepare_help(each)
    return group


def _called(words: Sequence[str]) -> str:
    return next((word for word in words if not word.startswith("-")), "")


def _at_home(command: Callable[..., None]) -> Callable[..., None]:
    """Expand `~` in paths that a shell does not expand: in quotes and after "="."""

    def at_home(value: object) -> object:
        if isinstance(value, list):
            return [at_home(each) for each in value]
        return expanded(value) if isinstance(value, Path) else value

    @functools.wraps(command)
    def run(**given: object) -> None:
        try:
            command(**{name: at_home(value) for name, value in given.items()})
        except KeyboardInterrupt as stop:  # Typer would keep only its exit status
            raise _Stopped(*getattr(stop, "__notes__", ())) from None

    return run


class _Stopped(Exception):  # noqa: N818 (a Ctrl-C is no error)
    """A Ctrl-C. Its arguments describe the kept work from which the same command resumes."""


def _prepare_help(command: TyperGroup | TyperCommand) -> None:
    """Let --help show options in panels and choices as [a|b], and no type for flags and arguments."""
    for each in command.params:
        if isinstance(each, TyperOption):
            each.rich_help_panel = panel(command.name, each.name)
    command.params.sort(key=lambda each: getattr(each, "rich_help_panel", None) == OUTPUT)  # the last panel
    parameters = command.get_params(typer.Context(command))
    for each in parameters:
        kind = each.display_type(typer.Context(command)) if isinstance(each, TyperOption) else ""
        if not isinstance(each, TyperOption):
            each.display_type_rich = lambda ctx: ""  # type: ignore[attr-defined]
        elif each.is_flag:
            each.metavar = ""
        elif each.metavar is None:
            each.metavar = f"[{kind.strip('<>')}]" if "|" in kind else _VALUES.get(kind)
    if len(parameters) > 1 and isinstance(parameters[-2], TyperOption):  # --help is last; it joins that panel
        parameters[-1].rich_help_panel = parameters[-2].rich_help_panel  # type: ignore[attr-defined]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 2 after bad input, 130 after Ctrl-C, 1 if nobody reads the output.

    Bad input prints exactly one line on stderr. Any other exception is a bug in lsr and keeps its traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Imports create little garbage. With the default thresholds, garbage collection takes .05 s of the .5 s of a search
    # command, and one collection takes .01 s: a search command creates 110,000 objects.
    gc.set_threshold(200_000, 50, 50)
    _open_streams()
    stdout = sys.stdout
    if not watched():
        os.environ.setdefault("TQDM_DISABLE", "1")  # the download bars of ir_datasets
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # like stderr: the terminal may not have all characters of a text
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            status = command_line(_completed() or words)(words or ["--help"], prog_name="lsr", standalone_mode=False)
        if status == INTERRUPTED:  # Typer's status for Ctrl-C
            raise KeyboardInterrupt
        sys.stdout.flush()
    except (KeyboardInterrupt, _Stopped) as stop:
        kept = stop.args if isinstance(stop, _Stopped) else ()
        resumes = kept or _called(words) in RESUMING
        _complain("; ".join(["interrupted", *kept, *(["run the same command again to resume"] if resumes else [])]))
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        return BROKEN_PIPE
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "lsr"
        return _complain(f"{_reason(error.format_message(), command)}; see {command} --help")
    except (LsrError, OSError) as error:
        return _complain(str(error))
    finally:
        sys.stdout = stdout  # check_output may have changed it
    return status if isinstance(status, int) else 0


def _completed() -> list[str]:
    """The command whose options a shell completes, from the variables that Typer's bash, zsh and fish scripts set."""
    if "_LSR_COMPLETE" not in os.environ:
        return []
    os.environ["COLUMNS"] = "10000"  # Typer wraps help texts, and a shell would read each line as a word
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    return re.findall(r"^\s*\S+\s+(\S+)\s", line)  # without a following blank, the name may be incomplete


def _reason(message: str, command: str) -> str:
    extra = re.fullmatch(r"Got unexpected extra argument\(s\) \((.*)\)", message, re.DOTALL)
    if extra is not None:
        return (
            f"{command}: unexpected arguments: {_cut(extra[1], 80)}; put texts of several words, and patterns with "
            "*, in quotes"
        )
    message = message.replace("Value error, ", "").rstrip(".")  # added by pydantic
    return _cut(re.sub(r"(\S{80})\S+", r"\1...", message), LONGEST_COMPLAINT)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _open_streams() -> None:
    """Open streams that were closed. Otherwise the next opened files would get their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (for as long as lsr runs)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, LsrWarning):
        _complain(str(message))
    else:
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=sys.stderr)


def _complain(message: str) -> int:
    from lsr.storage.reading import as_given

    print(f"lsr: {printable(' '.join(as_given(message).split()))}", file=sys.stderr)
    return BAD_INPUT
