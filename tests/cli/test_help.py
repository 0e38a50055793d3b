"""What --help shows, what shells complete, and whether every example and every command of the guides can be typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup, TyperOption

from lsr.cli.examples import EXAMPLES
from lsr.cli.main import COMMANDS, PANELS, command_line
from lsr.cli.panels import PANEL_OF
from tests.cli.commands import Lsr, rejected
from tests.data import FIXTURES
from tests.processes import REPOSITORY

GUIDES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
MAIN = "import sys\nfrom lsr.cli.main import main\nsys.exit(main())\n"


@pytest.fixture(scope="module")
def whole() -> TyperGroup:
    return command_line()


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def parse(whole: TyperGroup, line: str) -> None:
    """Raises typer.TyperException unless the command exists and takes these arguments and options."""
    command = re.sub(r"^([A-Z_]+=\S* )*|( [>|] .*)?$", "", line)  # without variables and pipes
    words = shlex.split(command, comments=True)
    assert words[0] == "lsr"
    context = whole.make_context("lsr", words[1:])
    name, command, rest = whole.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None
    command.make_context(name, rest, parent=context)


def typed(guide: Path) -> list[str]:
    """Lines of fenced blocks that begin with lsr, without `[...]` and other signs of a synopsis."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", guide.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("lsr ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_can_be_typed(lsr: Lsr, whole: TyperGroup, command: str) -> None:
    shown = lsr(command, "--help").out
    assert len(EXAMPLES[command]) >= 2
    for example in EXAMPLES[command]:
        parse(whole, example)
        assert f" lsr {command}" in f" {example}"
        assert f"\n {example}" in shown


def test_commands_of_the_guides_can_be_typed(whole: TyperGroup) -> None:
    lines = [line for guide in GUIDES for line in typed(guide)]
    assert len(lines) > 40
    for line in lines:
        try:
            parse(whole, line)
        except typer.TyperException as error:
            raise AssertionError(f"{line}: {error.format_message()}") from error


def test_options_have_metavars(lsr: Lsr) -> None:
    for command in COMMANDS:
        shown = lsr(command, "--help").out
        assert "<" not in shown, shown
        assert re.search(r"--help +Show", shown)
    shown = lsr("search", "--help").out
    assert re.search(r"--feedback +\[rocchio\|average", shown)
    assert re.search(r"--exact +Score every", shown)
    assert re.search(r"--only +FILE +File of", shown)


def test_options_stand_in_panels_by_purpose(lsr: Lsr) -> None:
    shown = lsr("search", "--help").out
    titles = re.findall(r"^╭─ (.+?) ─", shown, re.MULTILINE)
    assert titles == [*("Arguments", "Search", "Feedback", "Sparse and dense together"), "Encoder", "Machine", "Output"]
    feedback = shown.split("╭─ Feedback")[1].split("╭─")[0]
    assert re.findall(r"(--\S+) ", feedback)[:3] == ["--feedback", "--feedback-depth", "--feedback-terms"]
    assert "--json" in shown.split("╭─ Output")[1]


def test_the_panel_of_every_option(whole: TyperGroup) -> None:
    options = [
        (name, each.name, getattr(each, "rich_help_panel", None))
        for name, command in whole.commands.items()
        for each in command.params
        if isinstance(each, TyperOption)
    ]
    assert {(name, option) for name, option, shown_in in options if shown_in is None} == {
        ("attach", "texts"),
        ("info", "verify"),
        ("merge", "every"),
        ("repair", "forget_deletions"),
        ("repair", "dry_run"),
    }
    assert ("mine", "negatives", "Negatives") in options
    assert ("search", "negatives", "Feedback") in options
    known = {option for _, option, _ in options} | {f"{name}.{option}" for name, option, _ in options}
    assert PANEL_OF.keys() <= known  # no name is left over


def test_commands_stand_in_panels_by_purpose(lsr: Lsr) -> None:
    shown = lsr("--help").out
    assert re.findall(r"^╭─ (.+?) ─", shown, re.MULTILINE) == ["Options", *PANELS]
    assert re.findall(r"^│ ([a-z]+) ", shown, re.MULTILINE) == list(COMMANDS)


def test_too_many_arguments_give_a_short_error(lsr: Lsr) -> None:
    names = [f"mydocs/news/{number:04}.md" for number in range(300)]
    message = rejected(lsr("info", *names))
    assert "mydocs/news/0001.md" in message
    assert "in quotes" in message
    assert len(message) < 300
    assert rejected(lsr("index", *names, "my.index")).startswith("mydocs/news/0000.md: there is no such file")
    message = rejected(lsr("index", "c", "i", "--layout", "x" * 4000))
    assert message.startswith("Invalid value for '--layout': 'xxx")
    assert len(message) < 700


def test_version_names_what_decides_the_result(lsr: Lsr) -> None:
    first, second, third = lsr("--version").out.splitlines()
    assert re.fullmatch(r"lsr \d+\.\d+\.\d+\S*", first)
    assert second.startswith(f"Python {sys.version_info.major}.{sys.version_info.minor}")
    for package in ("numpy", "numba", "pyarrow", "torch", "transformers", "faiss-cpu"):
        assert re.search(rf"{package} (\d|is not)", third)


def completed(shell: str, line: str) -> list[str]:
    """What a shell is offered for a line; no other command is imported than the line's."""
    words = line.split(" ")
    environment = {"_LSR_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    if shell == "bash":
        environment |= {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    else:
        environment |= {"_TYPER_COMPLETE_ARGS": line}
    ended = subprocess.run(
        [sys.executable, "-c", MAIN], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""
    return re.findall(r'^(?:_arguments.*\(\()?"?([\w-]+)', ended.stdout, re.MULTILINE)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_options_and_choices(shell: str) -> None:
    assert completed(shell, "lsr enc") == ["encoders", "encode"]
    assert completed(shell, "lsr search my.index text --feedback") == [
        "--feedback",
        "--feedback-depth",
        "--feedback-terms",
    ]
    assert completed(shell, "lsr build splade-v3-d") == ["splade-v3-distilbert", "splade-v3-doc"]
    assert completed(shell, "lsr search --feedback ") == ["rocchio", "average", "rm3"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", MAIN],
        env={**os.environ, "_LSR_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"_LSR_COMPLETE=complete_{shell}" in ended.stdout
    if shell == "bash":  # the only one that every machine has
        program = tmp_path / "lsr"
        program.write_text(f"#!{sys.executable}\n{MAIN}")
        program.chmod(0o755)
        asked = f'COMP_WORDS=(lsr search --ex) COMP_CWORD=2; _lsr_completion {program}; echo "${{COMPREPLY[@]}}"'
        shown = subprocess.run(["bash", "-c", f"{ended.stdout}\n{asked}"], capture_output=True, text=True, check=True)
        assert shown.stdout.split() == ["--exact", "--explain"]


@pytest.mark.usefixtures("unplotted")
def test_suggested_next_commands_can_be_parsed(
    lsr: Lsr, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    index, run = tmp_path / "my index", tmp_path / "a.run"
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text('collections = ["library"]\n[systems.bm25]\nencoder = "bm25"\n')
    two.write_text(f'{one.read_text()}[systems.other]\nencoder = "bm25"\n')
    for words, named in (
        (("index", library, index, "--encoder", "bm25"), "search"),
        (("run", index, library, run, "-k", 10), "evaluate"),
        (("encode", library, tmp_path / "vectors", "--encoder", "bm25"), "index"),
        (("build", "splade-max", "tiny", tmp_path / "built"), "inspect"),
        (("experiment", one, "--offline-data", FIXTURES), "evaluate"),
        (("experiment", two, "--offline-data", FIXTURES), "compare"),
    ):
        ended = lsr(*words)
        assert ended.status == 0, ended.err
        (line,) = [line for line in ended.out.splitlines() if line.startswith("next: ")]
        _, command, *rest = shlex.split(line.removeprefix("next: "))
        assert command == named
        assert lsr(command, *rest).status == 0
