"""PROSPER's lexical focusing window from coarse to fine, an option: narrowed when most texts have become narrow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from torch import Tensor

from lsr.errors import ParameterError


def focused(weights: Tensor, width: int) -> Tensor:
    """The `width` largest weights of each text, and 0 in place of others: float [texts, components].

    Of equal weights that of the lower component stays, as in SparseVectors.top_k, which encoders keep by.
    """
    least = weights.topk(width, dim=1).values[:, -1:]
    larger, alike = weights > least, weights == least
    room = width - larger.sum(1, keepdim=True)
    return weights * (larger | (alike & (alike.cumsum(1) <= room)))


class FocusingWindow:
    """One side's window.

    widths: from wide to narrow. A narrower one is taken when `share` of the last `over` texts have no more non-zeros
    than it (PROSPER, arXiv 2510.18527: 90 %), as the window of now leaves them. Raises ParameterError.
    """

    def __init__(self, widths: Sequence[int], share: float = 0.9, over: int = 1000) -> None:
        if not widths:
            raise ParameterError("a window has no width; give at least one number of components")
        self._widths, self._share = tuple(widths), share
        self._at = 0
        self._seen: deque[int] = deque(maxlen=over)

    @property
    def width(self) -> int:
        return self._widths[self._at]

    def see(self, nonzeros: Iterable[int]) -> None:
        """Count the texts of a batch, and narrow the window where that is due."""
        self._seen.extend(nonzeros)
        while self._at + 1 < len(self._widths) and len(self._seen) == self._seen.maxlen:
            narrower = self._widths[self._at + 1]
            if sum(count <= narrower for count in self._seen) < self._share * len(self._seen):
                return
            self._at += 1
            self._seen.clear()

    def state(self) -> dict[str, object]:
        """JSON, for a checkpoint."""
        return {"at": self._at, "seen": list(self._seen)}

    def restore(self, state: dict[str, object]) -> None:
        """Go on from what `state` gave."""
        at, seen = state["at"], state["seen"]
        assert isinstance(at, int) and isinstance(seen, list)
        self._at = at
        self._seen.clear()
        self._seen.extend(seen)
