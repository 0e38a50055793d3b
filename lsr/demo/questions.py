"""Questions with the names that answer them, judged by hand."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import NamedTuple


class Question(NamedTuple):
    """A question of a user who does not know the name. answers: ids of documents, each of which answers it."""

    text: str
    answers: tuple[str, ...]


def load_questions() -> list[Question]:
    """The questions in the order of the file. Every answer exists in Python 3.11, 3.12 and 3.13."""
    entries = json.loads(files("lsr.demo").joinpath("questions.json").read_text(encoding="utf-8"))
    return [Question(entry["question"], tuple(entry["answers"])) for entry in entries]
