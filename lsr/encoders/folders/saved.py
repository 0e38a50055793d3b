"""encoder.json: the reference to an encoder in an index, and the format of encoders that no other library can read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from threading import Lock
from typing import Any

from lsr.checks import expanded
from lsr.encoders.base import ENCODER_FILE, Encoder, PretrainedEncoder, TokenSpans, check_batch_size, encodable
from lsr.encoders.folders.find import refuse_pointers
from lsr.encoders.folders.model_files import folder_inside
from lsr.encoders.pruning import Pruning
from lsr.encoders.sparse.lookup import LookupSide
from lsr.encoders.spec import BackboneSpec, EncoderSpec, HeadSpec, LookupSpec, SideSpec, TransformerSpec
from lsr.errors import EncoderError, LsrError
from lsr.storage.files import DAMAGE, replacing_file, storage_errors
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

FORMAT_VERSION = 1
REFERENCE = "reference"  # names an encoder that is stored elsewhere
OWN = "own"  # names code of the user, which is not stored
WHOLE = "sparse"  # describes networks and tables in the same folder
QUERY_FOLDER, DOCUMENT_FOLDER = "query", "document"


def is_saved_encoder(name: str) -> bool:
    """Whether `name`, as absolute_name returns it, is the folder of a saved encoder."""
    return os.path.isabs(name) and os.path.isfile(os.path.join(name, ENCODER_FILE))


def read_saved(folder: Path) -> dict[str, Any]:
    """The content of encoder.json. Raises EncoderError."""
    path = folder / ENCODER_FILE
    refuse_pointers(folder)
    try:
        content = json.loads(path.read_bytes())
    except DAMAGE as error:
        raise EncoderError(
            f"{path}: cannot be read, is truncated, or is not JSON ({error}); save the encoder again"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("format_version"), int):
        raise EncoderError(f"{path}: does not describe an encoder; save the encoder again")
    if content["format_version"] != FORMAT_VERSION:
        raise EncoderError(
            f"{path}: format version {content['format_version']}, but this lsr reads {FORMAT_VERSION}; upgrade lsr"
        )
    return content


def write_saved(folder: Path, content: dict[str, Any]) -> None:
    """Write encoder.json. Raises StorageError."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with replacing_file(folder / ENCODER_FILE) as file:
        file.write(json.dumps({"format_version": FORMAT_VERSION, **content}, indent=1).encode())


def open_named(folder: Path, saved: dict[str, Any], load: Callable[..., Any]) -> Any:
    """The encoder, sparse or dense, that encoder.json names. Raises EncoderError if it is missing or has changed.

    load: loads it by its name, its description and its options, as keywords.
    """
    try:
        name, described = str(saved["name"]), saved["description"]
        encoder = load(name, described, **saved["options"])
        if encoder.describe() != described:
            raise EncoderError(
                f"{folder}: was saved with {name}, which has changed since; restore the old model, or encode again"
            )
    except LsrError:
        raise
    except OSError as error:  # a library needs a temporary folder, or more open files
        raise EncoderError(
            f"{name}: cannot be loaded here ({error}); free disk space for temporary files, or allow more open files "
            "(ulimit -n)"
        ) from error
    except DAMAGE as error:
        raise damaged_encoder(folder, error) from error
    return encoder


