"""Modules that an integration imports, made for a test and gone after it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.data import REPOSITORY


def put(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """Let `import name` find a module with this content; of a dotted name the packages, too."""
    packages = name.split(".")
    for end in range(1, len(packages)):
        package = ".".join(packages[:end])
        if package not in sys.modules:
            monkeypatch.setitem(sys.modules, package, ModuleType(package))
    module = ModuleType(name)
    vars(module).update(content)
    monkeypatch.setitem(sys.modules, name, module)


def load(*parts: str) -> Any:
    """A file below integrations/, as a module that is not kept."""
    path = REPOSITORY.joinpath("integrations", *parts)
    specification = importlib.util.spec_from_file_location(Path(path).stem.replace("-", "_"), path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
