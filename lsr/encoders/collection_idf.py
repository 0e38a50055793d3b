"""IDF tables from a file, a collection, or stored vectors."""

from __future__ import annotations

from pathlib import Path

from lsr.checks import expanded
from lsr.collections.offline import open_collection
from lsr.encoders.folders.model_files import vocabulary_size
from lsr.encoders.idf import Table, idf_of_texts, idf_of_vectors, read_table
from lsr.encoders.sparse.tokens import FolderTokenizer
from lsr.storage.reading import rereadable
from lsr.storage.recognize import WEIGHTS, what_is
from lsr.vectors.io import is_vectors

TABLE_SUFFIXES = (".json", ".txt", ".safetensors")


def idf_from(source: str, tokenizer: Path, progress: bool = False, offline_data: Path | None = None) -> Table:
    """float32 [components]: the table in a file (JSON, .txt, .safetensors), or the IDF of vectors or of a collection.

    tokenizer: folder of the transformer whose tokens are counted. offline_data: as for open_collection.

    Raises EncoderError, CollectionError, VectorsError.
    """
    path = rereadable(expanded(source))
    source = str(path) if path.exists() else source
    if is_vectors(source):
        return idf_of_vectors(source)
    tokens = FolderTokenizer(tokenizer, vocabulary_size(tokenizer))
    if source.endswith(TABLE_SUFFIXES) or what_is(path) == WEIGHTS:
        return read_table(source, tokens.vocabulary)
    collection = open_collection(source, None, offline_data)
    texts = (document.full_text for document in collection.documents())
    return idf_of_texts(texts, tokens, collection.count if progress else None, progress)
