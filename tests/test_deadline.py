"""What ends at a deadline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pyarrow as pa
import pytest

import lsr
from lsr.deadline import check_deadline, stopping, until
from lsr.errors import DeadlineError
from lsr.index.metadata import database
from lsr.index.parameters import SearchParams


def test_a_deadline_is_of_the_block_that_sets_it() -> None:
    check_deadline()
    with until(monotonic() + 60):
        check_deadline()
        with until(monotonic() - 1), pytest.raises(DeadlineError):
            check_deadline()
        check_deadline()


def test_a_query_of_metadata_is_stopped() -> None:
    table, begun = pa.table({"x": [1]}), monotonic()
    endless = "select sum(range * range) from range(1000000000000)"
    with until(begun + 0.05), pytest.raises(DeadlineError):
        database.query(endless, table)
    assert monotonic() - begun < 30
    assert database.query("select 1", table)[1].tolist() == [1]  # the next one is not


def test_nothing_is_stopped_after_its_block() -> None:
    stopped: list[bool] = []
    with until(monotonic() + 60), stopping(lambda: stopped.append(True)):
        pass
    assert not stopped


def test_counts_and_explanations_end(tmp_path: Path) -> None:
    documents = [{"id": f"d{n}", "text": f"salt w{n}", "year": n} for n in range(9)]
    searcher = lsr.build_index(documents, tmp_path / "index", "bm25")
    snapshot, query = searcher.snapshot, searcher.encoder.encode_queries(["salt w3"])
    with until(monotonic() - 1):
        late: Callable[[], object]
        for late in (
            lambda: snapshot.facets("year"),
            lambda: snapshot.filter("year > 3"),
            lambda: snapshot.index.why(query, 7, 1, SearchParams()),  # type: ignore[attr-defined]
        ):
            with pytest.raises(DeadlineError):
                late()
    assert len(snapshot.facets("year")) == 9
