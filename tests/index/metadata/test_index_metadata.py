from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.errors import IndexFormatError, ParameterError
from lsr.index.metadata import index_metadata, segment_metadata
from lsr.index.metadata.index_metadata import IndexMetadata, MetadataPart
from lsr.index.metadata.segment_metadata import SegmentMetadata
from lsr.index.segments.row_map import RowMap
from lsr.storage.columns import Columns, write_columns
from lsr.storage.id_column import IdColumn
from tests.index.metadata.conditions import Random, Row, conditions, rows

NAME = "metadata"


def part(
    folder: Path, made: list[Row], ids: list[str] | None = None, lengths: list[int] | None = None, gone: Any = ()
) -> MetadataPart:
    """lengths: the rows of each document. gone: documents that are deleted."""
    folder.mkdir(exist_ok=True)
    schema = write_columns(folder, NAME, made)
    columns = Columns.open(folder, NAME) if schema.names else None
    metadata = SegmentMetadata(columns, None if ids is None else IdColumn.of(ids), len(made))
    starts = None if lengths is None else np.cumsum([0, *lengths])
    first = np.arange(len(made)) if starts is None else starts
    deleted = [row for each in gone for row in range(first[each], first[each] + (lengths or [1] * len(made))[each])]
    return MetadataPart(metadata, starts, np.array(deleted, np.uint32))


def joined(*parts: MetadataPart) -> IndexMetadata:
    counts = [each.metadata.documents if each.starts is None else int(each.starts[-1]) for each in parts]
    return IndexMetadata(parts, RowMap(counts, [each.deleted for each in parts]))


@settings(max_examples=25)
@given(st.data(), st.lists(rows(20), min_size=1, max_size=3), conditions())
def test_filters_rows_and_counts(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, made: list[list[Row]], random: Random
) -> None:
    folder = tmp_path_factory.mktemp("metadata")
    parts, expected, live_documents = [], [], []
    for number, some in enumerate(made):
        split = data.draw(st.booleans())
        lengths = data.draw(st.lists(st.integers(1, 3), min_size=len(some), max_size=len(some))) if split else None
        gone = sorted(data.draw(st.sets(st.sampled_from(range(len(some))))))
        parts.append(part(folder / str(number), some, lengths=lengths, gone=gone))
        live = [(document, row) for document, row in enumerate(some) if document not in gone]
        live_documents += [row for _, row in live]
        expected += [row for document, row in live for _ in range(lengths[document] if lengths else 1)]
    metadata = joined(*parts)
    columns = metadata.schema.names
    try:
        found = metadata.filter(random.sql)
    except ParameterError:
        assert pa.null() in metadata.schema.types  # with which DuckDB does not compare all
        return
    assert found.mask.tolist() == [random.of(row) is True for row in expected]
    assert metadata.filter(random.sql) is found
    for number, row in enumerate(expected):
        assert metadata.row(number) == {name: row[name] for name in columns}
    for name in columns:
        counted = Counter(row[name] for row in live_documents if row[name] is not None)
        assert metadata.counts(name) == counted
        matching = Counter(row[name] for row in live_documents if row[name] is not None and random.of(row) is True)
        assert metadata.counts(name, random.sql) == matching


def test_segments_with_other_columns_and_types(tmp_path: Path) -> None:
    metadata = joined(
        part(tmp_path / "a", [{"year": 2020, "kind": "x"}, {"year": 2019, "kind": "y"}]),
        part(tmp_path / "b", [{}, {}]),
        part(tmp_path / "c", [{"year": 2020.5, "new": True}] * 40),
    )
    assert metadata.schema == pa.schema([("year", pa.float64()), ("kind", pa.string()), ("new", pa.bool_())])
    assert np.flatnonzero(metadata.filter("year >= 2020").mask).tolist() == [0, *range(4, 44)]
    assert np.flatnonzero(metadata.filter("kind is null and new is null").mask).tolist() == [2, 3]
    assert np.flatnonzero(metadata.filter("new or kind = 'y'").mask).tolist() == [1, *range(4, 44)]
    assert metadata.row(2) == {"year": None, "kind": None, "new": None}
    assert metadata.row(4) == {"year": 2020.5, "kind": None, "new": True}
    assert metadata.counts("year") == {2020: 1, 2019: 1, 2020.5: 40}


def test_the_id_is_a_column(tmp_path: Path) -> None:
    metadata = joined(part(tmp_path / "a", [{}] * 3, ["d1", "ä", "d3"]), part(tmp_path / "b", [{}], ["d4"], [2]))
    assert metadata.filter("id in ('ä', 'd4')").mask.tolist() == [False, True, False, True, True]
    assert metadata.filter("_ID = 'd1'").mask.tolist() == [True, False, False, False, False]
    own = joined(part(tmp_path / "c", [{"id": 7}], ["d1"]))
    assert own.filter("id = 7 and _id = 'd1'").mask.tolist() == [True]


def test_lists_count_each_value_once_a_document(tmp_path: Path) -> None:
    metadata = joined(part(tmp_path / "a", [{"tags": ["x", "x", "y"]}, {"tags": []}, {}, {"tags": ["y", None]}]))
    assert metadata.counts("tags") == {"x": 1, "y": 2}
    assert metadata.counts("tags", "list_contains(tags, 'x')") == {"x": 1, "y": 1}


def test_unknown_columns_and_rows(tmp_path: Path) -> None:
    metadata = joined(part(tmp_path / "a", [{"year": 1, "Kind": "x", "kind": "y", "who": {"name": "x"}}]))
    for where, message in (
        ("yeer = 1", r"where 'yeer = 1': there is no column 'yeer'.*columns: year \(int64\), Kind \(string\)"),
        ('year = "x"', r"there is no column 'x' \(write a text in single quotes: 'x'\)"),
        ("KIND = 'x'", "there are several columns 'KIND'"),
        ("Kind = 'x' or kind = 'x'", "cannot be distinguished"),
        ("id = 'x'", "there is no column 'id'"),
        ("t.year = 1", "there is no column 't'"),
    ):
        with pytest.raises(ParameterError, match=message):
            metadata.filter(where)
    assert metadata.filter("Kind = 'x'").mask.tolist() == [True]
    with pytest.raises(ParameterError, match="there is no column 'x'; columns: year"):
        metadata.counts("x")
    with pytest.raises(ParameterError, match="'who' has the type struct"):
        metadata.counts("who")
    nothing = joined(part(tmp_path / "b", [{}]))
    with pytest.raises(ParameterError, match="the index stores no metadata"):
        nothing.filter("year = 1")


def test_a_file_of_other_rows_is_refused(tmp_path: Path) -> None:
    write_columns(tmp_path, NAME, [{"a": 1}])
    metadata = SegmentMetadata(Columns.open(tmp_path, NAME), None, 2)
    with pytest.raises(IndexFormatError, match="metadata of 1 documents for 2"):
        metadata.row(0)


def test_a_condition_is_evaluated_once_for_a_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = []
    evaluate = segment_metadata.matching
    monkeypatch.setattr(segment_metadata, "matching", lambda *given: times.append(1) or evaluate(*given))
    one = part(tmp_path / "a", [{"year": 1}, {"year": 2}])
    other = part(tmp_path / "b", [{"year": 2}])
    assert joined(one).filter("year = 2").mask.tolist() == [False, True]
    later = joined(one._replace(deleted=np.array([0], np.uint32)), other)  # a generation with the same segment
    assert later.filter("year = 2").mask.tolist() == [True, True]
    assert len(times) == 2
    assert index_metadata.ID_NAMES
