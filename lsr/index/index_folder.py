"""An index on disk: a manifest, arrays, and optionally ids and a vocabulary."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self, SupportsIndex, TypeVar

from lsr.checks import expanded
from lsr.errors import IndexFormatError, LsrError, StorageError
from lsr.storage.arrays import Array, load_array, save_arrays
from lsr.storage.id_column import IdColumn, Ids
from lsr.storage.manifest import Extra, read_manifest, replacing_folder, write_manifest
from lsr.storage.reading import anchored
from lsr.vectors.vocabulary import Vocabulary

IDS = "ids"
PASSAGES = "passages.starts"  # int64[documents + 1]: the first row of each document, and the number of rows
VOCABULARY = "vocabulary.json"
ATTEMPTS = 20  # attempts to open a folder that is replaced meanwhile

T = TypeVar("T")
F = TypeVar("F", bound="FromFolder")


class FromFolder:
    """An object whose pickle names the folder from which it was opened. The pickle of an object in memory has all data.

    Loading such a pickle opens the folder, and raises StorageError if another index is there. Copies and deep copies
    share all parts, which are read-only.
    opened_with: the arguments of `open`; None for an object in memory. identity: see folder_identity.
    """

    opened_with: dict[str, Any] | None = None
    identity: str = ""

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if self.opened_with is None:
            return super().__reduce_ex__(protocol)
        return _open_again, (type(self), self.opened_with, self.identity)

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: object) -> Self:
        return self.__copy__()


def _open_again(kind: Any, arguments: Mapping[str, Any], identity: str) -> Any:
    found = kind.open(**arguments)
    if found.identity != identity:
        raise _replaced(arguments["folder"])
    return found


def folder_identity(folder: str | os.PathLike[str]) -> str:
    """A hash of the files in the manifest, equal only for equal indexes. Raises IndexFormatError.

    Tuned parameters have no effect on it.
    """
    return identity_of(read_manifest(folder))


def identity_of(manifest: Mapping[str, Any]) -> str:
    """The same, of a manifest that was read."""
    named = [manifest["files"], *([manifest["segments"]] if "segments" in manifest else [])]
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def check_not_replaced(folder: str | os.PathLike[str], identity: str) -> None:
    """Raises StorageError unless the folder still has the index with this identity."""
    if folder_identity(folder) != identity:
        raise _replaced(folder)


def _replaced(folder: str | os.PathLike[str]) -> StorageError:
    return StorageError(f"{folder}: the index was replaced after it was opened; open it again")


class StoredVocabulary(NamedTuple):
    """The file of an index's vocabulary, and its SHA-256; None for an index without vocabulary."""

    path: Path
    sha256: str | None

    def read(self) -> Vocabulary | None:
        """The vocabulary; None if there is none. Raises StorageError if another index has replaced this one."""
        if self.sha256 is None:
            return None
        try:
            with self.path.open("rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except OSError:
            same = False
        if not same:
            raise StorageError(f"{self.path}: the index was replaced after it was opened; open it again")
        return Vocabulary.read(self.path)


class IndexFolder:
    """Reads an index of one kind.

    Raises IndexFormatError if the folder has no such index, or one of another format version.
    """

    def __init__(self, folder: str | os.PathLike[str], kind: str, versions: tuple[int, ...]) -> None:
        self.path = anchored(expanded(folder))
        self.manifest = read_manifest(folder, versions, kind)
        self.version = int(self.manifest["format_version"])

    def entry(self, name: str, make: Callable[[Any], T]) -> T:
        """An entry of the manifest, converted by `make`. Raises IndexFormatError if it is missing or damaged."""
        try:
            return make(self.manifest[name])
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise IndexFormatError(
                f"{self.path}: damaged manifest (invalid value: {error!r}); build the index again"
            ) from error

    def number(self, name: str) -> int:
        """An entry that is a whole number. Raises IndexFormatError."""
        return self.entry(name, int)

    def array(self, name: str) -> Array:
        """The array in NAME.npy, memory-mapped. Raises IndexFormatError."""
        return load_array(self.path, name)

    def ids(self) -> IdColumn | None:
        """The ids of the documents, if rows are documents and have ids; else None. Raises IndexFormatError."""
        if not self.entry("has_ids", bool) or f"{PASSAGES}.npy" in self.entry("files", dict):
            return None
        ids, documents = IdColumn.open(self.path, IDS), self.number("documents")
        if len(ids) != documents:
            raise IndexFormatError(f"{self.path}: {len(ids)} ids for {documents} documents; build the index again")
        return ids

    @property
    def vocabulary(self) -> StoredVocabulary:
        """The vocabulary, read on first use. Raises IndexFormatError."""
        listed = self.entry("files", lambda files: files.get(VOCABULARY, {}).get("sha256"))
        return StoredVocabulary(self.path / VOCABULARY, listed)

    def check(self, fits: bool, what: str = "arrays") -> None:
        """Raises IndexFormatError unless the files that were read match."""
        if not fits:
            raise IndexFormatError(f"{self.path}: its {what} do not match; build the index again")


def write_index(
    folder: str | os.PathLike[str],
    manifest: Mapping[str, Any],
    arrays: Mapping[str, Array],
    documents: int,
    ids: Ids | None,
    extra: Extra | None = None,
    vocabulary: Vocabulary | None = None,
) -> None:
    """Write an index into a folder in one step. Replaces an existing index.

    extra: writes more files into the given folder, and returns more entries of the manifest. Raises StorageError.
    """
    with replacing_folder(folder) as temporary:
        save_arrays(temporary, arrays)
        if ids is not None:
            IdColumn.write(temporary, IDS, ids)
        if vocabulary is not None:
            vocabulary.write(temporary / VOCABULARY)
        more = extra(temporary) if extra else {}
        write_manifest(temporary, {**manifest, "documents": documents, "has_ids": ids is not None, **more})


def opened(folder: str | os.PathLike[str], read: Callable[[], F], **arguments: Any) -> F:
    """The result of `read`, with all files from one index, even if others replace it meanwhile.

    After a replacement, everything is read again. arguments: of its `open`, besides the folder. Raises what `read`
    raises.
    """
    folder = expanded(folder)

    def identified() -> F:
        result = read()
        if result.opened_with is None:  # a generation has its own arguments
            result.identity = folder_identity(folder)
            result.opened_with = {"folder": os.path.realpath(folder), **arguments}
        return result

    return all_of_one(folder, identified)


def all_of_one(folder: str | os.PathLike[str], read: Callable[[], T]) -> T:
    """The result of `read`, repeated if another folder replaced this one meanwhile. Raises IndexFormatError."""
    for _ in range(ATTEMPTS):
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except OSError:
            return read()  # raises the error
        # While the descriptor is open, no other folder can have the same inode number.
        try:
            try:
                result = read()
            except LsrError:
                if _is_at(descriptor, folder):
                    raise
                continue
            if _is_at(descriptor, folder):
                return result
        finally:
            os.close(descriptor)
    raise IndexFormatError(f"{os.fspath(folder)}: other processes replace it continuously; open it later")


def _is_at(descriptor: int, folder: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(folder))
    except OSError:
        return False
