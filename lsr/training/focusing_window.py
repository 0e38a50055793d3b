"""PROSPER's optional coarse-to-fine lexical focusing window. It narrows when most texts have few non-zeros."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from torch import Tensor

from lsr.errors import ParameterError


def focused(weights: Tensor, width: int | Tensor) -> Tensor:
    """The `width` largest weights of each text, and 0 for the others: float [texts, components].

    width: at least 1 and at most the number of components; one for all texts, or int64 [texts, 1]. Of equal weights,
        the lower component is kept, as in SparseVectors.top_k, which encoders use.
    """
    largest = weights.topk(int(width.max()) if isinstance(width, Tensor) else width, dim=1).values
    least = largest.gather(1, width - 1) if isinstance(width, Tensor) else largest[:, -1:]
    larger, alike = weights > least, weights == least
    room = width - larger.sum(1, keepdim=True)
    return weights * (larger | (alike & (alike.cumsum(1) <= room)))


class FocusingWindow:
    """The window of one side.

    widths: numbers of components, in descending order. With the present width, `share` of the last `over` texts must
        have at most as many non-zeros as the next width; then the window takes the next width (PROSPER, arXiv
        2510.18527: share 90 %).

    Raises ParameterError.
    """

    def __init__(self, widths: Sequence[int], share: float = 0.9, over: int = 1000) -> None:
        if not widths:
            raise ParameterError("the window has no width; give at least one number of components")
        self._widths, self._share = tuple(widths), share
        self._at = 0
        self._seen: deque[int] = deque(maxlen=over)

    @property
    def width(self) -> int:
        return self._widths[self._at]

    def update(self, nonzeros: Iterable[int]) -> None:
        """Count the texts of a batch, and narrow the window if it is due."""
        self._seen.extend(nonzeros)
        while self._at + 1 < len(self._widths) and len(self._seen) == self._seen.maxlen:
            narrower = self._widths[self._at + 1]
            if sum(count <= narrower for count in self._seen) < self._share * len(self._seen):
                return
            self._at += 1
            self._seen.clear()

    def state(self) -> dict[str, object]:
        """The state as JSON, for a checkpoint."""
        return {"at": self._at, "seen": list(self._seen)}

    def restore(self, state: dict[str, object]) -> None:
        """Restore a state."""
        at, seen = state["at"], state["seen"]
        assert isinstance(at, int) and isinstance(seen, list)
        self._at = at
        self._seen.clear()
        self._seen.extend(seen)
