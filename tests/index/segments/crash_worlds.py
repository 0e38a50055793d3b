"""What an index of segments is to hold, operations that change it, and what is found in its folder afterwards.

A document is an id and a version, which decide its vector, its text, its metadata and its dense vector: whatever is
found of a document says which version it is of, and all parts must say the same.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lsr.errors import IndexFormatError
from lsr.index.dense.dense_index import DenseIndex, write_dense
from lsr.index.dense_config import DenseConfig
from lsr.index.index_folder import all_of_one
from lsr.index.segments.cleanup import named_by
from lsr.index.segments.commit import Commit, generation_file
from lsr.index.segments.generation import DENSE, METADATA, TEXTS, Generation, open_generation
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.segments.upgrade import upgrade_index
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.storage.columns import Columns, write_columns
from lsr.storage.manifest import MANIFEST, check_sizes, load_manifest, write_manifest
from lsr.storage.strings import StringColumn
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary
from tests.index.samples import EXACT, always_blocks

DIM, DENSE_DIM = 40, 4
IDS = [f"d{number}" for number in range(60)]
COLUMNS = METADATA
ENCODER_FILE = "encoder.json"


@dataclass(frozen=True)
class World:
    """documents: id -> version. encoder: which one is kept with the index; its vocabulary goes by the same number."""

    documents: Mapping[str, int] = field(default_factory=dict)
    encoder: int | None = None


@dataclass(frozen=True)
class Operation:
    """steps: (name, argument), in the order in which a writer does them; see `perform`. Repeating it changes nothing.

    replaces: another index takes the place of the one that is there. blocks: what it adds is stored in blocks.
    """

    kind: str
    steps: tuple[tuple[str, Any], ...]
    replaces: bool = False
    blocks: bool = False


def worlds(operation: Operation, before: World | None) -> list[World | None]:
    """What there is before the operation, and after each of its commits."""
    reached = [before]
    now = World() if operation.replaces or before is None else before
    for name, argument in operation.steps:
        if name == "add":
            now = replace(now, documents={**now.documents, **argument})
        elif name == "delete":
            now = replace(now, documents={key: now.documents[key] for key in now.documents if key not in argument})
        elif name == "encoder":
            now = replace(now, encoder=argument)
        else:
            reached.append(now)
    return reached


def perform(operation: Operation, folder: Path, acknowledge: Callable[[], None] = lambda: None) -> None:
    """Do it. acknowledge: called when a commit has returned."""
    if operation.kind == "upgrade":
        upgrade_index(folder)
        acknowledge()
        return
    with (IndexWriter.create if operation.replaces else IndexWriter.open)(folder) as writer:
        for name, argument in operation.steps:
            if name == "add":
                path = writer.new_segment()
                save(path, argument, operation.blocks)
                writer.add_segment(path)
            elif name == "delete":
                writer.delete(argument)
            elif name == "encoder":
                text = json.dumps({"encoder": argument})
                writer.set_encoder(lambda new, text=text: (new / ENCODER_FILE).write_text(text), json.loads(text))
                writer.set_vocabulary(Vocabulary(tokens_of(argument)))
            elif name == "commit":
                writer.commit()
                acknowledge()
            elif name == "merge":
                writer.merge(all=argument)
                acknowledge()
            elif name == "merge in background":
                writer.merge_in_background()
                writer.commit()
                acknowledge()
            else:
                raise AssertionError(name)


def save(path: Path, documents: Mapping[str, int], blocks: bool = False) -> None:
    """Write an index of format 4 with all that a segment can have."""

    def beside(folder: Path) -> dict[str, Any]:
        StringColumn.write(folder, TEXTS, map(text_of, documents, documents.values()))
        write_columns(folder, COLUMNS, ({"version": version} for version in documents.values()))
        (folder / DENSE).mkdir()
        dense = np.stack([dense_of(*each) for each in documents.items()])
        config = DenseConfig(kind="hnsw" if blocks else "flat")
        entries = write_dense(folder / DENSE, [(list(documents), dense)], len(documents), DENSE_DIM, config, 1)
        write_manifest(folder / DENSE, entries)
        return {"has_texts": True}

    vectors = stacked(documents).with_ids(list(documents))
    if blocks:
        with always_blocks():
            SeismicIndex.build(vectors, threads=1).save(path, beside)
    else:
        SeismicIndex.build(vectors, threads=1).save(path, beside)


def stacked(documents: Mapping[str, int]) -> SparseVectors:
    weights = np.zeros((len(documents), DIM))
    for row, each in enumerate(documents.items()):
        for component, weight in vector_of(*each).items():
            weights[row, component] = weight
    return SparseVectors.from_dense(weights)


def _random(doc_id: str, version: int) -> random.Random:
    return random.Random(zlib.crc32(f"{doc_id} {version}".encode()))


def vector_of(doc_id: str, version: int) -> dict[int, float]:
    drawn = _random(doc_id, version)
    return {component: drawn.randint(1, 8) / 8 for component in drawn.sample(range(DIM), 5)}


def dense_of(doc_id: str, version: int) -> Any:
    drawn = _random(doc_id, version)
    return np.array([drawn.randint(-8, 8) / 8 for _ in range(DENSE_DIM)], np.float32)


def text_of(doc_id: str, version: int) -> str:
    return f"{doc_id} in version {version}"


def tokens_of(encoder: int) -> list[str]:
    return [f"token {number} of encoder {encoder}" for number in range(DIM)]


def observe(folder: Path) -> World | None:
    """What the newest generation holds, all parts of which must agree; None where there is no index."""
    try:
        generation = open_generation(folder)
    except IndexFormatError:
        if not folder.exists():
            return None
        with suppress(IndexFormatError):
            return all_of_one(folder, lambda: _observe_former(folder))
        generation = open_generation(folder)  # upgraded meanwhile, or damaged
    documents = {}
    ids = [] if generation.ids is None else list(generation.ids)
    if ids:
        assert generation.texts is not None
        documents = {name: _version(name, text) for name, text in zip(ids, generation.texts, strict=True)}
    assert len(documents) == len(ids) == generation.commit.documents, "an id appears twice"
    check_vectors(SeismicIndex.of_generation(generation), documents)
    _check_segments(generation, documents)
    return World(documents, _encoder_of(generation))


def _observe_former(folder: Path) -> World:
    index = SeismicIndex.open(folder)
    assert index.ids is not None
    texts = StringColumn.open(folder, TEXTS)
    documents = {name: _version(name, text) for name, text in zip(index.ids, texts, strict=True)}
    check_vectors(index, documents)
    return World(documents)


def _version(doc_id: str, text: str) -> int:
    version = int(text.rsplit(maxsplit=1)[1])
    assert text == text_of(doc_id, version)
    return version


def check_vectors(index: SeismicIndex, documents: Mapping[str, int]) -> None:
    """The index has the vectors of these documents, in this order, and finds each one by its vector."""
    assert len(index) == len(documents)
    if not documents:
        return
    vectors = stacked(documents)
    expected = vectors.to_dense().astype(np.float64)
    result = index.search(vectors, len(documents), EXACT, threads=1)
    found = np.zeros((len(documents), len(documents)))
    for row, (scores, rows) in enumerate(zip(result.scores, result.rows, strict=True)):
        found[row, rows[rows >= 0]] = scores[rows >= 0]
    np.testing.assert_allclose(found, expected @ expected.T, rtol=1e-4, atol=1e-4)


def _check_segments(generation: Generation, documents: Mapping[str, int]) -> None:
    for segment in generation.segments:
        assert segment.ids is not None and segment.metadata is not None and segment.dense is not None
        names = list(segment.ids)
        live = np.setdiff1d(np.arange(len(names)), segment.deleted).tolist()
        columns, dense = Columns.open(segment.folder, COLUMNS), DenseIndex.open(segment.dense)
        assert len(columns) == len(dense) == len(names)
        for row in live:
            version = documents[names[row]]
            assert columns.row(row) == {"version": version}
            np.testing.assert_array_equal(dense.vector(row), dense_of(names[row], version))


def _encoder_of(generation: Generation) -> int | None:
    folder, vocabulary = generation.encoder_folder, generation.vocabulary.read()
    if folder is None:
        assert vocabulary is None
        return None
    described = json.loads((folder / ENCODER_FILE).read_text())
    assert described == generation.commit.encoder and vocabulary is not None
    number = int(described["encoder"])
    assert vocabulary == Vocabulary(tokens_of(number))
    return number


def leftovers(folder: Path) -> list[str]:
    """What is in the folder of an index, or beside it, that no commit names; what is missing of it, with a minus."""
    commit = Commit.of(load_manifest(folder, MANIFEST), folder)
    expected = {MANIFEST, generation_file(commit.generation), *named_by(commit)}
    wrong = [f"../{name}" for name in os.listdir(folder.parent) if name != folder.name]
    wrong += [*({*os.listdir(folder)} - expected), *(f"-{name}" for name in expected - {*os.listdir(folder)})]
    for inner in (folder / each.name for each in commit.segments):
        for place in (inner, inner / DENSE):
            manifest = load_manifest(place, MANIFEST)
            check_sizes(place, manifest)
            listed = {MANIFEST, *(name.split("/")[0] for name in manifest["files"])}
            extra = {*os.listdir(place)} - listed - {DENSE}
            wrong += [str((place / name).relative_to(folder)) for name in extra]
    if commit.encoder_folder is not None:
        found = {f"{commit.encoder_folder}/{name}" for name in os.listdir(folder / commit.encoder_folder)}
        wrong += found - {*commit.files}
    return sorted(wrong)


def prepare(operation: Operation, folder: Path, before: World | None) -> World | None:
    """Make the folder what the operation begins with; returns what it holds then."""
    if operation.kind == "first build":
        shutil.rmtree(folder, ignore_errors=True)
        return None
    if operation.kind in ("upgrade", "upgrade and change", "replacement of a former format"):
        shutil.rmtree(folder, ignore_errors=True)
        before = World(dict.fromkeys(IDS[:20], 1))
        save(folder, before.documents)
        return before
    if before is None or not before.documents:
        shutil.rmtree(folder, ignore_errors=True)
        before = World(dict.fromkeys(IDS[:30], 1))
        perform(Operation("first build", (("add", before.documents), ("commit", None)), replaces=True), folder)
    return before


KINDS = (
    "first build",
    "add",
    "delete",
    "update",
    "several commits",
    "refit",
    "merge",
    "merge of what is due",
    "merge in background",
    "replacement",
    "upgrade",
    "upgrade and change",
    "replacement of a former format",
)


def draw(kind: str, chance: random.Random) -> Operation:
    """An operation of this kind."""

    def some(least: int, most: int) -> dict[str, int]:
        return {name: chance.randint(1, 1000) for name in chance.sample(IDS, chance.randint(least, most))}

    commit = ("commit", None)
    blocks = chance.random() < 0.3
    steps: dict[str, tuple[tuple[str, Any], ...]] = {
        "first build": (("add", some(10, 40)), ("encoder", chance.randint(1, 9)), commit),
        "add": (("add", some(1, 8)), commit),
        "delete": (("delete", sorted(some(1, 20))), commit),
        "update": (("add", some(20, 40)), ("delete", sorted(some(1, 5))), commit),
        "several commits": (
            ("add", some(1, 9)),
            commit,
            ("delete", sorted(some(5, 20))),
            commit,
            ("add", some(1, 9)),
            ("add", some(1, 9)),
            ("encoder", chance.randint(1, 9)),
            commit,
        ),
        "refit": (("encoder", chance.randint(1, 9)), ("add", some(30, 40)), commit),
        "merge": (("add", some(1, 9)), ("delete", sorted(some(1, 9))), ("merge", True)),
        "merge of what is due": (("add", some(1, 3)), commit, ("add", some(1, 3)), ("merge", False)),
        "merge in background": (
            ("add", some(5, 9)),
            commit,
            ("add", some(5, 9)),
            ("merge in background", None),
            ("delete", sorted(some(1, 9))),
            commit,
            ("merge", True),
        ),
        "replacement": (("add", some(10, 40)), ("encoder", chance.randint(1, 9)), commit),
        "upgrade": (commit,),
        "upgrade and change": (("delete", IDS[: chance.randint(1, 5)]), commit),
        "replacement of a former format": (("add", some(10, 40)), commit),
    }
    replaces = kind in ("first build", "replacement", "replacement of a former format")
    return Operation(kind, steps[kind], replaces, blocks)
