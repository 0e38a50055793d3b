"""Imports of lsr/ point down: every package knows only those below it, and no two modules know each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

LSR = Path(__file__).resolve().parent.parent / "lsr"

# From the bottom. A module of one floor may import from its own package and from those that stand before it.
FLOORS = (
    *("version", "errors", "extras", "display", "checks", "threads"),
    *("batched", "deadline", "memory", "provenance", "progress", "spelling", "recipes"),
    *("storage", "toml", "vectors", "collections", "index", "encoders", "retrieval", "exchange", "eval", "experiment"),
    "distributed",
    "serve",
    "bridges",
    *("training", "reproduce", "demo", "cli"),
)


def modules() -> dict[str, Path]:
    """Dotted name -> file, of every module; a package stands for its __init__.py."""
    found = {}
    for path in sorted(LSR.rglob("*.py")):
        parts = path.relative_to(LSR.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of lsr that a file imports, wherever it does, but for the sake of types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            names = {f"{node.module}.{each.name}" for each in node.names}
            yield from names & known.keys()
            if not names <= known.keys():
                yield node.module


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: set(imported(path, known)) - {name} for name, path in known.items()}


def test_no_import_cycle() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_no_import_points_up() -> None:
    def floor(module: str) -> int:
        return FLOORS.index(module.split(".")[1]) if "." in module else -1

    up = [
        f"{name} imports {other}"
        for name, others in graph().items()
        for other in others
        if "." in name and name != "lsr.__main__" and floor(other) > floor(name)
    ]
    assert up == []


def test_file_names_are_unique() -> None:
    """But for commands, which are named after what they do, as the module that does it may be."""
    paths = [path for path in LSR.rglob("*.py") if path.name != "__init__.py" and path.parent.name != "cli"]
    names = [path.name for path in paths]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_class_names_are_unique() -> None:
    names = [
        node.name
        for path in LSR.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
