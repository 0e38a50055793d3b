"""IdColumn: memory-mapped ids, and look-up of their rows without reading the other ids."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from lsr.errors import IndexFormatError
from lsr.storage.arrays import growing_array, load_array
from lsr.storage.ids import check_unique
from lsr.storage.strings import StringColumn

STRINGS_AT_ONCE = 1 << 13
SORTED_AT_ONCE = 1 << 18


class Ids(Protocol):
    """The interface of ids by row: an IdColumn, or several columns together."""

    def __len__(self) -> int: ...
    def __getitem__(self, row: int, /) -> str: ...
    def __iter__(self) -> Iterator[str]: ...
    def rows(self, ids: Sequence[str]) -> npt.NDArray[np.int64]: ...
    def all_rows(self, ids: Sequence[str]) -> npt.NDArray[np.int64]: ...
    def equals(self, other: Any) -> bool: ...


class IdKeys(NamedTuple):
    """Ids to look up: concatenated UTF-8 bytes, uint8; their begins, int64[n + 1]; and digests, uint64[n]."""

    text: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, ids: Sequence[str]) -> IdKeys:
        """The keys of ids. Ids can have surrogates, although no column has such ids."""
        text, offsets = _joined([each.encode(errors="surrogatepass") for each in ids])
        return cls(text, offsets, digests_of(text, offsets))

    @property
    def size(self) -> int:
        return len(self.digests)

    def encoded(self, i: int) -> bytes:
        encoded: bytes = self.text[self.offsets[i] : self.offsets[i + 1]].tobytes()
        return encoded


class IdColumn(StringColumn):
    """Unique ids of rows.

    Stored with the strings: their digests, uint64[n], sorted, and the row of each digest, uint32 or int64[n]. A column
    without digests computes them when rows are first looked up; IndexFormatError then if it is damaged.
    """

    _sorted: tuple[npt.NDArray[np.uint64], npt.NDArray[Any]] | None = None

    @classmethod
    def of(cls, ids: Sequence[str]) -> Self:
        """The column of ids, which must be valid Unicode. Raises VectorsError, with both rows, for a duplicate id."""
        column = cls(*_joined([each.encode() for each in ids]))
        digests, _ = column._by_digest()
        if (digests[1:] == digests[:-1]).any():  # different ids can have equal digests
            check_unique(ids)
        return column

    @staticmethod
    def write(folder: Path, name: str, strings: Iterable[str]) -> int:
        """Write NAME.*.npy, with few strings and numbers in memory; returns the number of strings.

        Raises what StringColumn.write raises. Duplicate ids are not detected.
        """
        count = StringColumn.write(folder, name, strings)
        written = StringColumn.open(folder, name)  # without digests of older ids
        unsorted = f"{name}.unsorted"
        with growing_array(folder, unsorted, np.uint64) as add:
            for begin in range(0, count, STRINGS_AT_ONCE):
                add(digests_of(written._text, written._offsets[begin : begin + STRINGS_AT_ONCE + 1]))
        # Sorted by ranges of digests, which are about equally frequent.
        parts = 1 + count // SORTED_AT_ONCE
        with (
            growing_array(folder, f"{name}.digests", np.uint64) as add_digests,
            growing_array(folder, f"{name}.rows", _row_type(count)) as add_rows,
        ):
            for part in range(parts):
                rows = [np.empty(0, np.int64)]
                for begin in range(0, count, SORTED_AT_ONCE):
                    digests = load_array(folder, unsorted)[begin : begin + SORTED_AT_ONCE]
                    rows.append(
                        np.flatnonzero((digests >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32) == part) + begin
                    )
                chosen = np.concatenate(rows)
                digests = load_array(folder, unsorted)[chosen]
                order = np.argsort(digests, kind="stable")
                add_digests(digests[order])
                add_rows(chosen[order])
        (folder / f"{unsorted}.npy").unlink()
        return count

    @classmethod
    def open(cls, folder: str | os.PathLike[str], name: str) -> Self:
        """Open ids written by `write` or StringColumn.write. Raises IndexFormatError."""
        column = super().open(folder, name)
        if Path(folder, f"{name}.digests.npy").exists():
            digests, rows = (load_array(folder, f"{name}.{each}") for each in ("digests", "rows"))
            if (
                digests.dtype != np.uint64
                or rows.dtype.kind not in "iu"
                or not digests.shape == rows.shape == (len(column),)
            ):
                raise IndexFormatError(f"{folder}: the digests of {name} are damaged; build the index again")
            column._sorted = digests, rows
        return column

    def rows(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """int64[m]: the row of each id; -1 for unknown ids. Takes O(m log n)."""
        return self.find(IdKeys.of(ids))

    @property
    def keys(self) -> IdKeys:
        """All ids as keys, to look them up in another column."""
        by_digest, rows = self._by_digest()
        digests = np.zeros(len(self), np.uint64)
        inside = (rows >= 0) & (rows < len(self))
        digests[rows[inside]] = by_digest[inside]
        return IdKeys(self._text, self._offsets, digests)

    def find(self, keys: IdKeys) -> npt.NDArray[np.int64]:
        """Like `rows`, for keys that are looked up in several columns."""
        found = np.full(keys.size, -1, np.int64)
        digests, rows = self._by_digest()
        order = np.argsort(keys.digests)  # neighbors are adjacent in memory and on disk
        begins = np.searchsorted(digests, keys.digests[order])
        there = begins < len(digests)
        there[there] = digests[begins[there]] == keys.digests[order[there]]
        order, begins = order[there], begins[there]
        after = np.minimum(begins + 1, len(digests) - 1)
        alike = (after > begins) & (digests[after] == keys.digests[order])
        found[order[~alike]] = self._confirmed(rows[begins[~alike]].astype(np.int64), keys, order[~alike])
        known: dict[bytes, int] = {}
        of_digest = -1
        for i, begin in zip(order[alike].tolist(), begins[alike].tolist(), strict=True):
            if of_digest != begin:  # ids with equal digests are read once, because an attacker can make thousands
                of_digest = begin
                end = int(np.searchsorted(digests, digests[begin], side="right"))
                known = {self._bytes(row): row for row in rows[begin:end][::-1].tolist() if 0 <= row < len(self)}
            found[i] = known.get(keys.encoded(i), -1)
        return found

    def _confirmed(
        self, rows: npt.NDArray[np.int64], keys: IdKeys, which: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """`rows` if their bytes are those of the keys, else -1. Never reads beyond the end of the text."""
        inside = (rows >= 0) & (rows < len(self))
        safe = np.where(inside, rows, 0)
        begins, ends = self._offsets[safe], self._offsets[safe + 1]
        lengths = keys.offsets[which + 1] - keys.offsets[which]
        inside &= (begins >= 0) & (ends <= len(self._text)) & (ends - begins == lengths)
        lengths = np.where(inside, lengths, 0)
        stops = np.cumsum(lengths)
        within = np.arange(lengths.sum()) - np.repeat(stops - lengths, lengths)
        ours = self._text[np.repeat(begins, lengths) + within]
        theirs = keys.text[np.repeat(keys.offsets[which], lengths) + within]
        differ = np.concatenate([np.zeros(1, np.int64), np.cumsum(ours != theirs)])
        return np.where(inside & (differ[stops] == differ[stops - lengths]), rows, -1)

    def check(self) -> None:
        """Read all ids. Raises IndexFormatError unless they are valid and unique, and the digests are correct."""
        super().check()
        fresh, ours = IdColumn(self._text, self._offsets)._by_digest(), self._by_digest()
        if not all(np.array_equal(*each) for each in zip(fresh, ours, strict=True)):
            raise IndexFormatError("the digests do not match the ids; build the index again")
        digests, rows = fresh
        alike = np.flatnonzero(digests[1:] == digests[:-1]).tolist()  # different ids can have equal digests
        if len({self._bytes(rows[each]) for at in alike for each in (at, at + 1)}) < len(
            {each for at in alike for each in (at, at + 1)}
        ):
            raise IndexFormatError("an id occurs twice; build the index again")

    def all_rows(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """All rows in which each id occurs; one, as ids are unique."""
        return self.rows(ids)

    def _by_digest(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[Any]]:
        if self._sorted is None:
            if (np.diff(self._offsets) < 0).any():
                raise IndexFormatError("the offsets of the ids are damaged; build the index again")
            digests = digests_of(self._text, self._offsets)
            order = np.argsort(digests, kind="stable")
            self._sorted = digests[order], order.astype(_row_type(len(order)))
        return self._sorted

    def first_repeated(self) -> int | None:
        """The first row with the id of an earlier row; None if there is none."""
        digests, rows = self._by_digest()
        first = len(self)
        of_digest, known = -1, set[bytes]()
        for begin in range(0, len(self), STRINGS_AT_ONCE):
            some = digests[begin : begin + STRINGS_AT_ONCE + 1]
            for at in (np.flatnonzero(some[1:] == some[:-1]) + begin).tolist():
                if of_digest != digests[at]:
                    of_digest, known = int(digests[at]), {self._bytes(int(rows[at]))}
                row = int(rows[at + 1])  # rows with equal digests ascend
                if self._bytes(row) in known:
                    first = min(first, row)
                known.add(self._bytes(row))
        return first if first < len(self) else None


def _row_type(count: int) -> np.dtype[Any]:
    """The type of row numbers for this number of ids."""
    return np.dtype(np.uint32 if count <= 1 << 32 else np.int64)


def digests_of(text: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """uint64[n], digests of strings: the sum of the bytes, each times a random odd number of its place, modulo 2**64.

    Equal digests of different strings are harmless, because strings are compared. text: uint8[m]. offsets: int64[n +
    1], the begin of each string.
    """
    digests = np.empty(len(offsets) - 1, np.uint64)
    for begin in range(0, len(digests), STRINGS_AT_ONCE):
        ends = np.asarray(offsets[begin : begin + STRINGS_AT_ONCE + 1])
        lengths, ends = np.diff(ends), ends - ends[0]
        first = int(offsets[begin])
        some = text[first : first + int(ends[-1])].astype(np.uint64)
        places = np.arange(len(some)) - np.repeat(ends[:-1], lengths)
        some += np.uint64(1)  # so that a zero byte counts
        some *= _factors(int(lengths.max(initial=0)))[places]
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(some)])
        digests[begin : begin + len(lengths)] = sums[ends[1:]] - sums[ends[:-1]]
    return digests


def _factors(count: int) -> npt.NDArray[np.uint64]:
    """The first numbers of SplitMix64, made odd."""
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))) | np.uint64(1)


def _joined(strings: Sequence[bytes]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    offsets = np.zeros(len(strings) + 1, np.int64)
    np.cumsum([len(each) for each in strings], out=offsets[1:])
    return np.frombuffer(b"".join(strings), np.uint8), offsets
