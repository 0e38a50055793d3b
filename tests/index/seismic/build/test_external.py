"""Building by way of the disk: the same files as in memory, in little memory, all of them or none."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.errors import ParameterError, StorageError, VectorsError
from lsr.index import index_checks as request
from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build import external, external_order, node_plan, trial
from lsr.index.seismic.build import in_memory as building
from lsr.index.seismic.build.external import build_folder
from lsr.index.seismic.build.summarize import WINDOW
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.storage.arrays import load_array
from lsr.storage.manifest import read_manifest, verify
from lsr.vectors.io import ParquetWriter, iter_vectors, parquet
from lsr.vectors.normalize import row_steps
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary
from tests.index.samples import configs, vectors_and_queries
from tests.index.superblocks import always_superblocks
from tests.processes import FULL_DISK, run_python, start_python
from tests.strategies import from_pairs

PLENTY = 1 << 30
Layout = Literal["fast", "compact"]


def build(source: Path, folder: Path, config: IndexConfig | None = None, memory: int = PLENTY, **more: Any) -> None:
    build_folder(source, folder, config or IndexConfig(), memory=memory, **more)


def least_memory(source: Path, config: IndexConfig | None = None) -> int:
    """What a build names when it gets less."""
    memory = 1
    while True:
        try:
            build(source, source.with_name("never"), config, memory)
            return memory
        except ParameterError as error:
            match = re.search(r"give at least ([\d.]+) MB", str(error))
            assert match is not None
            assert int(float(match[1]) * 1e6) > memory
            memory = int(float(match[1]) * 1e6)


def written(vectors: SparseVectors, folder: Path, parts: int = 1) -> Path:
    """A folder of vectors in so many parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "POSTINGS_PER_PART", -(-vectors.nnz // parts))
        vectors.write(folder)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_same(source: Path, folder: Path, config: IndexConfig | None = None, **more: Any) -> None:
    """Both builds write the same files."""
    SeismicIndex.build(SparseVectors.read(source), config, threads=1).save(folder / "in memory")
    build(source, folder / "external", config, **more)
    expected, found = files(folder / "in memory"), files(folder / "external")
    assert found.keys() == expected.keys()
    for name, content in expected.items():
        assert found[name] == content, name
    verify(folder / "external")
    assert names(folder) == ["external", "in memory"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture(params=[False, True], ids=["blocks", "superblocks"])
def _superblocks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Once with summaries of blocks, and once with superblocks and pages, filled a few at a time."""
    if not request.param:
        yield
        return
    with always_superblocks(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_plan, "PAGES_AT_ONCE", 70)
        yield


@pytest.fixture
def _small_steps() -> Iterator[None]:
    """Many batches, windows and slices, and no memory beyond what vectors take."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"FIXED": 0, "BATCH_POSTINGS": 5000, "PENDING": 2000, "WINDOW": 60}.items():
            patch.setattr(external, name, value)
        patch.setattr(building, "WINDOW", 60)
        patch.setattr(node_plan, "SLICE", 50)
        patch.setattr(external, "BATCH_ENTRIES", 3000)
        patch.setattr(external_order, "BATCH", 500)
        yield


def wide_vectors(rows: int = 3000) -> SparseVectors:
    """Vectors of more components than 16 bits can number, some in many rows."""
    rng = np.random.default_rng(1)
    common = rng.integers(0, 100, (rows, 10))
    rare = rng.integers(0, 1 << 32, (rows, 40))
    weights = rng.integers(1, 1000, (rows, 50)) / 8
    return SparseVectors(np.arange(0, 50 * rows + 1, 50), np.hstack([common, rare]).ravel(), weights.ravel(), 1 << 32)


# The same as in memory


@pytest.mark.usefixtures("_small_steps", "_superblocks")
@pytest.mark.parametrize("layout", ["fast", "compact"])
@pytest.mark.parametrize(("parts", "threads"), [(1, 1), (1, 2), (7, 2)])
def test_real_vectors(
    packages: SparseVectors, tmp_path: Path, out: Path, layout: Layout, parts: int, threads: int
) -> None:
    source = written(packages[:3000], tmp_path / "vectors", parts)
    assert len(list(source.glob("part-*"))) >= parts
    check_same(source, out, IndexConfig(layout=layout), threads=threads)
    assert len(load_array(out / "external", "summary_windows")) > 3
    assert load_array(out / "external", "heads").dtype == np.uint16


@pytest.mark.usefixtures("_small_steps", "_superblocks")
@pytest.mark.parametrize("layout", ["fast", "compact"])
def test_more_components_than_16_bits_number(tmp_path: Path, out: Path, layout: Layout) -> None:
    source = written(wide_vectors(), tmp_path / "vectors", 3)
    check_same(source, out, IndexConfig(layout=layout), threads=2)
    assert load_array(out / "external", "heads").dtype == np.uint32


@pytest.mark.usefixtures("_small_steps", "_superblocks")
@pytest.mark.parametrize("layout", ["fast", "compact"])
def test_the_least_memory_that_it_asks_for(
    packages: SparseVectors, tmp_path: Path, out: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = []
    quantize = external.quantize

    def counted(rows: Any, *others: Any) -> Any:
        ranges.append(len(rows))
        return quantize(rows, *others)

    source = written(packages[:3000], tmp_path / "vectors", 2)
    config = IndexConfig(layout=layout)
    memory = least_memory(source, config)
    monkeypatch.setattr(external, "quantize", counted)
    check_same(source, out, config, memory=memory, threads=2)
    assert len(ranges) > 3
    assert sum(ranges) == 3000


@given(
    drawn=vectors_and_queries(),
    config=configs(),
    layout=st.sampled_from(["fast", "compact"]),
    superblocks=st.booleans(),
)
@settings(max_examples=30)
def test_drawn_vectors(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[SparseVectors, SparseVectors],
    config: IndexConfig,
    layout: Layout,
    superblocks: bool,
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "out").mkdir()
    source = written(drawn[0], folder / "vectors", 2)
    with always_superblocks() if superblocks else nullcontext():
        check_same(source, folder / "out", replace(config, layout=layout), threads=2)


NOTHING: list[dict[int, float]] = []


@pytest.mark.usefixtures("_small_steps", "_superblocks")
@pytest.mark.parametrize("layout", ["fast", "compact"])
@pytest.mark.parametrize("rows", [NOTHING, [[]], [[]] * 40, [[], [(3, 1.0)], []], [[(7, 0.5)]]])
def test_hardly_anything(tmp_path: Path, out: Path, rows: list[list[tuple[int, float]]], layout: Layout) -> None:
    check_same(written(from_pairs(rows, 10), tmp_path / "vectors"), out, IndexConfig(layout=layout))


@pytest.mark.usefixtures("_small_steps", "_superblocks")
def test_long_documents_among_empty_ones(tmp_path: Path, out: Path) -> None:
    long = [(component, 1 + component % 7) for component in range(20_000)]
    rows = [[], long, [(1, 2.0)], [], long[::3], []] * 5
    source = written(from_pairs(rows, 1 << 17), tmp_path / "vectors", 3)
    check_same(source, out, memory=least_memory(source))


@pytest.mark.usefixtures("_small_steps")
def test_runs_of_a_few_components_at_a_time(
    packages: SparseVectors, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "row_steps", lambda starts, _: row_steps(starts, 1500))
    check_same(written(packages[:1000], tmp_path / "vectors"), out, threads=2)


@pytest.mark.usefixtures("_small_steps")
def test_a_group_that_has_all_documents(tmp_path: Path, out: Path) -> None:
    source = written(from_pairs([[(row % 2, 1.0)] for row in range(5000)], 2), tmp_path / "vectors")
    memory = least_memory(source)
    assert memory > 2500 * external_order.growing_bytes(2)  # which is known only when the vectors have been read
    check_same(source, out, memory=memory)


@pytest.mark.parametrize("name", ["v.npz", "v.jsonl"])
def test_other_files_of_vectors(packages: SparseVectors, tmp_path: Path, out: Path, name: str) -> None:
    vectors = packages[:200]
    vocabulary = Vocabulary([f"token {component}" for component in range(vectors.dim)])
    vectors.write(tmp_path / name, vocabulary)
    SeismicIndex.build(SparseVectors.read(tmp_path / name, vocabulary), vocabulary=vocabulary).save(out / "in memory")
    build(tmp_path / name, out / "external", vocabulary=vocabulary)
    assert files(out / "external") == files(out / "in memory")


@pytest.mark.usefixtures("_superblocks")
@pytest.mark.parametrize("layout", ["fast", "compact"])
def test_a_graph(packages: SparseVectors, tmp_path: Path, out: Path, layout: Layout) -> None:
    check_same(written(packages[:300], tmp_path / "vectors"), out, IndexConfig(layout=layout, knn=2))
    assert SeismicIndex.open(out / "external").knn == 2


def test_extra(packages: SparseVectors, tmp_path: Path) -> None:
    def extra(folder: Path) -> dict[str, str]:
        (folder / "more").write_text(str(sorted(path.name for path in folder.iterdir())))
        return {"source": "here"}

    build(written(packages[:300], tmp_path / "vectors"), tmp_path / "index", IndexConfig(knn=2), extra=extra)
    assert "graph.npy" in (tmp_path / "index" / "more").read_text()
    assert "spill" not in (tmp_path / "index" / "more").read_text()
    assert read_manifest(tmp_path / "index")["source"] == "here"


# Inverted lists


@pytest.fixture(params=["few documents", "even weights"])
def _inverted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "few documents":
        monkeypatch.setattr(trial, "INVERTED_BELOW", 1 << 30)
    else:
        monkeypatch.setattr(trial, "sample_recall", lambda *_: 0.9)


@pytest.mark.usefixtures("_inverted", "_small_steps")
@pytest.mark.parametrize("with_ids", [True, False])
def test_inverted_lists(packages: SparseVectors, tmp_path: Path, out: Path, with_ids: bool) -> None:
    vectors = packages[:3000].with_ids([f"package {row}" for row in range(3000)] if with_ids else None)
    source = written(vectors, tmp_path / "vectors", 3)
    # In one step, and in as many as the least memory makes of it.
    check_same(source, out, threads=2)
    shutil.rmtree(out)
    out.mkdir()
    check_same(source, out, memory=least_memory(source), threads=2)
    assert SeismicIndex.open(out / "external").inverted
    assert not (out / "external" / "heads.npy").exists()


@pytest.mark.usefixtures("_inverted", "_small_steps")
@pytest.mark.parametrize("rows", [[], [[]], [[], [(3, 1.0)], []]])
def test_hardly_any_inverted_lists(tmp_path: Path, out: Path, rows: list[list[tuple[int, float]]]) -> None:
    check_same(written(from_pairs(rows, 10), tmp_path / "vectors"), out)


@pytest.mark.usefixtures("_inverted", "_small_steps")
def test_more_lists_than_16_bits_number(tmp_path: Path, out: Path) -> None:
    check_same(written(wide_vectors(), tmp_path / "vectors", 2), out)
    assert load_array(out / "external", "lists").dtype == np.uint32


# Memory

BUILD = """
import sys
from pathlib import Path
from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build import external, node_plan, trial
from lsr.index.seismic.build.external import build_folder

def build(source, memory, folder):
    build_folder(Path(source), Path(folder), IndexConfig(block_size=int(block_size)), memory=memory, threads=2)

def resident(entry):
    # Not getrusage, whose peak may be that of the process which started this one.
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[entry].split()[0]) * 1024

little, source, folder, memory, block_size, superblocks_from, window = sys.argv[1:]
node_plan.SUPERBLOCKS_FROM, external.WINDOW = int(superblocks_from), int(window)
# A trial reads all of the index, which is mapped and counts as memory.
trial.INVERTED_BELOW, trial.sample_recall = 0, lambda *_: 1.0
build(little, 1 << 30, folder)  # loads what is compiled
before = resident("VmRSS")
build(source, int(memory), folder)
print(resident("VmHWM") - before)
"""


def write_synthetic(folder: Path, rows: int, length: int, parts: int) -> int:
    """Write so many rows of that length; returns the bytes that they take in memory."""
    rng = np.random.default_rng(3)
    size = 0
    with ParquetWriter(folder, 1 << 16) as writer:
        for _ in range(parts):
            n = rows // parts
            components = np.cumsum(rng.integers(1, 130, (n, length), np.uint16), axis=1, dtype=np.uint16)
            weights = np.exp2(rng.integers(-40, 10, n * length) / np.float32(8)).astype(np.float32)
            vectors = SparseVectors(np.arange(n + 1) * length, components.ravel(), weights, 1 << 16)
            writer.write_part(vectors)
            size += vectors.indptr.nbytes + vectors.indices.nbytes + vectors.values.nbytes
        writer.finish()
    return size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("block_size", "superblocks", "window"),
    [(1, False, 1 << 12), (1, True, 1 << 12), (4, False, 1 << 12), (4, True, WINDOW)],
)
def test_peak_memory(tmp_path: Path, block_size: int, superblocks: bool, window: int) -> None:
    """What a build asks for is enough; windows of few nodes leave little to the estimate of their summaries."""
    size = write_synthetic(tmp_path / "vectors", 72_000, 500, 4)
    write_synthetic(tmp_path / "little", 1000, 500, 2)
    # What is compiled for the first time takes more memory than the vectors.
    build(tmp_path / "little", tmp_path / "index")
    folders = tmp_path / "little", tmp_path / "vectors", tmp_path / "index"
    limit, found = 25_000_000, re.compile(r"give at least ([\d.]+) MB")
    while True:
        ended = run_python(BUILD, *folders, limit, block_size, 0 if superblocks else 1 << 30, window)
        asked = found.search(ended.stderr)
        if asked is None:
            break
        limit = int(float(asked[1]) * 1e6)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < limit
    assert window == WINDOW or size > 2.5 * limit
    assert read_manifest(tmp_path / "index")["documents"] == 72_000


@pytest.mark.parametrize("memory", [0, -5, 1.5, True, "4GB"])
def test_no_amount_of_memory(packages: SparseVectors, tmp_path: Path, memory: Any) -> None:
    source = written(packages[:10], tmp_path / "vectors")
    with pytest.raises(ParameterError, match="memory is"):
        build(source, tmp_path / "index", memory=memory)
    assert names(tmp_path) == ["vectors"]


def test_too_little_memory_is_refused_before_anything_is_read(packages: SparseVectors, tmp_path: Path) -> None:
    source = written(packages[:10], tmp_path / "vectors")
    for part in source.glob("part-*"):
        part.unlink()
    with pytest.raises(ParameterError, match=r"memory is 1\.0 MB; to index 10 documents with \d+ non-zeros, give at "):
        build(source, tmp_path / "index", memory=1_000_000)


# All or nothing


@pytest.fixture
def old(packages: SparseVectors, tmp_path: Path) -> tuple[Path, Path, dict[str, bytes]]:
    """Vectors, an index of others, and its files."""
    source = written(packages[:500], tmp_path / "vectors", 3)
    SeismicIndex.build(packages[:50]).save(tmp_path / "index")
    return source, tmp_path / "index", files(tmp_path / "index")


def check_nothing_left(old: tuple[Path, Path, dict[str, bytes]]) -> None:
    _, folder, before = old
    assert files(folder) == before
    assert names(folder.parent) == ["index", "vectors"]


STEPS = ("document_frequencies", "find_sketches", "split_groups", "order_groups", "quantize", "add_to_runs")


@pytest.mark.parametrize("step", [*STEPS, "summarize_nodes", "fill_pages"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted(
    old: tuple[Path, Path, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch, step: str, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(external if step in STEPS else node_plan, step, fail)
    with always_superblocks(), pytest.raises(error):
        build(old[0], old[1], threads=2)
    check_nothing_left(old)


KILLED = """
import sys, time
from pathlib import Path
from lsr.index.seismic.build import external, external_order, node_plan, trial
from lsr.index.parameters import IndexConfig

def slowly(*_):
    print("now", flush=True)
    time.sleep(60)

external.split_groups = slowly
trial.INVERTED_BELOW = 0
external.build_folder(Path(sys.argv[1]), Path(sys.argv[2]), IndexConfig(), memory=1 << 30, threads=2)
"""


def test_killed(old: tuple[Path, Path, dict[str, bytes]]) -> None:
    source, folder, before = old
    with start_python(KILLED, source, folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.kill()
    assert files(folder) == before
    (left,) = set(names(folder.parent)) - {"index", "vectors"}
    assert re.fullmatch(r"\.index\.tmp-\w+", left)
    assert any(name.startswith("spill-") for name in os.listdir(folder.parent / left))
    build(source, folder)
    assert names(folder.parent) == ["index", "vectors"]
    assert len(SeismicIndex.open(folder)) == 500


FULL = """
import sys
from pathlib import Path
from lsr.errors import StorageError
from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build import trial
from lsr.index.seismic.build.external import build_folder

trial.INVERTED_BELOW = 0
try:
    build_folder(Path(sys.argv[1]), Path(sys.argv[2]), IndexConfig(), memory=1 << 30, threads=2)
except StorageError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [2000, 50_000])
def test_a_full_disk(old: tuple[Path, Path, dict[str, bytes]], limit: int) -> None:
    # Compiles what the process would otherwise compile, and have no room for.
    build(old[0], old[1].with_name("first"))
    shutil.rmtree(old[1].with_name("first"))
    ended = run_python(FULL_DISK.format(limit=limit) + FULL, old[0], old[1])
    assert ended.returncode == 0, ended.stderr
    assert "cannot be written: File too large; free some space or write elsewhere" in ended.stdout
    check_nothing_left(old)


def test_foreign_folders_are_not_replaced(packages: SparseVectors, tmp_path: Path) -> None:
    source = written(packages[:10], tmp_path / "vectors")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(StorageError, match="mine: cannot be replaced"):
        build(source, tmp_path / "mine")
    assert names(tmp_path / "mine") == ["thesis.tex"]


# Vectors that are not right


def test_a_damaged_part(old: tuple[Path, Path, dict[str, bytes]]) -> None:
    part = old[0] / "part-00001.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(VectorsError, match=r"part-00001\.parquet: "):
        build(old[0], old[1])
    check_nothing_left(old)


def test_a_part_that_is_missing(old: tuple[Path, Path, dict[str, bytes]]) -> None:
    (old[0] / "part-00002.parquet").unlink()
    with pytest.raises(VectorsError, match=r"part-00002\.parquet: cannot be read"):
        build(old[0], old[1])
    check_nothing_left(old)


@pytest.mark.usefixtures("_small_steps")
def test_a_document_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[(component, 1.0) for component in range(99)]] * 400
    rows[321] = [(component, 1.0) for component in range(100)]
    source = written(from_pairs(rows, 200), tmp_path / "vectors", 3)
    monkeypatch.setattr(request, "LONGEST_DOCUMENT", 100)
    message = "row 321: 100 non-zeros; a document of an index has fewer than 100"
    with pytest.raises(VectorsError, match=message):
        build(source, tmp_path / "index")
    with pytest.raises(VectorsError, match=message):
        SeismicIndex.build(SparseVectors.read(source))
    assert names(tmp_path) == ["vectors"]


def test_a_document_of_16_million_components(tmp_path: Path) -> None:
    length = 1 << 24
    SparseVectors.from_normalized(
        np.array([0, length], np.int64), np.arange(length, dtype=np.uint32), np.ones(length, np.float32), 1 << 25
    ).write(tmp_path / "vectors")
    with pytest.raises(VectorsError, match="row 0: 16777216 non-zeros; a document of an index has fewer than 16777216"):
        build(tmp_path / "vectors", tmp_path / "index")


def test_an_id_that_occurs_twice(packages: SparseVectors, tmp_path: Path) -> None:
    vectors = packages[:20]
    vectors = vectors.with_ids([*map(str, range(19)), "7"])
    vectors.write(tmp_path / "v.npz")
    with pytest.raises(VectorsError, match="row 19: id '7' occurs a second time; ids must be unique"):
        build(tmp_path / "v.npz", tmp_path / "index")


@pytest.mark.parametrize("change", ["fewer", "more", "others"])
def test_vectors_that_change_between_two_readings(
    packages: SparseVectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    source = written(packages[:200], tmp_path / "vectors")
    changed = {"fewer": packages[:150], "more": packages[:250], "others": packages[200:400]}[change]
    readings = []

    def read(*arguments: Any) -> Iterator[SparseVectors]:
        readings.append(arguments)
        return iter_vectors(*arguments) if len(readings) < 3 else iter([changed[:100], changed[100:]])

    monkeypatch.setattr(external, "iter_vectors", read)
    with pytest.raises(VectorsError, match="vectors: changed while it was being indexed; index it again"):
        build(source, tmp_path / "index")
    assert names(tmp_path) == ["vectors"]
