"""Dense: the dense vectors of an index, opened by the first query that needs them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsr.checks import expanded
from lsr.encoders.base import ENCODER_FILE, ENCODER_FOLDER
from lsr.errors import EncoderError, IndexFormatError
from lsr.index.index_folder import check_not_replaced
from lsr.index.segments.generation import Generation
from lsr.storage.manifest import MANIFEST, load_manifest

if TYPE_CHECKING:
    from lsr.encoders.dense.dense_encoder import DenseEncoder
    from lsr.index.dense.dense_index import DenseIndex
    from lsr.index.segments.segmented_dense import SegmentedDense

DENSE_FOLDER = "dense"


class Dense:
    """The dense vectors of the documents, and their encoder. Folders are opened by the first query that needs them.

    index: a dense index, its folder, or the generation whose segments have dense vectors.
    encoder: a dense encoder, or the name or folder for load_dense_encoder.
    beside: the identity of the sparse index. Opening the dense index raises StorageError if the folder has another
        sparse index by then.

    The first use, not the constructor, raises IndexFormatError for a damaged index, and EncoderError if the encoder
    cannot be loaded or has another dimension than the index.
    """

    def __init__(
        self,
        index: DenseIndex | SegmentedDense | Path | Generation,
        encoder: DenseEncoder | str | Path,
        device: str | None = None,
        beside: str | None = None,
    ) -> None:
        self._index = index
        self._encoder = encoder
        self._device = device
        self._beside = beside
        self._reused: SegmentedDense | None = (
            None  # the vectors of an earlier generation, for segments that did not change
        )
        self.described = b""  # see described_in

    @cached_property
    def index(self) -> DenseIndex | SegmentedDense:
        from lsr.index.dense.dense_index import DenseIndex
        from lsr.index.segments.segmented_dense import SegmentedDense

        if isinstance(self._index, Generation):
            reused, self._reused = self._reused, None
            return SegmentedDense.of_generation(self._index, reused)
        if not isinstance(self._index, Path):
            return self._index
        index = DenseIndex.open(self._index)
        if self._beside is not None:
            check_not_replaced(self._index.parent, self._beside)
        return index

    @cached_property
    def encoder(self) -> DenseEncoder:
        from lsr.encoders.dense.dense_encoder import load_dense_encoder

        given = self._encoder
        if isinstance(given, Path) and given.name == ENCODER_FOLDER and not given.is_dir():
            raise EncoderError(
                f"{given.parent}: the dense vectors have no encoder; give dense vectors of the queries (--dense FILE), "
                "or attach the encoder: lsr attach INDEX --dense NAME"
            )
        loaded = load_dense_encoder(given, device=self._device) if isinstance(given, str | Path) else given
        check_dim(loaded, self.index.dim)
        return loaded

    @property
    def _segments(self) -> SegmentedDense | None:
        """The vectors of the segments, if they are open."""
        opened: Any = vars(self).get("index")
        return opened if isinstance(self._index, Generation) else None

    @classmethod
    def open(cls, folder: str | Path, device: str | None = None, beside: str | None = None) -> Dense:
        """The dense index in a folder that build_dense wrote. Opens nothing yet."""
        folder = expanded(folder).absolute()  # the working directory may change before it is opened
        dense = cls(folder, folder / ENCODER_FOLDER, device, beside)
        dense.described = described_in(folder)
        return dense

    @classmethod
    def of_generation(
        cls, generation: Generation, device: str | None = None, before: Dense | None = None
    ) -> Dense | None:
        """The dense vectors of a generation's segments; None if no segment has any. Opens nothing yet.

        before: the dense vectors of an earlier generation. Its encoder and its vectors of common segments are reused.
        """
        first = first_dense(each.folder for each in generation.segments)
        if first is None:
            return None
        dense = cls(generation, first / ENCODER_FOLDER, device)
        dense.described = described_in(first)
        if before is not None:
            dense._reused = before._segments
            if "encoder" in vars(before) and dense.described == before.described != b"":
                dense._encoder = before.encoder
        return dense


def check_dim(encoder: DenseEncoder, dim: int) -> None:
    """Raises EncoderError if the encoder has another dimension than the index."""
    if encoder.dim != dim:
        raise EncoderError(
            f"dense encoder {encoder.name!r} makes vectors of {encoder.dim} components, but those of the index have "
            f"{dim}; search with the encoder that produced its vectors"
        )


def first_dense(segments: Iterable[Path]) -> Path | None:
    """The folder of dense vectors of the first segment that has any; None if there is none."""
    return next((folder / DENSE_FOLDER for folder in segments if (folder / DENSE_FOLDER).is_dir()), None)


def described_in(folder: Path | None) -> bytes:
    """Bytes that differ between encoders and configurations of dense vectors; b"" without dense vectors."""
    with suppress(OSError, IndexFormatError):
        if folder is not None:
            config = json.dumps(load_manifest(folder, MANIFEST).get("config"), sort_keys=True)
            return config.encode() + (folder / ENCODER_FOLDER / ENCODER_FILE).read_bytes()
    return b""
