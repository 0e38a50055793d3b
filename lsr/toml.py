"""TOML files, with errors that name them."""

from __future__ import annotations

import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from lsr.errors import ParameterError


def read_toml(path: Path | Traversable) -> dict[str, Any]:
    """What a TOML file holds. Raises ParameterError for one that cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ParameterError(f"{path}: cannot be read ({error.strerror}); give the path of a TOML file") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets in brackets
        raise ParameterError(f"{path}: is no valid TOML ({error}); correct it") from error
