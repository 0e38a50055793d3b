"""The drift of BM25 statistics, as commands print it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lsr.display import counted

if TYPE_CHECKING:
    from lsr.encoders.bm25_statistics import Drift


def drift_lines(drift: Drift) -> Iterator[list[str]]:
    """Rows of a name and a value."""
    more = drift.documents - drift.fitted_documents
    yield [
        "fitted on",
        f"{counted(drift.fitted_documents, 'row')}; now {drift.documents:,}, {abs(more):,} {_direction(more)}",
    ]
    yield ["new words", f"{drift.new_tokens:,}"]
    if drift.average_length is not None:
        change = drift.average_length / drift.fitted_average_length - 1
        lengths = f"{drift.fitted_average_length:.1f} words; now {drift.average_length:.1f}, {change:+.1%}"
        yield ["average length", lengths]
    if drift.most_changed is not None and not drift.idf_change:
        yield ["IDF", "unchanged"]
    elif drift.most_changed is not None:
        change = drift.idf_change / drift.mean_idf if drift.mean_idf else 0.0
        most = f"{drift.most_changed!r} from {drift.idf_used:.2f} to {drift.idf_now:.2f}"
        yield ["IDF", f"changed by {change:.1%} on average, most for {most}"]
    if drift.sampled < drift.documents:
        yield ["", f"(estimated from {counted(drift.sampled, 'row')})"]


def _direction(more: int) -> str:
    return "more" if more >= 0 else "fewer"
