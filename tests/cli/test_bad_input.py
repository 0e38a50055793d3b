"""Whatever is wrong with the input: one line that says it, status 2, and nothing written or destroyed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.commands import Lsr, rejected
from tests.processes import FULL_DISK, run_python

MAIN = "import sys\nfrom lsr.cli.main import main\nsys.exit(main())\n"


def collection_of(folder: Path, corpus: str | bytes) -> Path:
    """A collection with that corpus, one query and one judgment."""
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_bytes(corpus if isinstance(corpus, bytes) else corpus.encode())
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "heart"}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    return folder


def line(doc_id: str, text: str) -> str:
    return json.dumps({"_id": doc_id, "text": text}) + "\n"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return collection_of(tmp_path / "small", line("d1", "the heart") + line("d2", "the liver"))


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ("", "has no documents"),
        (line("d1", "a") + '{"_id": "d2", "text"\n', r"corpus.jsonl:2: not valid JSON"),
        (
            line("d1", "a").encode() + b'{"_id": "d2", "text": "\xe9"}\n',
            r"corpus.jsonl:2: byte 24 of the line is not UTF-8",
        ),
        (line("d1", "a") + line("d1", "b"), r"corpus.jsonl:2: the id 'd1' occurred before"),
        (line("d1", "a") + '{"text": "b"}\n', r'corpus.jsonl:2: the "_id" is missing'),
    ],
    ids=["empty", "json", "utf-8", "duplicate", "missing"],
)
@pytest.mark.parametrize("command", ["index", "encode"])
def test_a_broken_collection(
    lsr: Lsr, tmp_path: Path, encoder: str, command: str, corpus: str | bytes, message: str
) -> None:
    collection = collection_of(tmp_path / "c", corpus)
    assert message in rejected(lsr(command, collection, tmp_path / "out", "--encoder", encoder))
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not (tmp_path / "out" / "vectors.json").exists()


def test_an_empty_document_is_never_found(lsr: Lsr, tmp_path: Path, encoder: str) -> None:
    corpus = line("d1", "the heart pumps blood") + line("empty", "") + line("blank", " \t")
    assert lsr("index", collection_of(tmp_path / "c", corpus), tmp_path / "i", "--encoder", encoder).status == 0
    for query in ("heart", "liver", ""):
        hits = lsr("search", tmp_path / "i", query, "--json").json["hits"]
        assert {hit["doc_id"] for hit in hits} <= {"d1"}
    assert lsr("info", tmp_path / "i", "--json").json["documents"] == 3


def test_a_collection_of_empty_documents(lsr: Lsr, tmp_path: Path) -> None:
    collection = collection_of(tmp_path / "c", line("d1", "") + line("d2", ""))
    assert "none of the 2 texts has a word" in rejected(lsr("index", collection, tmp_path / "i", "--encoder", "bm25"))
    assert lsr("index", collection, tmp_path / "i", "--encoder", "tiny").status == 0
    assert lsr("search", tmp_path / "i", "heart", "--json").json["hits"] == []
    assert lsr("evaluate", tmp_path / "i", collection, "--json").json["measures"]["nDCG@10"] == 0


def test_a_document_of_a_hundred_thousand_words(lsr: Lsr, tmp_path: Path, encoder: str) -> None:
    corpus = line("long", "heart " + "liver kidney " * 50_000) + line("short", "the lung")
    assert lsr("index", collection_of(tmp_path / "c", corpus), tmp_path / "i", "--encoder", encoder).status == 0
    hit = lsr("search", tmp_path / "i", "liver kidney", "-k", 1, "--json").json["hits"][0]
    assert hit["doc_id"] == "long"
    assert len(hit["text"].split()) == 100_001


@pytest.mark.parametrize(
    ("weight", "shown"), [("NaN", "nan"), ("Infinity", "inf"), ("-1.5", "-1.5")], ids=["nan", "infinite", "negative"]
)
def test_weights_that_are_not_finite_and_non_negative(lsr: Lsr, tmp_path: Path, weight: str, shown: str) -> None:
    lines = ['{"id": "a", "vector": {"the": 1}}', f'{{"id": "b", "vector": {{"x": {weight}}}}}']
    (tmp_path / "v.jsonl").write_text("\n".join(lines))
    message = rejected(lsr("index", tmp_path / "v.jsonl", tmp_path / "i"))
    assert "v.jsonl:2: weight of 'x' is " in message
    assert shown in message


def test_vectors_without_an_encoder_take_no_text(lsr: Lsr, tmp_path: Path) -> None:
    (tmp_path / "v.jsonl").write_text('{"id": "a", "vector": {"the": 1}}\n')
    assert lsr("index", tmp_path / "v.jsonl", tmp_path / "i").status == 0
    assert "was built from vectors and has no encoder" in rejected(lsr("search", tmp_path / "i", "the"))
    assert lsr("info", tmp_path / "i", "--json").json["encoder"] is None


def test_vectors_of_another_encoder(lsr: Lsr, small: Path, tmp_path: Path) -> None:
    assert lsr("encode", small, tmp_path / "v", "--encoder", "bm25").status == 0
    assert "the vectors were made by" in rejected(lsr("index", tmp_path / "v", tmp_path / "i", "--encoder", "tiny"))
    assert "encode" in rejected(lsr("encode", small, tmp_path / "v", "--encoder", "tiny"))


def test_truncated_vectors(lsr: Lsr, small: Path, tmp_path: Path) -> None:
    (tmp_path / "v.npz").write_bytes(b"PK\x03\x04 not really")
    assert "v.npz" in rejected(lsr("index", tmp_path / "v.npz", tmp_path / "i"))
    assert lsr("encode", small, tmp_path / "v", "--encoder", "bm25").status == 0
    (tmp_path / "v" / "vectors.json").unlink()
    assert "is not finished" in rejected(lsr("index", tmp_path / "v", tmp_path / "i"))


@pytest.mark.parametrize("name", ["./nowhere", "no such encoder"])
def test_an_unknown_encoder(lsr: Lsr, small: Path, tmp_path: Path, name: str) -> None:
    assert name in rejected(lsr("index", small, tmp_path / "i", "--encoder", name))
    assert not (tmp_path / "i").exists()


def test_an_unknown_encoder_that_might_be_on_hugging_face(small: Path, tmp_path: Path) -> None:
    code = "import os\nos.environ['HF_HUB_OFFLINE'] = '1'\n" + MAIN
    ended = run_python(code, "index", small, tmp_path / "i", "--encoder", "org/tyni")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    assert ended.stderr.startswith("lsr: org/tyni: ")
    assert '"tiny"' in ended.stderr


def test_a_collection_needs_an_encoder(lsr: Lsr, small: Path, tmp_path: Path) -> None:
    assert "an encoder is needed" in rejected(lsr("index", small, tmp_path / "i"))


@pytest.mark.parametrize("name", ["nowhere", "../nowhere", "/nowhere", "beir/nowhere", "nowhere.tsv", "nowhere.npz"])
def test_a_missing_collection(lsr: Lsr, tmp_path: Path, name: str) -> None:
    assert "nowhere" in rejected(lsr("index", name, tmp_path / "i", "--encoder", "bm25"))


def test_a_collection_that_cannot_be_downloaded(tmp_path: Path) -> None:
    code = f"""
