"""Keys of JSON that lsr wrote in British spelling, before 0.1, as it writes them now."""

from __future__ import annotations

from typing import Any

_BRITISH = {
    "normalise": "normalize",
    "neighbours": "neighbors",
    "optimiser": "optimizer",
    "regulariser": "regularizer",
}


def american(content: Any) -> Any:
    """JSON content with these keys renamed, however deep they lie."""
    if isinstance(content, list):
        return [american(each) for each in content]
    if isinstance(content, dict):
        return {_BRITISH.get(key, key): american(value) for key, value in content.items()}
    return content
