"""The page of the command line, made of the commands themselves."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

from typer.core import TyperOption

from lsr.cli.examples import EXAMPLES
from lsr.cli.main import PANELS, command_line


def commands() -> str:
    """A section for each command: purpose, usage, examples, arguments, and options by panel."""
    group = command_line().commands
    parts = [
        "# Command line\n\nThe same texts as those of `lsr COMMAND --help`. `lsr --install-completion` installs shell "
        "completion.\n"
    ]
    for panel, names in PANELS.items():
        parts.append(f"## {panel}\n")
        parts += [section(name, group[name]) for name in names]
    return "\n".join(parts)


def section(name: str, command: Any) -> str:
    arguments = [each for each in command.params if not isinstance(each, TyperOption)]
    options = [each for each in command.params if isinstance(each, TyperOption) and not each.hidden]
    usage = " ".join(["lsr", name, *(metavar(each) for each in arguments), "[OPTIONS]"])
    parts = [f"### lsr {name}\n", command.help.strip() + "\n", f"```\n{usage}\n```\n"]
    parts.append("Examples:\n\n```\n" + "\n".join(EXAMPLES[name]) + "\n```\n")
    if arguments:
        parts.append(table("argument", [(metavar(each), cell(each.help or "")) for each in arguments]))
    ordered = sorted(options, key=lambda each: [other.rich_help_panel for other in options].index(each.rich_help_panel))
    for panel, some in groupby(ordered, key=lambda each: each.rich_help_panel):
        rows = [(" ".join(filter(None, [", ".join(each.opts), each.metavar])), described(each)) for each in some]
        parts.append(table(f"{panel or 'option'}".lower(), rows))
    return "\n".join(parts)


def metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.nargs != -1 or name.endswith("...") else f"{name}..."


def described(option: Any) -> str:
    text, default = cell(option.help or ""), option.default
    if default is None or isinstance(default, bool) or callable(default) or not option.show_default:
        return text
    shown = ", ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)
    return f"{text} Default: {shown}." if shown else text


def table(title: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| {title} | |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in rows]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """A help text in a table: markup as plain characters, options as code."""
    text = " ".join(text.replace("\\[", "[").split())
    for sign in "\\|*_<[":
        text = text.replace(sign, f"\\{sign}")
    return re.sub(r"(?<![\w-])(--[a-z][\w-]*)", r"`\1`", text)