class SavedLookup(PretrainedEncoder):
    """An encoder with inference-free queries as an index stores it: queries need only its folder.

    Documents are encoded by the encoder that it names, which `open_named` loads on first use.
    """

    def __init__(self, folder: Path, saved: dict[str, Any], open_named: Callable[[], Encoder]) -> None:
        self._folder, self._saved, self._open_named = folder, saved, open_named
        self._loading = Lock()
        self._whole: Encoder | None = None
        try:
            self._description: dict[str, Any] = saved["description"]
            self.name = str(self._description["name"])
            self._query = LookupSide(lookup_from_json(saved["query"], folder / QUERY_FOLDER))
            self._prune = Pruning.parse(saved["options"]["prune_queries"])
            same = self._description["vocabulary_hash"] == self.vocabulary.hash
        except LsrError:
            raise
        except DAMAGE as error:
            raise damaged_encoder(folder, error) from error
        if not same:
            raise EncoderError(f"{folder}: the tokenizer is not the one that was saved; save the encoder again")

    def __reduce__(self) -> tuple[Any, ...]:
        return SavedLookup, (self._folder, self._saved, self._open_named)

    @property
    def dim(self) -> int:
        return self._query.dim

    @property
    def vocabulary(self) -> Vocabulary:
        return self._query.vocabulary

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """One row per text, from the table alone."""
        return self._prune.apply(self._query.encode(encodable(texts)))

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> SparseVectors:
        """Encode with the named encoder. Raises EncoderError also if it cannot be found."""
        check_batch_size(batch_size)
        return self._named().encode_documents(texts, batch_size, progress)

    def literal(self, text: str, query: bool = False) -> set[int]:
        """The components of the tokens of a document, or of a query."""
        if query:
            return self._query.literal(text)
        return self._named().literal(text)

    def spans(self, text: str) -> TokenSpans:
        """All tokens of a text, without special tokens, and their characters."""
        return self._query.spans(text)

    def describe(self) -> dict[str, Any]:
        """The description of the named encoder."""
        return self._description

    def check_saveable(self) -> None:
        """Raises nothing: a saved encoder can be saved again."""

    def save(self, folder: str | Path) -> None:
        """Write the same files. Raises StorageError."""
        folder = expanded(folder)
        query = lookup_to_json(self._query, folder / QUERY_FOLDER)
        write_saved(folder, {**self._saved, "query": query})

    def _named(self) -> Encoder:
        with self._loading:
            if self._whole is None:
                self._whole = self._open_named()
            return self._whole


def transformer_to_json(side: TransformerSpec) -> dict[str, Any]:
    """A side with files next to encoder.json, as JSON without paths."""
    content = {key: value for key, value in asdict(side).items() if key != "head_names"}
    return content | {"backbone": {"task": side.backbone.task, "bidirectional": side.backbone.bidirectional}}


def lookup_to_json(side: LookupSide, folder: Path) -> dict[str, Any]:
    """Write the side's table and tokenizer into `folder`; returns the rest of its spec."""
    side.save(folder)
    spec = replace(side.spec, scale=1.0, components=side.dim)  # the table is already multiplied by the scale
    return {key: value for key, value in asdict(spec).items() if key not in ("tokenizer", "table")}


def read_whole(name: str, folder: Path, saved: dict[str, Any], max_length: int | None) -> EncoderSpec:
    """The spec of a folder with a whole encoder. Raises EncoderError."""
    try:
        query, document = (_side_from_json(saved[side], folder, max_length) for side in ("query", "document"))
    except LsrError as error:
        raise EncoderError(f"{folder / ENCODER_FILE}: {error}") from error
    except DAMAGE as error:
        raise damaged_encoder(folder, error) from error
    return EncoderSpec(name, query, document, "lsr")


def _side_from_json(content: dict[str, Any], folder: Path, max_length: int | None) -> SideSpec:
    fields = dict(content)
    place = folder_inside(folder, fields.pop("folder"))
    if "head" not in fields:
        return lookup_from_json(fields, place)
    backbone = BackboneSpec(str(place), str(place), str(place), **fields.pop("backbone"))
    weights = fields.pop("head_weights")
    return TransformerSpec(
        backbone=backbone,
        head=HeadSpec(**fields.pop("head")),
        head_weights=None if weights is None else str(folder_inside(folder, weights)),
        max_length=min(fields.pop("max_length"), max_length or 1 << 30),
        **fields,
    )


def lookup_from_json(fields: dict[str, Any], folder: Path) -> LookupSpec:
    """The spec that lookup_to_json wrote into `folder`."""
    return LookupSpec(tokenizer=str(folder), table=str(folder / "model.safetensors"), **fields)


def damaged_encoder(folder: Path, error: Exception) -> EncoderError:
    return EncoderError(f"{folder / ENCODER_FILE}: damaged or incomplete ({error!r}); save the encoder again")
