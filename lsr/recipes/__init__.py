"""Trainings that come with lsr: "splade-max" has the settings of its paper, "small/splade-max" trains on two cores."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from lsr.checks import expanded
from lsr.errors import ParameterError

_SMALL = "small"
_SUFFIX = ".toml"


def recipe_names() -> list[str]:
    """The names of all recipes: first those of papers, then the small ones."""
    here = files(__name__)
    return _names(here) + [f"{_SMALL}/{name}" for name in _names(here / _SMALL)]


def find_training(name_or_path: str | Path) -> Path | Traversable:
    """The file of a recipe, which has precedence over files in the working directory, or else that of a path.

    Raises ParameterError, with the names of the recipes, if there is neither.
    """
    name = str(expanded(name_or_path))
    recipes = recipe_names()
    if name in recipes:
        return files(__name__).joinpath(f"{name}{_SUFFIX}")
    if Path(name).exists():
        return Path(name)
    raise ParameterError(f"{name}: there is no such file, and no such recipe; recipes are {', '.join(recipes)}")


def _names(folder: Traversable) -> list[str]:
    return sorted(each.name.removesuffix(_SUFFIX) for each in folder.iterdir() if each.name.endswith(_SUFFIX))
