"""SnapshotReader: opens the generations of an index in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsr.encoders.base import ENCODER_FOLDER
from lsr.errors import EncoderError, IndexFormatError
from lsr.index.index_folder import all_of_one
from lsr.index.open_index import open_index
from lsr.index.segments.generation import TEXTS, open_generation
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.index.sparse_index import SparseIndex
from lsr.retrieval.dense_side import DENSE_FOLDER, Dense
from lsr.retrieval.snapshot import Snapshot
from lsr.storage.manifest import COMMIT_FORMAT, Verify, manifest_stamp, read_manifest
from lsr.storage.manifest import verify as check_files
from lsr.storage.strings import StringColumn
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.encoders.base import Encoder

# (index, description of its encoder in the manifest, folder of its stored encoder) -> the query encoder.
Choose = Callable[[SparseIndex[Any], Mapping[str, Any], Path | None], "Encoder | None"]


MATCHED = "matched_by_token"  # entry of a manifest: the index's vocabulary is a part of the encoder's


class SnapshotReader:
    """Opens snapshots of an index in a folder.

    choose: returns the encoder of queries. device: the device of the dense encoder.
    """

    def __init__(self, folder: Path, choose: Choose, device: str | None = None) -> None:
        self.folder = folder
        self._choose = choose
        self._device = device
        self._seen: tuple[int, int, int] | None = None  # the stamp of the last manifest that was read

    def has_changed(self) -> bool:
        """Whether the manifest has changed since the last read. Takes a microsecond."""
        with suppress(OSError):
            return manifest_stamp(self.folder) != self._seen
        return False

    def read(self, number: int | None = None, previous: Snapshot | None = None, verify: Verify = "none") -> Snapshot:
        """The newest snapshot, or the generation with this number.

        previous: a snapshot whose unchanged parts are reused. verify: compare checksums first; see SeismicIndex.open.

        Raises IndexFormatError, StorageError for a generation that no longer exists, EncoderError.
        """
        stamp = None
        with suppress(OSError):
            stamp = manifest_stamp(self.folder)  # before reading, so that the next call sees later changes
        snapshot = self._read(number, previous, verify)
        self._seen = stamp  # last, so that other threads wait for the new snapshot, and try again after an error
        return snapshot

    def _read(self, number: int | None, previous: Snapshot | None, verify: Verify) -> Snapshot:
        earlier = all_of_one(self.folder, lambda: self._earlier(verify)) if number is None else None
        if earlier is not None:
            return earlier
        before = None if previous is None else previous.generation
        generation = open_generation(self.folder, number, before)
        if previous is not None and before is not None and before.commit == generation.commit:
            return previous
        check_files(self.folder, verify, generation.commit.as_json())
        index = SeismicIndex.of_generation(generation)
        commit = generation.commit
        if previous is not None and before is not None and before.commit.encoding == commit.encoding:
            encoder = previous.query_encoder
        else:
            encoder = self._choose(index, commit.encoder or {}, generation.encoder_folder)
        dense = Dense.of_generation(generation, self._device, None if previous is None else previous.dense)
        return Snapshot(index, encoder, generation.texts, dense)

    def _earlier(self, verify: Verify) -> Snapshot | None:
        """A snapshot of an index of an earlier format, which has no segments; None for the current format.

        Another index may replace the folder while this method reads it. Raises IndexFormatError, StorageError.
        """
        folder = self.folder
        manifest = read_manifest(folder)
        if manifest.get("format_version") == COMMIT_FORMAT:
            return None
        index = open_index(folder, verify=verify)
        if not isinstance(index, SparseIndex):
            raise IndexFormatError(
                f"{folder}: is an index of dense vectors only; open the index to which it belongs, or "
                "DenseIndex.open(folder)"
            )
        kept = folder / ENCODER_FOLDER
        encoder = self._choose(index, manifest.get("encoder") or {}, kept if kept.is_dir() else None)
        texts = StringColumn.open(folder, TEXTS) if manifest.get("has_texts") else None
        if texts is not None and len(texts) != len(index):
            raise IndexFormatError(f"{folder}: {len(texts)} texts for {len(index)} documents; build the index again")
        beside = folder / DENSE_FOLDER
        dense = Dense.open(beside, self._device, index.identity) if beside.is_dir() else None
        return Snapshot(index, encoder, texts, dense)


def kept_encoder(
    folder: Path, index: SparseIndex[Any], described: Mapping[str, Any], kept: Path, device: str | None
) -> Encoder:
    """The encoder of an index, from its folder `kept`. Raises EncoderError."""
    from lsr.encoders.load import load_encoder

    loaded = load_encoder(kept, device=device)
    return matched(folder, index, described, loaded) if described.get(MATCHED) else loaded


def matched(folder: Path, index: SparseIndex[Any], described: Mapping[str, Any], encoder: Encoder) -> Encoder:
    """The encoder over the vocabulary of the index. Raises EncoderError if the two do not match.

    described: the description of the encoder in the manifest.
    """
    tokens = index.vocabulary
    if "vocabulary_hash" not in described and tokens is not None and tokens.named and encoder.vocabulary.named:
        if tokens == encoder.vocabulary:
            return encoder
        if all(encoder.vocabulary.id_of(token) is not None for token in tokens.tokens):
            from lsr.encoders.own_encoder import encoder_from
            from lsr.vectors.io import match_tokens  # imports pyarrow

            def over_tokens(encode: Callable[[list[str]], SparseVectors]) -> Callable[[list[str]], SparseVectors]:
                return lambda texts: match_tokens(encode(texts), encoder.vocabulary, tokens)[0]

            documents, queries = over_tokens(encoder.encode_documents), over_tokens(encoder.encode_queries)
            return encoder_from(documents, queries=queries, vocabulary=tokens, name=encoder.name)
        stored: str | None = tokens.hash
    else:
        stored = described.get("vocabulary_hash")
    if encoder.dim == index.dim and stored not in (
        None,
        encoder.vocabulary.hash,
    ):  # else the message is about the dimension
        raise EncoderError(
            f"{folder}: was built with another vocabulary than that of {encoder.name!r}; give an encoder with the "
            f"vocabulary of {described.get('name', 'the vectors that it was built from')!r}"
        )
    return encoder
