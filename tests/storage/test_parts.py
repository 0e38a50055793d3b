"""When parts end: by rows, or by time, always with a whole step of work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lsr.errors import CollectionError
from lsr.storage import parts
from lsr.storage.parts import PartWork, PartWriter, part_path, write_part, write_parts


def square(folder: Path, numbers: Iterator[int], rows_per_part: int, steps: list[list[int]]) -> int:
    """Write n and n * n for each number, four to a step."""

    def compute(step: list[int], first: int) -> list[int]:
        steps.append(step)
        assert step[0] == first
        return [number * number for number in step]

    def write(chunk: list[int], results: list[list[int]], metadata: dict[str, str]) -> None:
        squares = [each for step in results for each in step]
        write_part(writer.next_path, pa.table({"n": chunk, "square": squares}), metadata)
        writer.parts.append(len(chunk))

    work = PartWork("numbers", "squared", ("n",), lambda n: (n,), lambda n: (str(n),), compute, write)
    with PartWriter(folder, lambda path: len(pq.read_table(path))) as writer:
        return write_parts(writer, numbers, work, rows_per_part, 4, lambda *_, **__: None)


def sizes(folder: Path) -> list[int]:
    return [len(pq.read_table(path)) for path in sorted(folder.glob("part-*"))]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds; a step of work takes none unless a test lets it."""
    now = [0.0]
    monkeypatch.setattr(parts, "monotonic", lambda: now[0])
    return now


def test_parts_end_after_their_rows(tmp_path: Path, clock: list[float]) -> None:
    steps: list[list[int]] = []
    assert square(tmp_path, iter(range(25)), 10, steps) == 25
    assert sizes(tmp_path) == [10, 10, 5]
    assert [len(step) for step in steps] == [4, 4, 2, 4, 4, 2, 4, 1]
    assert pq.read_table(part_path(tmp_path, 1))["square"].to_pylist() == [n * n for n in range(10, 20)]


def test_slow_work_ends_parts_early(tmp_path: Path, clock: list[float]) -> None:
    """Each number takes 5 seconds: after two steps a part is 40 seconds old, and a kill loses no more than that."""

    def slow(stop: int) -> Iterator[int]:
        for number in range(25):
            if number == stop:
                raise RuntimeError("killed")
            clock[0] += 5
            yield number

    with pytest.raises(RuntimeError, match="killed"):
        square(tmp_path, slow(stop=21), 100, [])
    assert sizes(tmp_path) == [8, 8]
    steps: list[list[int]] = []
    assert square(tmp_path, slow(stop=99), 100, steps) == 25
    assert [number for step in steps for number in step] == list(range(16, 25))
    assert sizes(tmp_path) == [8, 8, 8, 1]


def test_ctrl_c_keeps_the_steps_that_are_done(tmp_path: Path, clock: list[float]) -> None:
    def numbers() -> Iterator[int]:
        yield from range(10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        square(tmp_path, numbers(), 100, [])
    assert sizes(tmp_path) == [8]
    steps: list[list[int]] = []
    assert square(tmp_path, iter(range(12)), 100, steps) == 12
    assert steps == [[8, 9, 10, 11]]
    assert sizes(tmp_path) == [8, 4]


def test_lists_in_names_are_compared(tmp_path: Path, clock: list[float]) -> None:
    square(tmp_path, iter(range(5)), 10, [])
    with pytest.raises(
        CollectionError, match="numbers 1 to 5 differ from those that were squared.*number 4 was 3, now it is 7"
    ):
        square(tmp_path, iter([0, 1, 2, 7, 4]), 10, [])
