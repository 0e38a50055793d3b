"""Commit: the small file with the content of an index of segments (format 5).

manifest.json            the current commit, replaced in one step; a copy of its generation's file
generation-000012.json   the same, for readers: it stays as long as a process holds a lock on it
segment-000001/          an immutable index: format 6, with ids, texts, metadata and dense vectors
deleted-000012-segment-000001.npy   uint8[rows / 8, rounded up]: a bit per deleted row, the lowest first
encoder-000001/, vocabulary-000001.json

The number in a name is that of the generation for which the file was written. If a generation has several files of a
kind, the names of the further ones end in -1, -2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from lsr.errors import IndexFormatError, LsrError
from lsr.index.parameters import IndexConfig
from lsr.index.tools.tuning import TunedPreset, presets_as_json, read_presets
from lsr.storage.manifest import COMMIT_FORMAT, GENERATION, MANIFEST, load_manifest, read_manifest
from lsr.storage.manifest_values import flag, optional, text, whole

KIND = "seismic"
SEGMENT, DELETED, ENCODER, VOCABULARY = "segment", "deleted", "encoder", "vocabulary"
_NUMBER = r"\d{6,18}(-\d{1,6})?"
_SEGMENT = re.compile(rf"{SEGMENT}-{_NUMBER}", re.ASCII)
_DELETED = re.compile(rf"{DELETED}-{_NUMBER}-{_SEGMENT.pattern}\.npy", re.ASCII)
_ENCODER = re.compile(rf"{ENCODER}-{_NUMBER}", re.ASCII)
_VOCABULARY = re.compile(rf"{VOCABULARY}-{_NUMBER}\.json", re.ASCII)
_GENERATION = re.compile(rf"{GENERATION}(\d{{6,18}})\.json", re.ASCII)
OURS = re.compile("|".join(f"({each.pattern})" for each in (_SEGMENT, _DELETED, _ENCODER, _VOCABULARY)), re.ASCII)
"""Names of files that a writer can remove."""
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PART = re.compile(r"(?!\.\.?$)[^/\\\0]+")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a commit: its size and its SHA-256 in hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DeletedRows:
    """A segment's deleted rows. file: the name of the bitmap, an entry of Commit.files. rows: their number."""

    file: str
    rows: int


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A segment of a commit. rows: the number of rows, with deleted ones. documents: the number of live documents."""

    name: str
    rows: int
    documents: int
    manifest_sha256: str
    deleted: DeletedRows | None = None

    @property
    def live(self) -> int:
        """The number of rows that are not deleted."""
        return self.rows - (self.deleted.rows if self.deleted else 0)


@dataclass(frozen=True)
class Commit:
    """The content of one generation of an index.

    dim: the number of components. config: settings for merges.
    sample_recall: the recall of the sample search that chose between blocks and posting lists; None if not measured.
    presets: recall -> parameters, tuned on generation `tuned`.
    source: the name of the indexed documents.
    encoder: the description of the encoder. encoder_folder, vocabulary_file: their names in the folder of the index.
    files: files outside of segments, by name: bitmaps, vocabulary and encoder.
    more: further entries, JSON.
    """

    generation: int
    dim: int
    config: IndexConfig
    segments: tuple[SegmentEntry, ...] = ()
    has_ids: bool = False
    has_texts: bool = False
    sample_recall: float | None = None
    presets: Mapping[float, TunedPreset] = field(default_factory=dict)
    tuned: int | None = None
    source: str | None = None
    encoder: Mapping[str, Any] | None = None
    encoder_folder: str | None = None
    vocabulary_file: str | None = None
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        """The number of documents that are not deleted."""
        return sum(each.documents for each in self.segments)

    @property
    def rows(self) -> int:
        """The number of vectors that are not deleted: that of documents, or more with passages."""
        return sum(each.live for each in self.segments)

    @property
    def encoding(self) -> tuple[object, ...]:
        """Equal for two commits with the same encoder and vocabulary.

        Names alone are not enough: an index that was removed and built again has the same names.
        """
        files = {name: file for name, file in self.files.items() if not name.startswith(DELETED)}
        return self.encoder_folder, self.encoder, files

    def as_json(self) -> dict[str, Any]:
        """The manifest without the product and the checksum."""
        entries = {
            "format_version": COMMIT_FORMAT,
            "kind": KIND,
            **{each.name: getattr(self, each.name) for each in fields(self) if each.name != "more"},
            "documents": self.documents,
            "rows": self.rows,
            "config": asdict(self.config),
            "presets": presets_as_json(self.presets),
            "segments": [asdict(each) for each in self.segments],
            "files": {name: asdict(self.files[name]) for name in sorted(self.files)},
        }
        return {**entries, **{name: entry for name, entry in self.more.items() if name not in entries}}

    @classmethod
    def of(cls, manifest: Mapping[str, Any], folder: Path) -> Self:
        """The commit in a manifest, fully checked. Raises IndexFormatError, which names the folder."""
        try:
            return cls._checked(manifest, folder)
        except LsrError as error:
            if isinstance(error, IndexFormatError):
                raise
            raise _damaged(folder, str(error)) from error
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _damaged(folder, f"invalid value: {error!r}") from error

    @classmethod
    def _checked(cls, manifest: Mapping[str, Any], folder: Path) -> Self:
        version, kind = manifest["format_version"], manifest["kind"]
        if version != COMMIT_FORMAT or kind != KIND:
            raise IndexFormatError(f"{folder}: is not an index of segments; open it with lsr.open_index")
        known = {each.name for each in fields(cls)} | {"format_version", "kind", "documents", "rows"}
        known |= {"product", "checksum"}
        files = {
            _path(name): StoredFile(whole(each["bytes"]), _match(_DIGEST, each["sha256"]))
            for name, each in manifest["files"].items()
        }
        segments = tuple(_segment(each) for each in manifest["segments"])
        if len({each.name for each in segments}) != len(segments):
            raise ValueError("a segment is named twice")
        folder_of_encoder = optional(manifest["encoder_folder"], lambda name: _match(_ENCODER, name))
        vocabulary = optional(manifest["vocabulary_file"], lambda name: _match(_VOCABULARY, name))
        named = {each.deleted.file for each in segments if each.deleted} | ({vocabulary} if vocabulary else set())
        if len(named) < sum(each.deleted is not None for each in segments) + (vocabulary is not None):
            raise ValueError("a bitmap is named twice")
        for name in files.keys() | named:
            if name not in files or not (name in named or name.split("/")[0] == folder_of_encoder):
                raise ValueError(f"file {name!r}")
        commit = cls(
            generation=whole(manifest["generation"], 1),
            dim=whole(manifest["dim"]),
            config=IndexConfig.from_json(manifest["config"]),
            segments=segments,
            has_ids=flag(manifest["has_ids"]),
            has_texts=flag(manifest["has_texts"]),
            sample_recall=optional(manifest["sample_recall"], float),
            presets=read_presets(manifest, folder),
            tuned=optional(manifest["tuned"], whole),
            source=optional(manifest["source"], text),
            encoder=optional(manifest["encoder"], lambda entries: dict(entries.items())),
            encoder_folder=folder_of_encoder,
            vocabulary_file=vocabulary,
            files=files,
            more={name: entry for name, entry in manifest.items() if name not in known},
        )
        if (commit.documents, commit.rows) != (manifest["documents"], manifest["rows"]):
            raise ValueError("the number of documents")
        return commit


def read_commit(folder: Path, number: int | None = None) -> Commit:
    """The current commit, or that of a generation. Raises IndexFormatError, with the repair command if it is
    damaged.
    """
    if number is None:
        return Commit.of(read_manifest(folder, (COMMIT_FORMAT,), KIND), folder)
    commit = Commit.of(load_manifest(folder, generation_file(number)), folder)
    if commit.generation != number:
        raise _damaged(folder, f"{generation_file(number)} is that of generation {commit.generation}")
    return commit


def generation_file(number: int) -> str:
    """The name of the file of a generation's commit."""
    return f"{GENERATION}{number:06}.json"