import os
os.environ.update(IR_DATASETS_HOME={str(tmp_path / "home")!r}, HTTPS_PROXY="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9")
{MAIN}"""
    ended = run_python(code, "index", "beir/scifact/test", tmp_path / "i", "--encoder", "bm25")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    assert "ir_datasets could not read the documents of 'beir/scifact/test'" in ended.stderr


def test_splits(lsr: Lsr, small: Path, bm25_index: Path, tmp_path: Path) -> None:
    message = rejected(lsr("run", bm25_index, small / "queries.jsonl", tmp_path / "run", "--split", "test"))
    assert "is a single file of queries and has no split 'test'" in message
    message = rejected(lsr("run", bm25_index, small, tmp_path / "run", "--split", "tset"))
    assert "there is no split 'tset'; splits with judgments: test" in message


@pytest.mark.parametrize("k", [0, -3])
def test_k_below_one(lsr: Lsr, bm25_index: Path, library: Path, tmp_path: Path, k: int) -> None:
    assert f"k is {k}" in rejected(lsr("search", bm25_index, "heart", "-k", k))
    assert f"k is {k}" in rejected(lsr("run", bm25_index, library, tmp_path / "run", "-k", k))
    assert f"k is {k}" in rejected(lsr("evaluate", bm25_index, library, "-k", k))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--query-cut", "0"), "query_cut is 0"),
        (("--heap-factor", "-1"), "heap_factor is -1"),
        (("--heap-factor", "nan"), "heap_factor is nan"),
        (("-k", "many"), "'-k'"),
        (("--unheard-of",), "--unheard-of; see lsr search --help"),
    ],
)
def test_bad_options(lsr: Lsr, bm25_index: Path, words: tuple[str, ...], message: str) -> None:
    assert message in rejected(lsr("search", bm25_index, "heart", *words))


def test_bad_build_options(lsr: Lsr, small: Path, tmp_path: Path) -> None:
    for words in (
        ("--block-size", 0),
        ("--summary-energy", 2),
        ("--layout", "small"),
        ("--knn", -1),
        ("--threads", 0),
        ("--memory", "lots"),
    ):
        rejected(lsr("index", small, tmp_path / "i", "--encoder", "bm25", *words))
        assert not (tmp_path / "i").exists()


def test_a_query_that_is_not_utf8(bm25_index: Path) -> None:
    ended = run_python(MAIN, "search", bm25_index, b"caf\xe9".decode(errors="surrogateescape"))
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    assert "is not valid UTF-8" in ended.stderr


def test_usage_errors(lsr: Lsr) -> None:
    assert rejected(lsr("serch")).startswith("No such command 'serch'")
    assert "Missing argument 'INDEX'; see lsr search --help" in rejected(lsr("search"))


def copy_of(index: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(index, tmp_path / "copy"))


def test_folders_without_an_index_are_refused(lsr: Lsr, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "manifest.json").write_text('{"name": "something else"}')
    for place in ("file", "foreign", "nowhere"):
        for words in (("search", tmp_path / place, "heart"), ("info", tmp_path / place)):
            assert place in rejected(lsr(*words))


def test_a_manifest_cut_short(lsr: Lsr, bm25_index: Path, tmp_path: Path) -> None:
    manifest = copy_of(bm25_index, tmp_path) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    assert "manifest.json" in rejected(lsr("search", manifest.parent, "heart"))


def test_a_newer_format(lsr: Lsr, bm25_index: Path, tmp_path: Path) -> None:
    manifest = copy_of(bm25_index, tmp_path) / "manifest.json"
    record = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**record, "format_version": record["format_version"] + 2}))
    assert "upgrade lsr" in rejected(lsr("search", manifest.parent, "heart"))


def test_every_file_of_an_index_cut_short_or_missing(lsr: Lsr, bm25_index: Path, tmp_path: Path) -> None:
    index = copy_of(bm25_index, tmp_path)
    files = {path.relative_to(index).as_posix() for path in index.rglob("*") if path.is_file()}
    assert {name.partition("-")[0] for name in files} == {
        "encoder",
        "generation",
        "manifest.json",
        "segment",
        "vocabulary",
    }
    for name in files:
        whole = (index / name).read_bytes()
        (index / name).write_bytes(whole[: len(whole) // 2])
        assert name in rejected(lsr("search", index, "heart"))
        (index / name).unlink()
        assert name in rejected(lsr("search", index, "heart"))
        (index / name).write_bytes(whole)
    assert lsr("search", index, "heart").status == 0


def test_changed_bytes_are_found_by_verify(lsr: Lsr, bm25_index: Path, tmp_path: Path) -> None:
    index = copy_of(bm25_index, tmp_path)
    path = index / "segment-000001" / "texts.text.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert lsr("info", index).status == 0
    assert "texts.text.npy: its checksum" in rejected(lsr("info", index, "--verify"))


def test_broken_runs_and_qrels(lsr: Lsr, library: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("1 Q0 d 1 high lsr\n")
    assert "run:1: the score is 'high'" in rejected(lsr("evaluate", tmp_path / "run", library))
    (tmp_path / "run").write_text("1 Q0 17 1 1.0 lsr\n")
    (tmp_path / "qrels").write_text("1 0 17 yes\n")
    assert "qrels:1: the grade is 'yes'" in rejected(lsr("evaluate", tmp_path / "run", tmp_path / "qrels"))
    (tmp_path / "qrels").write_text("elsewhere 0 17 1\n")
    assert "no query in common" in rejected(lsr("evaluate", tmp_path / "run", tmp_path / "qrels"))
    assert "'nDCG@ten'" in rejected(lsr("evaluate", tmp_path / "run", library, "--measures", "nDCG@ten"))
    for words in (("--run", tmp_path / "again"), ("--exact",), ("-k", 10), ("--interpolate", "after")):
        assert "search options need an index" in rejected(lsr("evaluate", tmp_path / "run", library, *words))


@pytest.mark.parametrize("place", ["file/index", "/proc/index"])
@pytest.mark.parametrize("command", ["index", "encode"])
def test_a_place_that_cannot_be_written(lsr: Lsr, small: Path, tmp_path: Path, command: str, place: str) -> None:
    (tmp_path / "file").write_text("")
    assert place in rejected(lsr(command, small, tmp_path / place, "--encoder", "bm25"))


@pytest.mark.parametrize("place", ["file/run", "/proc/run"])
def test_a_run_that_cannot_be_written(lsr: Lsr, library: Path, bm25_index: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    assert place in rejected(lsr("run", bm25_index, library, tmp_path / place))


@pytest.mark.parametrize("command", ["index", "encode"])
@pytest.mark.parametrize("name", ["notes.txt", "manifest.json", "vectors.txt"])
def test_foreign_folders_are_not_replaced(lsr: Lsr, small: Path, tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text('{"precious": true}')
    rejected(lsr(command, small, tmp_path / "mine", "--encoder", "bm25"))
    assert [path.name for path in tmp_path.iterdir() if path.name != "small"] == ["mine"]
    assert (tmp_path / "mine" / name).read_text() == '{"precious": true}'


def test_an_index_is_replaced_and_so_is_a_damaged_one(lsr: Lsr, small: Path, bm25_index: Path, tmp_path: Path) -> None:
    index = copy_of(bm25_index, tmp_path)
    assert lsr("index", small, index, "--encoder", "bm25").status == 0
    assert lsr("info", index, "--json").json["documents"] == 2
    (index / "manifest.json").write_bytes((index / "manifest.json").read_bytes()[:50])
    assert lsr("index", small, index, "--encoder", "bm25").status == 0
    assert lsr("info", index, "--json", "--verify").json["documents"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "small"]


@pytest.mark.parametrize("limit", [2_000, 9_000, 30_000])
def test_a_full_disk_leaves_the_old_index(
    library_indexes: Callable[[str], Path], lsr: Lsr, library: Path, tmp_path: Path, limit: int
) -> None:
    index = copy_of(library_indexes("bm25"), tmp_path)
    before = {path: path.read_bytes() for path in index.rglob("*") if path.is_file()}
    code = FULL_DISK.format(limit=limit) + MAIN
    ended = run_python(code, "index", library, index, "--encoder", "bm25")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    assert "cannot be written" in ended.stderr
    assert {path: path.read_bytes() for path in index.rglob("*") if path.is_file()} == before
    assert lsr("index", library, index, "--encoder", "bm25").status == 0  # with room again, it goes on
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]


def test_a_full_disk_while_a_run_is_written(bm25_index: Path, library: Path, tmp_path: Path) -> None:
    code = FULL_DISK.format(limit=1000) + MAIN
    ended = run_python(code, "run", bm25_index, library, tmp_path / "run.trec")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    assert "run.trec: cannot be written" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_paths_are_checked_before_models_are_loaded(
    lsr: Lsr, small: Path, bm25_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*arguments: object, **options: object) -> None:
        raise AssertionError("loaded")

    # This first: it imports modules, which must not find what takes the place of the others.
    monkeypatch.setattr("lsr.training.start.open_teachers", load)
    monkeypatch.setattr("lsr.retrieval.searcher.Searcher.open", load)
    monkeypatch.setattr("lsr.encoders.load.load_encoder", load)
    monkeypatch.setattr("lsr.encoders.dense.dense_encoder.load_dense_encoder", load)
    (tmp_path / "file").write_text("")
    (tmp_path / "v.jsonl").write_text('{"id": "a", "vector": {"the": 1}}\n')
    for words in (
        ("encode", small, tmp_path / "file" / "v.npz", "--encoder", "tiny"),
        ("encode", small, tmp_path / "v.npz", "--encoder", "tiny", "--queries", "--split", "dev"),
        ("run", bm25_index, small, tmp_path / "file" / "run"),
        ("run", bm25_index, small, tmp_path),
        ("evaluate", bm25_index, small, "--run", tmp_path / "file" / "run"),
        ("mine", bm25_index, small, tmp_path / "file" / "m.jsonl", "--split", "test"),
        ("mine", bm25_index, tmp_path / "gone", tmp_path / "m.jsonl", "--dense-teacher", "minilm"),
        ("index", small, tmp_path / "file", "--encoder", "tiny"),
        ("index", tmp_path / "v.jsonl", tmp_path / "i", "--encoder", "tiny", "--dense", "minilm"),
        ("index", small, tmp_path / "i", "--encoder", "tiny", "--dense", "minilm", "--memory", "lots"),
        ("index", tmp_path / "gone", tmp_path / "i", "--encoder", "tiny", "--dense", "minilm"),
        ("index", small, tmp_path / "i", "--dense", "minilm"),
        ("search", bm25_index, "heart", "--query-cut", 0),
        ("search", bm25_index, "heart", "--only", tmp_path / "gone"),
    ):
        assert "loaded" not in rejected(lsr(*words))
