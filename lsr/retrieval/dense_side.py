"""Dense: the dense vectors beside a sparse index."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lsr.checks import expanded
from lsr.encoders.base import ENCODER_FILE, ENCODER_FOLDER
from lsr.errors import EncoderError
from lsr.index.index_folder import check_not_replaced

if TYPE_CHECKING:
    from lsr.encoders.dense.dense_encoder import DenseEncoder
    from lsr.index.dense.dense_index import DenseIndex
    from lsr.index.segments.generation import Generation
    from lsr.index.segments.segmented_dense import SegmentedDense

DENSE_FOLDER = "dense"


class Dense:
    """The dense vectors of the documents, and their encoder: what is in a folder is opened by the first query for it.

    index: a dense index, its folder, or the generation whose segments have dense vectors. encoder: a dense encoder, or
    what load_dense_encoder takes. Raises then, not when made, IndexFormatError for a damaged index, and EncoderError if
    the encoder cannot be loaded or its vectors have another number of components than the index.
    beside: the identity of the sparse index around it; StorageError if another one is there when the dense index is
    opened.
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
        self._described = b""  # the file of the encoder

    @cached_property
    def index(self) -> DenseIndex | SegmentedDense:
        from lsr.index.dense.dense_index import DenseIndex
        from lsr.index.segments.generation import Generation
        from lsr.index.segments.segmented_dense import SegmentedDense

        if isinstance(self._index, Generation):
            return SegmentedDense.of_generation(self._index)
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
            raise EncoderError(f"{given.parent}: was built from vectors and has no encoder; build it with build_dense")
        loaded = load_dense_encoder(given, device=self._device) if isinstance(given, str | Path) else given
        if loaded.dim != self.index.dim:
            raise EncoderError(
                f"dense encoder {loaded.name!r} makes vectors of {loaded.dim} components, the index holds "
                f"{self.index.dim}; search with the encoder that the index was built with"
            )
        return loaded

    @classmethod
    def open(cls, folder: str | Path, device: str | None = None, beside: str | None = None) -> Dense:
        """What build_dense wrote. Raises nothing yet."""
        folder = expanded(folder).absolute()  # it is opened later, perhaps from another working directory
        return cls(folder, folder / ENCODER_FOLDER, device, beside)

    @classmethod
    def of_generation(
        cls, generation: Generation, device: str | None = None, before: Dense | None = None
    ) -> Dense | None:
        """The dense vectors of a generation's segments, None where none has any. Raises nothing yet.

        before: those of an earlier generation, whose encoder need not be loaded again if it is the same.
        """
        folders = (each.dense for each in generation.segments)
        first = next((folder for folder in folders if folder is not None), None)
        if first is None:
            return None
        dense = cls(generation, first / ENCODER_FOLDER, device)
        with suppress(OSError):
            dense._described = (first / ENCODER_FOLDER / ENCODER_FILE).read_bytes()
        loaded = None if before is None else before.__dict__.get("encoder")
        if before is not None and loaded is not None and dense._described == before._described != b"":
            dense._encoder = loaded
        return dense
