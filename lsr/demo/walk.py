"""Write the docstrings of the standard library to standard output, as JSON. A script that imports nothing of lsr.

It runs in a separate interpreter (see `lsr.demo.stdlib`), because imports of the whole library have side effects:
modules register exit handlers, set hooks, and print.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

SKIPPED = {
    *("antigravity", "this", "idlelib", "turtledemo", "turtle", "tkinter", "test", "lib2to3", "ensurepip", "msilib"),
    *("distutils", "encodings", "pydoc_data", "rlcompleter", "sre_compile", "sre_constants", "sre_parse"),
    *("ntpath", "posixpath", "genericpath", "posix", "nt"),  # known as os.path and os
}
HOMES = {"posixpath": "os.path", "ntpath": "os.path", "genericpath": "os.path", "posix": "os", "nt": "os"}


@dataclass(frozen=True)
class Named:
    """An object and one of its public names. The object is listed under the name of lowest rank."""

    name: str
    thing: Any
    rank: tuple[int, bool, bool, int, str]


def main() -> None:
    """Print a JSON list of [name, signature, docstring], in the order of the names."""
    listing = os.dup(sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # imports may print
    warnings.simplefilter("ignore")
    with open(listing, "w", encoding="utf-8") as out:
        json.dump(documentation(), out)


def documentation() -> list[tuple[str, str, str]]:
    """(name, signature, docstring) of every public module, class, function and method that has a docstring."""
    modules = dict(public_modules())
    members = preferred([named for name, module in modules.items() for named in public_members(name, module)])
    classes = {id(named.thing) for named in members if inspect.isclass(named.thing)}
    methods = [method for named in members if inspect.isclass(named.thing) for method in own_methods(named, classes)]
    things: dict[str, Any] = {named.name: named.thing for named in preferred([*members, *methods])}
    return [
        (name, signature(name, thing), documented)
        for name, thing in sorted((modules | things).items())
        if (documented := docstring(thing))
    ]


def public_modules() -> Iterator[tuple[str, ModuleType]]:
    names = [name for name in sorted(sys.stdlib_module_names) if not name.startswith("_") and name not in SKIPPED]
    for name in [*names, "os.path"]:
        yield from _with_submodules(name)


def _with_submodules(name: str) -> Iterator[tuple[str, ModuleType]]:
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit):  # a module of another platform, or not compiled
        return
    yield name, module
    for found in pkgutil.iter_modules(getattr(module, "__path__", ())):
        if not found.name.startswith("_") and found.name not in SKIPPED:
            yield from _with_submodules(f"{name}.{found.name}")


def public_members(module_name: str, module: ModuleType) -> Iterator[Named]:
    """The classes and functions that a module defines for its users, without those that it only imports."""
    listed = getattr(module, "__all__", None)
    for name in listed if listed is not None else dir(module):
        if name.startswith("_"):
            continue
        try:
            thing = getattr(module, name)
        except Exception:  # a name of __all__ that this platform does not have
            continue
        if not (inspect.isclass(thing) or inspect.isroutine(thing)):
            continue
        home = getattr(thing, "__module__", None) or ""
        home = HOMES.get(home, home)
        if module_name == "builtins" or home == module_name or home.startswith(f"{module_name}."):
            kinship = 0
        elif home.startswith("_") or not home:
            kinship = 1  # implemented in C, or in a private module
        elif listed is not None:
            kinship = 2
        else:
            continue
        rank = (kinship, module_name != "builtins", getattr(thing, "__name__", "") != name)
        full_name = name if module_name == "builtins" else f"{module_name}.{name}"
        yield Named(full_name, thing, (*rank, full_name.count("."), full_name))


def own_methods(owner: Named, public_classes: set[int]) -> Iterator[Named]:
    """The public methods that a class, or a base class that is not public, defines."""
    seen: set[str] = set()
    for base in owner.thing.__mro__ if isinstance(owner.thing, type) else ():
        if base is not owner.thing and (id(base) in public_classes or base is object):
            continue
        for name in vars(base):
            if name.startswith("_") or name in seen:
                continue
            seen.add(name)
            thing = vars(base)[name]
            if isinstance(thing, classmethod | staticmethod) or inspect.isroutine(thing):
                full_name = f"{owner.name}.{name}"
                misnamed = getattr(thing, "__name__", "") != name
                yield Named(full_name, thing, (3, False, misnamed, full_name.count("."), full_name))


def preferred(candidates: list[Named]) -> list[Named]:
    """One name per object: the shortest of its home module."""
    chosen: dict[int, Named] = {}
    for named in sorted(candidates, key=lambda named: named.rank):
        chosen.setdefault(id(_function(named.thing)), named)
    return list(chosen.values())


def _function(thing: Any) -> Any:
    """The function behind a bound method (random.randint), a class method or a static one."""
    return getattr(thing, "__func__", thing)


def docstring(thing: Any) -> str:
    """The docstring of `thing` itself, not of a base class; empty if there is none. A class can have it in __init__."""
    documented = _function(thing).__doc__
    if inspect.isclass(thing) and not documented:
        documented = getattr(vars(thing).get("__init__"), "__doc__", None)
    return inspect.cleandoc(documented).strip() if isinstance(documented, str) else ""


def signature(name: str, thing: Any) -> str:
    """The signature, such as "dumps(obj, *, indent=None)"; empty for a module, and if Python cannot determine it."""
    if inspect.ismodule(thing):
        return ""
    try:
        found = inspect.signature(_function(thing))
    except Exception:  # C code without a signature, or with one that cannot be evaluated; the docstring has it
        return ""
    parameters = [parameter.replace(default=_shown(parameter.default)) for parameter in found.parameters.values()]
    return f"{name.rpartition('.')[2]}{found.replace(parameters=parameters)}"


class _Elsewhere:
    """Replaces a default that differs between machines: the environment, a path, a stream, an address."""

    def __repr__(self) -> str:
        return "..."


def _shown(default: Any) -> Any:
    """The default, if it is the same on all machines; else a replacement."""
    literal = default is None or isinstance(default, bool | int | float | str | bytes) or default == ()
    path = isinstance(default, str) and os.path.isabs(default) and default != "/"
    return default if (literal and not path) or default is inspect.Parameter.empty else _Elsewhere()


if __name__ == "__main__":
    main()
