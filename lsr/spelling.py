"""Keys in the British spelling of lsr before 0.1, and in the present spelling."""

from __future__ import annotations

from typing import Any

RENAMED = {
    "normalise": "normalize",
    "neighbours": "neighbors",
    "optimiser": "optimizer",
    "regulariser": "regularizer",
}


def american(content: Any) -> Any:
    """JSON content of that time with the keys renamed, at any depth."""
    if isinstance(content, list):
        return [american(each) for each in content]
    if isinstance(content, dict):
        return {RENAMED.get(key, key): american(value) for key, value in content.items()}
    return content
