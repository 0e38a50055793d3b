"""Keys in the British spelling that lsr had before 0.1, and as they are now."""

from __future__ import annotations

from typing import Any

RENAMED = {
    "normalise": "normalize",
    "neighbours": "neighbors",
    "optimiser": "optimizer",
    "regulariser": "regularizer",
}


def american(content: Any) -> Any:
    """JSON content, written then, with these keys renamed, however deep they lie."""
    if isinstance(content, list):
        return [american(each) for each in content]
    if isinstance(content, dict):
        return {RENAMED.get(key, key): american(value) for key, value in content.items()}
    return content
