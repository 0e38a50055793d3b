"""Parts of the specs that folders of small models should be read as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lsr.encoders.spec import BackboneSpec, HeadSpec, LookupSpec, TransformerSpec
from tests.encoders.models import SPECIAL, WORDS

COMPONENTS = len(SPECIAL + WORDS)


def language_model(folder: Path, longest: int = 96, task: str = "masked-lm", **head: Any) -> TransformerSpec:
    """A side whose files are all in one folder."""
    place = str(folder)
    return TransformerSpec(BackboneSpec(place, place, place, task=task), HeadSpec(**head), longest)


def lookup(folder: Path, **changes: Any) -> LookupSpec:
    return LookupSpec(**{"tokenizer": str(folder), "components": COMPONENTS, "max_length": 96, **changes})


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
