"""The manifest of an index: a folder has one file manifest.json and the arrays that it lists.

The manifest has the format version, the kind of index, its configuration and counts. Under "files", it has the size and
SHA-256 of every other file of the folder, and, for files larger than a MiB, a short checksum of each MiB. Opening
compares the sizes; `verify` compares checksums.

The manifest of an index of segments (format 5) is a commit: it has a checksum of itself, and names folders with their
own manifests; see lsr.index.segments.commit.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import sample
from typing import Any, Literal, get_args

from lsr.checks import check_choice, expanded
from lsr.errors import IndexFormatError, StorageError
from lsr.storage import files
from lsr.storage.arrays import damaged, is_exhausted
from lsr.storage.files import left_aside, lock_folder, storage_errors
from lsr.storage.reading import POINTER, is_pointer, open_regular
from lsr.storage.recognize import A_COLLECTION, AN_ENCODER, LINES_FOLDER, VECTORS_FOLDER, what_is

MANIFEST = "manifest.json"
PRODUCT = "lsr index"
COMMIT_FORMAT = 5
SHARDED = "shards"  # the kind of a sharded index
GENERATION = "generation-"  # prefix of the names of commits
_CHECKSUM = "checksum"
_INDEXED = {
    A_COLLECTION: " --encoder NAME",
    VECTORS_FOLDER: "",
    LINES_FOLDER: "",
}  # kinds of input -> further arguments of lsr index
_PRODUCT_WITHIN = 100  # bytes: "product" is the first entry, so that a truncated manifest is recognized

CHUNK = 1 << 20  # bytes with one checksum
SAMPLED = 64  # chunks that verify="sample" reads
Verify = Literal["none", "sample", "full"]
VERIFY: tuple[Verify, ...] = get_args(Verify)

Extra = Callable[[Path], Mapping[str, Any]]


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """An empty folder to fill. It replaces the index at `path`, if there is one, when the body ends.

    A folder that is not empty and not an index is never replaced, nor an index that another process is writing. Raises
    StorageError.
    """
    check_replaceable(path)
    target = Path(os.path.realpath(expanded(path)))
    lock = lock_folder(target) if has_generations(target) else None
    try:
        with files.replacing_folder(path, MANIFEST) as temporary:
            yield temporary
    finally:
        if lock is not None:
            os.close(lock)


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Raises StorageError unless `path` does not exist or is an index, even a damaged one. Call it before long work."""
    files.refuse_stream(path)
    with storage_errors(path):
        target = Path(os.path.realpath(path))
        files.refuse_foreign(target, MANIFEST)
        if (target / MANIFEST).exists() and not _is_index(target):
            raise StorageError(
                f"{target}: cannot be replaced: its {MANIFEST} was not written by lsr; choose another path"
            )


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write manifest.json with the sizes and checksums of all files in `folder`. Raises StorageError.

    manifest: JSON with "format_version" (a whole number) and "kind". An index in a subfolder has its own manifest, so
        that it can be replaced separately.
    """
    path = folder / MANIFEST
    with storage_errors(folder):
        listed = {
            each.relative_to(folder).as_posix(): _described(each)
            for each in sorted(folder.rglob("*"))
            if each.is_file() and each != path and not _within_another(each, folder)
        }
        path.write_text(json.dumps({"product": PRODUCT, **manifest, "files": listed}, indent=1))


def read_manifest(
    folder: str | os.PathLike[str], formats: Sequence[int] | None = None, kind: str | None = None
) -> dict[str, Any]:
    """The manifest of the index in `folder`. Checks the sizes of all files that it lists.

    Raises IndexFormatError if there is no index of one of these format versions (and of that kind, if one is given), or
    if a file is missing or has another size.
    """
    folder = expanded(folder)
    manifest = _load_manifest(folder)
    if manifest.get("kind") == SHARDED:
        raise IndexFormatError(
            f"{folder}: is a sharded index; search it with lsr search, run, why, tune or serve, change it with lsr "
            "serve or ShardedSearcher.open, and give lsr info and lsr check one of its shards, such as "
            f"{folder / 'shard-00000'}"
        )
    if kind is not None and manifest.get("kind") != kind:
        raise IndexFormatError(
            f"{folder}: is an index of kind {manifest.get('kind')!r}, not {kind!r}; open it with lsr.open_index"
        )
    version = manifest.get("format_version")
    if formats is not None and (not isinstance(version, int) or version not in formats):
        newer = isinstance(version, int) and version > max(formats)
        advice = "upgrade lsr" if newer else "build the index again"
        known = " and ".join(map(str, sorted(formats)))
        raise IndexFormatError(f"{folder}: format version {version}, but this lsr reads {known}; {advice}")
    if version != COMMIT_FORMAT:  # files of a commit can disappear with it: those who open it hold it first
        check_sizes(folder, manifest)
    return manifest


def check_sizes(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raises IndexFormatError if a file that the manifest lists is missing, is not a file, or has another size."""
    for name, entry in _listed_files(folder / MANIFEST, manifest):
        check_size(folder / name, entry["bytes"])


