"""The console script `lsr`: its commands, and how each of them ends."""

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
LONGEST_COMPLAINT = 500  # characters of a message that repeats what was typed, all names of a folder perhaps

# By purpose, as --help lists them. Each is a module of this package, with a function of the same name;
# that of import, which is a keyword, is import_.
PANELS = {
    "Search": ("index", "search", "why", "info", "tune"),
    "Serve": ("serve", "mcp"),
    "Change": ("add", "update", "delete", "refit", "attach", "merge", "upgrade", "check", "repair"),
    "Measure": ("run", "evaluate", "compare", "experiment"),
    "Encode": ("encoders", "inspect", "verify", "encode", "expand", "build"),
    "Exchange": ("export", "import"),
    "Train": ("mine", "scores", "train", "reproduce"),
    "Begin": ("demo", "new", "doctor", "warmup"),
}
RESUMING = ("train", "experiment", "reproduce", "demo")  # others do where something is kept, and say what
COMMANDS = {name: panel for panel, names in PANELS.items() for name in names}
HELP = (
    "Learned sparse retrieval: encode text, index it, search it, measure the result. `lsr demo` shows all of it on a "
    "collection that every machine has."
)
_VALUES = {"<int>": "N", "<int range>": "N", "<float>": "NUMBER", "<list[float]>": "NUMBER"}


def _print_versions(wanted: bool) -> None:
    if wanted:
        from lsr.provenance import versions

        found = versions()
        print(f"lsr {found.pop('lsr-engine')}\nPython {found.pop('Python')}")
        print(", ".join(f"{name} {version or 'is not installed'}" for name, version in found.items()))
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_versions, is_eager=True, help="Print versions and leave.")
    ] = False,
) -> None:
    pass


def command_line(words: Sequence[str] = ()) -> TyperGroup:
    """The command that is called, or, where none is, all of them: importing all takes longer than most of them run."""
    app = typer.Typer(name="lsr", help=HELP, pretty_exceptions_enable=False)
    app.callback()(_options)
    called = _called(words)
    for name in [called] if called in COMMANDS else COMMANDS:
        examples = "\n".join(EXAMPLES[name]).replace("[", r"\[")  # which begins a style
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
    """With `~` in paths, which a shell leaves in quotes and behind =, as the user's home."""

    def at_home(value: object) -> object:
        if isinstance(value, list):
            return [at_home(each) for each in value]
        return expanded(value) if isinstance(value, Path) else value

    @functools.wraps(command)
    def run(**given: object) -> None:
        try:
            command(**{name: at_home(value) for name, value in given.items()})
        except KeyboardInterrupt as stop:  # of which Typer would leave its number alone
            raise _Stopped(*getattr(stop, "__notes__", ())) from None

    return run


class _Stopped(Exception):  # noqa: N818 (a Ctrl-C is no error)
    """A Ctrl-C, and what it left that the same command resumes from."""


def _prepare_help(command: TyperGroup | TyperCommand) -> None:
    """Let --help show options by purpose, [a|b] for a choice, and nothing for a flag or beside an argument's name."""
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
    if len(parameters) > 1 and isinstance(parameters[-2], TyperOption):  # --help, the last, stands with it
        parameters[-1].rich_help_panel = parameters[-2].rich_help_panel  # type: ignore[attr-defined]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 2 after bad input, 130 after Ctrl-C, 1 if nobody reads the output.

    Bad input costs exactly one line on stderr. Any other exception is a defect of lsr and keeps its traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Importing makes hardly any garbage; looking for it as often as usual takes .05 of the .5 s of a search, and even
    # once .01: a search makes 110,000 objects.
    gc.set_threshold(200_000, 50, 50)
    _open_streams()
    stdout = sys.stdout
    if not watched():
        os.environ.setdefault("TQDM_DISABLE", "1")  # the bars that ir_datasets draws while it downloads
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a text may hold what the terminal cannot show
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            status = command_line(_completed() or words)(words or ["--help"], prog_name="lsr", standalone_mode=False)
        if status == INTERRUPTED:  # what Typer makes of Ctrl-C
            raise KeyboardInterrupt
        sys.stdout.flush()
    except (KeyboardInterrupt, _Stopped) as stop:
        kept = stop.args if isinstance(stop, _Stopped) else ()
        resumes = kept or _called(words) in RESUMING
        _complain("; ".join(["interrupted", *kept, *(["the same command resumes"] if resumes else [])]))
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        return BROKEN_PIPE
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "lsr"
        return _complain(f"{_reason(error.format_message(), command)}; see {command} --help")
    except (LsrError, OSError) as error:
        return _complain(str(error))
    finally:
        sys.stdout = stdout  # which check_output may have changed
    return status if isinstance(status, int) else 0


def _completed() -> list[str]:
    """The command whose options a shell asks for, in the variables of Typer's scripts for bash, zsh and fish."""
    if "_LSR_COMPLETE" not in os.environ:
        return []
    os.environ["COLUMNS"] = "10000"  # Typer folds what it says of an option, and a shell would take lines for words
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    return re.findall(r"^\s*\S+\s+(\S+)\s", line)  # without a blank behind it, it may be half a name


def _reason(message: str, command: str) -> str:
    extra = re.fullmatch(r"Got unexpected extra argument\(s\) \((.*)\)", message, re.DOTALL)
    if extra is not None:
        return (
            f"{command} was given more than it takes: {_cut(extra[1], 80)}; put several words, and names with *, in "
            "quotes"
        )
    message = message.replace("Value error, ", "").rstrip(".")  # words of pydantic's
    return _cut(re.sub(r"(\S{80})\S+", r"\1...", message), LONGEST_COMPLAINT)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _open_streams() -> None:
    """Give streams that were closed somewhere to go, or the files that are opened next would take their places."""
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
