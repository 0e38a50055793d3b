"""An index on disk: a manifest, arrays beside it, and perhaps the documents' ids and the components' tokens."""

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
PASSAGES = "passages.starts"  # int64[documents + 1]: where the rows of each document begin, and the last ones end
VOCABULARY = "vocabulary.json"
ATTEMPTS = 20  # a folder that is replaced this often while it is opened will not stop

T = TypeVar("T")
F = TypeVar("F", bound="FromFolder")


class FromFolder:
    """An object whose pickle names the folder that it was opened from; the pickle of one made in memory holds it all.

    Reading such a pickle opens the folder, and raises StorageError if another index has taken its place. Copies, deep
    ones too, share all parts: these are read-only.
    opened_with: the arguments of `open`; None for what was made in memory. identity: see folder_identity.
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
    """A hash of what the manifest says of the files: equal for equal indexes alone. Raises IndexFormatError.

    Parameters that were tuned do not count.
    """
    return identity_of(read_manifest(folder))


def identity_of(manifest: Mapping[str, Any]) -> str:
    """The same of a manifest that was read."""
    named = [manifest["files"], *([manifest["segments"]] if "segments" in manifest else [])]
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def check_not_replaced(folder: str | os.PathLike[str], identity: str) -> None:
    """Raises StorageError unless the folder still holds the index of this identity."""
    if folder_identity(folder) != identity:
        raise _replaced(folder)


def _replaced(folder: str | os.PathLike[str]) -> StorageError:
    return StorageError(f"{folder}: another index has taken its place since it was opened; open it again")


class StoredVocabulary(NamedTuple):
    """The file of an index's vocabulary, and its SHA-256, None for an index that keeps none."""

    path: Path
    sha256: str | None

    def read(self) -> Vocabulary | None:
        """The tokens of the components, if they are kept. Raises StorageError if another index is there by now."""
        if self.sha256 is None:
            return None
        try:
            with self.path.open("rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except OSError:
            same = False
        if not same:
            raise StorageError(f"{self.path}: is not the one of the index that was opened; open the index again")
        return Vocabulary.read(self.path)


class IndexFolder:
    """An index of one kind that is read.

    Raises IndexFormatError for a folder that holds no such index, or one of another format version.
    """

    def __init__(self, folder: str | os.PathLike[str], kind: str, versions: tuple[int, ...]) -> None:
        self.path = anchored(expanded(folder))
        self.manifest = read_manifest(folder, versions, kind)
        self.version = int(self.manifest["format_version"])

    def entry(self, name: str, make: Callable[[Any], T]) -> T:
        """What `make` makes of an entry of the manifest. Raises IndexFormatError where it is missing or damaged."""
        try:
            return make(self.manifest[name])
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise IndexFormatError(
                f"{self.path}: damaged manifest ({error!r} is amiss); build the index again"
            ) from error

    def number(self, name: str) -> int:
        """An entry that is a whole number. Raises IndexFormatError."""
        return self.entry(name, int)

    def array(self, name: str) -> Array:
        """The array in NAME.npy, mapped into memory. Raises IndexFormatError."""
        return load_array(self.path, name)

    def ids(self) -> IdColumn | None:
        """The documents' ids, if they have any, and rows are documents, not passages. Raises IndexFormatError."""
        if not self.entry("has_ids", bool) or f"{PASSAGES}.npy" in self.entry("files", dict):
            return None
        ids, documents = IdColumn.open(self.path, IDS), self.number("documents")
        if len(ids) != documents:
            raise IndexFormatError(f"{self.path}: {len(ids)} ids for {documents} documents; build the index again")
        return ids

    @property
    def vocabulary(self) -> StoredVocabulary:
        """The tokens of the components, read when they are asked for. Raises IndexFormatError."""
        listed = self.entry("files", lambda files: files.get(VOCABULARY, {}).get("sha256"))
        return StoredVocabulary(self.path / VOCABULARY, listed)

    def check(self, fits: bool, what: str = "arrays") -> None:
        """Raises IndexFormatError unless what was read fits together."""
        if not fits:
            raise IndexFormatError(f"{self.path}: its {what} do not fit together; build the index again")


def write_index(
    folder: str | os.PathLike[str],
    manifest: Mapping[str, Any],
    arrays: Mapping[str, Array],
    documents: int,
    ids: Ids | None,
    extra: Extra | None = None,
    vocabulary: Vocabulary | None = None,
) -> None:
    """Write an index into a folder, in place of an index that is there, in one step.

    extra: writes more files into the folder that it is given, and returns more entries of the manifest.
    Raises StorageError.
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
    """What `read` reads of a folder, all of it of one index, even if others take its place meanwhile.

    Where one did, everything is read again. arguments: of its `open`, beside the folder. Raises what `read` raises.
    """
    folder = expanded(folder)

    def identified() -> F:
        result = read()
        if result.opened_with is None:  # a generation knows its own
            result.identity = folder_identity(folder)
            result.opened_with = {"folder": os.path.realpath(folder), **arguments}
        return result

    return all_of_one(folder, identified)


def all_of_one(folder: str | os.PathLike[str], read: Callable[[], T]) -> T:
    """What `read` reads of a folder, again where another one took its place meanwhile. Raises IndexFormatError."""
    for _ in range(ATTEMPTS):
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except OSError:
            return read()  # says what is missing
        # While the descriptor is open, no other folder can be given the same number.
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
    raise IndexFormatError(f"{os.fspath(folder)}: is being replaced again and again; open it when that is over")


def _is_at(descriptor: int, folder: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(folder))
    except OSError:
        return False