def generation_of(name: str) -> int | None:
    """The generation of a file of this name; None for any other."""
    match = _GENERATION.fullmatch(name)
    return None if match is None else int(match[1])


def _damaged(folder: Path, what: str) -> IndexFormatError:
    return IndexFormatError(f"{folder / MANIFEST}: damaged ({what}); run lsr repair {folder}")


def _segment(entry: Mapping[str, Any]) -> SegmentEntry:
    deleted = entry["deleted"]
    checked = SegmentEntry(
        _match(_SEGMENT, entry["name"]),
        whole(entry["rows"]),
        whole(entry["documents"]),
        _match(_DIGEST, entry["manifest_sha256"]),
        None if deleted is None else DeletedRows(_match(_DELETED, deleted["file"]), whole(deleted["rows"], 1)),
    )
    if not 0 <= checked.documents <= checked.live:
        raise ValueError(f"the rows of {checked.name}")
    return checked


def _match(pattern: re.Pattern[str], value: Any) -> str:
    if not pattern.fullmatch(text(value)):
        raise ValueError(f"name {value!r}")
    return str(value)


def _path(name: Any) -> str:
    """A path inside the folder, neither absolute nor with ".."."""
    if not all(_PART.fullmatch(part) for part in text(name).split("/")):
        raise ValueError(f"name {name!r}")
    return str(name)
