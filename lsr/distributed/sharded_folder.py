"""A sharded index on disk: a folder of shards, each an ordinary index, and one small file that names them.

manifest.json            the shards with their generations, replaced in one step
shard-00000/ ...         complete indexes of format 5; the number is that of the hash of document ids
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

from lsr.checks import expanded
from lsr.errors import IndexFormatError
from lsr.index.tools.tuning import ENTRY, TunedPreset, presets_as_json, read_presets
from lsr.storage.files import replacing_file
from lsr.storage.manifest import MANIFEST, PRODUCT, SHARDED, load_manifest
from lsr.storage.manifest_values import optional, text, whole

FORMAT_VERSION = 1
ROUTING = "blake2b-64"
MOST_SHARDS = 100_000
_NAME = re.compile(r"shard-\d{5}", re.ASCII)


def shard_name(number: int) -> str:
    """The folder of a shard, counted from 0."""
    return f"shard-{number:05d}"


def shard_of(doc_id: str, shards: int) -> int:
    """The number of the shard for the document with this id.

    The number is the 64-bit BLAKE2b hash of the id in UTF-8, read as a little-endian integer, modulo `shards`.
    """
    return int.from_bytes(blake2b(doc_id.encode(), digest_size=8).digest(), "little") % shards


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """A shard in the manifest: the name of its folder, the searched generation, and its number of documents."""

    name: str
    generation: int
    documents: int


@dataclass(frozen=True, slots=True)
class ShardedFolder:
    """The manifest of a sharded index.

    source: the name of the indexed documents.
    folders: the indexed folders of pages. The id of a page is its path below its folder.
    presets: {recall: parameters}, tuned on all shards.
    """

    folder: Path
    shards: tuple[ShardEntry, ...]
    source: str | None = None
    folders: tuple[str, ...] = ()
    presets: Mapping[float, TunedPreset] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        """The number of documents in all shards."""
        return sum(each.documents for each in self.shards)

    def path(self, number: int) -> Path:
        """The folder of a shard."""
        return self.folder / self.shards[number].name

    def with_generations(self, changed: Mapping[int, tuple[int, int]]) -> Self:
        """A copy with new entries of some shards. changed: shard -> (generation, number of documents)."""
        shards = list(self.shards)
        for number, (generation, documents) in changed.items():
            shards[number] = replace(shards[number], generation=generation, documents=documents)
        return replace(self, shards=tuple(shards))

    def write(self) -> None:
        """Write the manifest in one step. Replaces an existing one. Raises StorageError."""
        entries: dict[str, Any] = {
            "product": PRODUCT,
            "format_version": FORMAT_VERSION,
            "kind": SHARDED,
            "routing": ROUTING,
            "source": self.source,
            "folders": list(self.folders),
            ENTRY: presets_as_json(self.presets),
            "documents": self.documents,
            "shards": [asdict(each) for each in self.shards],
            "files": {},  # each shard lists its own files
        }
        with replacing_file(self.folder / MANIFEST) as file:
            file.write(json.dumps(entries, indent=1).encode())

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read the manifest in `folder`. Raises IndexFormatError unless it is an intact one of a sharded index."""
        path = expanded(folder)
        manifest = load_manifest(path, MANIFEST)
        if manifest.get("kind") != SHARDED:
            raise IndexFormatError(
                f"{path}: is not a sharded index (its kind is {manifest.get('kind')!r}); open it with Searcher.open"
            )
        for name, known in (("format_version", FORMAT_VERSION), ("routing", ROUTING)):
            if manifest.get(name) != known:
                raise IndexFormatError(
                    f"{path}: {name} is {manifest.get(name)!r}, but this lsr reads {known!r}; upgrade lsr, or build "
                    "the index again"
                )
        try:
            shards = tuple(_entry(number, each) for number, each in enumerate(manifest["shards"]))
            source = optional(manifest["source"], text)
            found = cls(path, shards, source, _texts(manifest["folders"]), read_presets(manifest, path))
            if not 1 <= len(shards) <= MOST_SHARDS or found.documents != manifest["documents"]:
                raise ValueError("the number of shards or documents")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise IndexFormatError(
                f"{path / MANIFEST}: damaged manifest (invalid value: {error!r}); build the index again"
            ) from error
        return found


def is_sharded(folder: str | Path) -> bool:
    """Whether the folder is a sharded index. Raises IndexFormatError if it is not an index."""
    return load_manifest(expanded(folder), MANIFEST).get("kind") == SHARDED


def _entry(number: int, entry: Mapping[str, Any]) -> ShardEntry:
    name = text(entry["name"])
    if not _NAME.fullmatch(name) or name != shard_name(number):
        raise ValueError(f"name {name!r}")
    return ShardEntry(name, whole(entry["generation"], 1), whole(entry["documents"]))


def _texts(value: Sequence[Any]) -> tuple[str, ...]:
    return tuple(text(each) for each in value)