def sealed(manifest: Mapping[str, Any]) -> bytes:
    """The JSON of a manifest with its own checksum."""
    body = {"product": PRODUCT, **{name: entry for name, entry in manifest.items() if name != _CHECKSUM}}
    return json.dumps({**body, _CHECKSUM: _seal(body)}, indent=1).encode()


def _seal(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of all entries except the checksum."""
    body = {name: entry for name, entry in manifest.items() if name != _CHECKSUM}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def manifest_stamp(folder: Path) -> tuple[int, int, int]:
    """An identity of the manifest file: device, inode and time. Raises OSError."""
    found = os.stat(folder / MANIFEST)
    return found.st_dev, found.st_ino, found.st_mtime_ns


def has_generations(folder: Path) -> bool:
    """Whether a folder is an index of segments, even a damaged one."""
    with suppress(OSError):
        return any(name.startswith(GENERATION) for name in os.listdir(folder))
    return False


def update_manifest(folder: str | os.PathLike[str], change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Add entries to the manifest of the index in `folder` in one step. Files and their checksums do not change.

    change: takes the manifest and returns new or replaced entries. Processes that do this wait for each other. If
        another index replaces this one meanwhile, nothing changes. Raises IndexFormatError if there is no index,
        StorageError.
    """
    folder = expanded(folder)
    target = Path(os.path.realpath(folder))
    with storage_errors(folder):
        lock = lock_folder(target, wait=True)
        try:
            # The manifest is read after its replacement was created in the folder. If the index is replaced, the new
            # file disappears with the old folder, so the manifest of another index is never replaced.
            with files.replacing_file(target / MANIFEST) as file:
                manifest = _load_manifest(target)
                file.write(json.dumps({**manifest, **change(manifest)}, indent=1).encode())
        finally:
            os.close(lock)


def _load_manifest(folder: Path) -> dict[str, Any]:
    return load_manifest(folder, MANIFEST)


def load_manifest(folder: Path, name: str) -> dict[str, Any]:
    """The manifest in a file of this name. The files that it lists are not checked. Raises IndexFormatError."""
    path = folder / name
    again = f"run lsr repair {folder}" if has_generations(folder) else "build the index again"
    try:
        with open_regular(path) as file:
            manifest = json.loads(file.read())
    except FileNotFoundError as error:
        if has_generations(folder):
            raise IndexFormatError(f"{folder}: damaged (there is no {name}); {again}") from error
        aside = left_aside(folder)
        hint = f"an interrupted save left it at {aside}: rename it back" if aside else "give the folder of an index"
        kind = what_is(folder)
        if kind in _INDEXED:
            hint = f"{kind}: build an index of it, lsr index {folder} INDEX{_INDEXED[kind]}, and give that"
        elif kind == AN_ENCODER:
            hint = f"{kind}: give the folder of an index that was built with it"
        raise IndexFormatError(f"{folder}: is not an index (there is no {MANIFEST}); {hint}") from error
    except NotADirectoryError as error:
        raise IndexFormatError(f"{folder}: is {what_is(folder)}, not an index; give the folder of an index") from error
    except OSError as error:
        if is_exhausted(error):
            raise damaged(path, error) from error
        raise IndexFormatError(
            f"{folder}: the index cannot be read: {error.strerror}; give the folder of an index"
        ) from error
    except (ValueError, RecursionError) as error:
        if is_pointer(path):
            raise IndexFormatError(f"{path}: {POINTER}") from error
        raise IndexFormatError(f"{path}: truncated or not JSON ({error}); {again}") from error
    if not isinstance(manifest, dict) or manifest.get("product") != PRODUCT:
        raise IndexFormatError(f"{path}: is not the manifest of an index; give the folder of an index that lsr built")
    if manifest.get("format_version") == COMMIT_FORMAT and manifest.get(_CHECKSUM) != _seal(manifest):
        raise IndexFormatError(f"{path}: damaged (the checksum does not match the content); {again}")
    return manifest


def verify(folder: str | os.PathLike[str], how: Verify = "full", manifest: Mapping[str, Any] | None = None) -> None:
    """Compare checksums of the files of an index, and of indexes in it, with its manifest.

    how: "full" reads every byte, "sample" some randomly chosen MiB of all files, "none" nothing.
    manifest: of another generation than the current one.

    Raises IndexFormatError for the first file that differs, ParameterError for another `how`.
    """
    folder = expanded(folder)
    check_choice("verify", how, VERIFY)
    if how == "none":
        return
    if how == "full":
        for path, said in damaged_files(folder, manifest):
            raise IndexFormatError(f"{path}: {said}; {advice_for(folder)}")
        return
    chunks = [(path, entry, at) for path, entry in _all_listed(folder, manifest) for at in _chunks_of(entry)]
    for path, entry, at in sample(chunks, min(SAMPLED, len(chunks))):
        damage = _chunk_damage(path, entry, at)
        if damage is not None:
            raise IndexFormatError(f"{path}: {damage}; {advice_for(folder)}")


def damaged_files(
    folder: Path, manifest: Mapping[str, Any] | None = None, progress: Callable[[int], object] = lambda _: None
) -> Iterator[tuple[Path, str]]:
    """(path, error) of each file that is missing, or does not match the manifests.

    progress: called with the bytes of each file that was read. Raises IndexFormatError for a manifest that cannot be
        read.
    """
    for path, entry in _all_listed(folder, manifest):
        damage = _damage(path, entry)
        if damage is not None:
            yield path, damage
        progress(int(entry["bytes"]))


def total_bytes(folder: Path, manifest: Mapping[str, Any] | None = None) -> int:
    """The bytes of all files that `damaged_files` reads. Raises IndexFormatError."""
    return sum(int(entry["bytes"]) for _, entry in _all_listed(folder, manifest))


def advice_for(folder: Path) -> str:
    """The advice for a damaged index."""
    return f"run lsr repair {folder}" if has_generations(folder) else "build the index again"


def _all_listed(folder: Path, manifest: Mapping[str, Any] | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(path, entry) of each file of an index and of the indexes in it."""
    path = folder / MANIFEST
    manifest = _load_manifest(folder) if manifest is None else manifest
    listed = _listed_files(path, manifest)
    yield from ((folder / name, entry) for name, entry in listed)
    if manifest.get("format_version") == COMMIT_FORMAT:
        for segment in manifest["segments"]:
            inner = folder / segment["name"]
            seal = {"bytes": _size(inner / MANIFEST), "sha256": segment["manifest_sha256"]}
            yield inner / MANIFEST, seal
            yield from _listed_within(inner)
        return
    for each in sorted(folder.glob(f"*/{MANIFEST}")):
        if each.relative_to(folder).as_posix() not in dict(listed):
            yield from _listed_within(each.parent)


def _listed_within(inner: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    try:
        yield from _all_listed(inner)
    except IndexFormatError as error:
        if is_exhausted(error):
            raise
        yield inner / MANIFEST, {"bytes": _size(inner / MANIFEST), "sha256": "of one that can be read"}


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _damage(path: Path, entry: Mapping[str, Any]) -> str | None:
    """The error of a file; None if it is intact."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size != entry["bytes"]:
                return f"{size} bytes instead of {entry['bytes']}"
            if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                return "its checksum differs from the manifest"
    except (OSError, ValueError) as error:  # ValueError: an impossible file name
        if is_exhausted(error):
            raise damaged(path, error) from error
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    return None


def _chunks_of(entry: Mapping[str, Any]) -> list[int]:
    """The chunks with checksums; only the first one for a file that is read as a whole."""
    chunks = entry.get("chunks")
    if isinstance(chunks, list):
        return list(range(len(chunks)))
    return [0] if entry["bytes"] <= SAMPLED * CHUNK else []


def _chunk_damage(path: Path, entry: Mapping[str, Any], at: int) -> str | None:
    if "chunks" not in entry:
        return _damage(path, entry)
    try:
        with open_regular(path) as file:
            file.seek(at * CHUNK)
            same = _chunk_digest(file.read(CHUNK)) == entry["chunks"][at]
    except OSError as error:
        if is_exhausted(error):
            raise damaged(path, error) from error
        return f"cannot be read ({error.strerror})"
    return None if same else f"the checksum of the bytes from {at * CHUNK} differs from the manifest"


def _chunk_digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _described(path: Path) -> dict[str, Any]:
    """The entry of a file in a manifest. A large file also has a checksum per MiB, so that a sample can be compared."""
    whole, chunks = hashlib.sha256(), []
    with open(path, "rb") as file:
        while content := file.read(CHUNK):
            whole.update(content)
            chunks.append(_chunk_digest(content))
    described = {"bytes": path.stat().st_size, "sha256": whole.hexdigest()}
    return {**described, "chunks": chunks} if len(chunks) > 1 else described


def _is_index(folder: Path) -> bool:
    try:
        with open(folder / MANIFEST, "rb") as file:
            return json.dumps(PRODUCT).encode() in file.read(_PRODUCT_WITHIN)
    except FileNotFoundError:
        return False


def _within_another(file: Path, folder: Path) -> bool:
    return any(_is_index(parent) for parent in file.parents if folder in parent.parents)


def _listed_files(path: Path, manifest: Any) -> list[tuple[str, dict[str, Any]]]:
    try:
        listed = [(name, {**entry, "bytes": int(entry["bytes"])}) for name, entry in manifest["files"].items()]
        outside = [name for name, _ in listed if name.startswith("/") or ".." in name.split("/")]
        if outside or not all(isinstance(entry["sha256"], str) for _, entry in listed):
            raise ValueError(f"{outside or 'checksums'}")
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise IndexFormatError(f"{path}: damaged (invalid value: {error!r}); build the index again") from error
    return listed


def check_size(path: Path, size: Any, advice: str = "build the index again") -> None:
    """Raises IndexFormatError unless `path` is a file of `size` bytes."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: an impossible file name
        said = error.strerror if isinstance(error, OSError) else error
        raise IndexFormatError(f"{path}: {said}; {advice}") from error
    if not stat.S_ISREG(found.st_mode):
        raise IndexFormatError(f"{path}: is not a file; {advice}")
    if found.st_size != size and is_pointer(path):
        raise IndexFormatError(f"{path}: {POINTER}")
    if found.st_size != size:
        raise IndexFormatError(f"{path}: {found.st_size} bytes instead of {size}; {advice}")
