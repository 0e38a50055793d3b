"""An extension of griffe: docstrings name what they describe as `name: what it is`, which the site shows as a list."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ENTRY = re.compile(r"^(\*{0,2}[A-Za-z_][\w.]*(?:, \*{0,2}[A-Za-z_][\w.]*)*): (?=\S)")


def as_list(text: str) -> str:
    """Paragraphs that begin with `name: `, and their indented lines, as a list; code blocks and prose as they are."""
    shown = list[str]()
    for paragraph in re.split(r"\n[ \t]*\n", text):
        lines = paragraph.split("\n")
        if not _ENTRY.match(lines[0]) or not all(line.startswith("    ") or _ENTRY.match(line) for line in lines):
            shown.append(paragraph)
            continue
        shown.append("\n".join(_ENTRY.sub(r"- `\1`: ", line) for line in lines))
    return "\n\n".join(shown)


class NamedValues(griffe.Extension):
    """Rewrites the docstring of every object."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_list(obj.docstring.value)
