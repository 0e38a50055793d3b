"""One thing given in place of another, and files that Git left as pointers: the line says what is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from lsr.encoders.folders.find import content_digest, find_checkpoint
from tests.cli.commands import Lsr, rejected

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 91\n"
TOLD = "is a Git LFS pointer, not the file itself; run git lfs pull"


@pytest.fixture
def vectors(lsr: Lsr, library: Path, tmp_path: Path) -> Path:
    assert lsr("encode", library, tmp_path / "v", "--encoder", "bm25").status == 0
    return tmp_path / "v"


def test_other_paths_in_place_of_an_index(lsr: Lsr, library: Path, vectors: Path) -> None:
    message = rejected(lsr("search", library, "tides"))
    assert f"a collection: build an index of it, lsr index {library} INDEX --encoder NAME, and give that" in message
    message = rejected(lsr("info", vectors))
    assert f"a folder of vectors: build an index of it, lsr index {vectors} INDEX, and give that" in message
    assert "corpus.jsonl: is a file of texts, not an index" in rejected(lsr("why", library / "corpus.jsonl", "a", "1"))


def test_other_paths_in_place_of_a_collection(
    lsr: Lsr, bm25_index: Path, library: Path, vectors: Path, tmp_path: Path
) -> None:
    test, run = library / "qrels" / "test.tsv", tmp_path / "a.run"
    assert lsr("run", bm25_index, library, run, "-k", 2).status == 0
    for words, said in (
        (("evaluate", bm25_index, test), f"is a file of judgments, without texts; give the collection .* {library}$"),
        (("evaluate", bm25_index, run), "a.run: is a run, without texts; give a BEIR folder"),
        (("run", bm25_index, test, run), "test.tsv: is a file of judgments; expected lines of id, tab and text"),
        (("evaluate", bm25_index, bm25_index), "is an index, not a collection; give"),
        (("run", bm25_index, vectors / "encoder", run), "is an encoder, not a collection; give"),
        (
            ("index", tmp_path, tmp_path / "i", "--encoder", "tiny"),
            "has no documents ",
        ),
    ):
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(rejected(lsr(*words)))


def test_a_stream_where_a_folder_is_written(lsr: Lsr, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(library)
    for output in ("-", "/dev/stdout"):
        for words in (("index", library, output, "--encoder", "bm25"), ("new", output)):
            assert f"{output}: is a stream, but a folder will be written" in rejected(lsr(*words))
    assert not (library / "-").exists()


def test_an_unfitted_encoder_made_no_vectors(lsr: Lsr, vectors: Path, tmp_path: Path) -> None:
    message = rejected(lsr("index", vectors, tmp_path / "i", "--encoder", "bm25"))
    assert "holds vectors, but 'bm25' is not fitted, so it cannot be their encoder; remove the encoder" in message


def test_a_models_folder_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert content_digest("model") == content_digest("~/model") == content_digest(str(tmp_path / "model"))


def test_texts_that_have_vectors_beside_them_are_texts(lsr: Lsr, tmp_path: Path) -> None:
    for vector in ("[0.5]", '{"tides": 0.5}'):
        (tmp_path / "corpus.jsonl").write_text(f'{{"_id": "d", "vector": {vector}, "text": "tides"}}\n')
        for source in (tmp_path, tmp_path / "corpus.jsonl"):
            assert lsr("index", source, tmp_path / "i", "--encoder", "bm25").status == 0


def test_other_paths_in_place_of_runs_judgments_and_encoders(
    lsr: Lsr, bm25_index: Path, library: Path, tmp_path: Path
) -> None:
    test, queries, run = library / "qrels" / "test.tsv", library / "queries.jsonl", tmp_path / "a.run"
    assert lsr("run", bm25_index, library, run, "-k", 2).status == 0
    assert "as it is a file of judgments; a TREC run has 6" in rejected(lsr("evaluate", test, test))
    assert "as it is a file of texts; qrels have 4" in rejected(lsr("evaluate", run, queries))
    assert "as it is a run; qrels have 4" in rejected(lsr("compare", run, run, "--qrels", run))
    assert "is a collection, not a file" in rejected(lsr("compare", library, run, "--qrels", test))
    message = rejected(lsr("index", library, tmp_path / "i", "--encoder", bm25_index))
    assert f"an index, with its encoder in {bm25_index}/encoder" in message
    message = rejected(lsr("index", library, tmp_path / "i", "--encoder", run))
    assert "a.run: is a run, not the folder of an encoder" in message


def test_files_that_are_no_collection_are_told_before_a_model_is_loaded(lsr: Lsr, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.rst").write_text("Tides\n")
    (tmp_path / "faq.csv").write_text("id,answer\n1,tides\n")
    (tmp_path / "faq.jsonl").write_text('{"answer": "tides"}\n')
    for name, said in (
        ("docs", "docs: has no documents "),
        ("faq.csv", "faq.csv: no column has a usual name of texts"),
        ("faq.jsonl", "faq.jsonl:1: no column has a usual name of texts"),
    ):
        message = rejected(lsr("index", tmp_path / name, tmp_path / "i", "--encoder", "./no-such-model"))
        assert said in message


def test_pointers_of_git_lfs(lsr: Lsr, bm25_index: Path, library: Path, vectors: Path, tmp_path: Path) -> None:
    collection, index, model, run = tmp_path / "c", tmp_path / "i", tmp_path / "model", tmp_path / "a.run"
    shutil.copytree(library, collection)
    shutil.copytree(bm25_index, index)
    shutil.copytree(find_checkpoint("tiny").folder, model)
    commands = {
        collection / "corpus.jsonl": ("index", collection, tmp_path / "j", "--encoder", "bm25"),
        collection / "queries.jsonl": ("run", bm25_index, collection, run),
        collection / "qrels" / "test.tsv": ("evaluate", bm25_index, collection),
        index / "segment-000001" / "components.npy": ("search", index, "tides"),
        index / "manifest.json": ("search", index, "tides"),
        vectors / "part-00000.parquet": ("index", vectors, tmp_path / "j"),
        vectors / "vectors.json": ("index", vectors, tmp_path / "j"),
        tmp_path / "v.npz": ("index", tmp_path / "v.npz", tmp_path / "j"),
        tmp_path / "v.jsonl": ("index", tmp_path / "v.jsonl", tmp_path / "j"),
        tmp_path / "idf.json": ("build", "opensearch-doc-v1", model, tmp_path / "m", "--idf", tmp_path / "idf.json"),
        model / "model.safetensors": ("inspect", model, "tides"),
        model / "tokenizer.json": ("inspect", model, "tides"),
        model / "config.json": ("inspect", model, "tides"),
    }
    for path, words in commands.items():
        before = path.read_bytes() if path.exists() else None
        path.write_text(POINTER)
        message = rejected(lsr(*words))
        assert f"{path.name}: {TOLD}" in message, message
        if before is not None:
            path.write_bytes(before)


def test_hidden_files_are_no_part_of_a_model(tmp_path: Path) -> None:
    shutil.copytree(find_checkpoint("tiny").folder, tmp_path / "model")
    digest = content_digest(str(tmp_path / "model"))
    for name in (".DS_Store", "._config.json"):
        (tmp_path / "model" / name).write_bytes(b"\x00")
    assert content_digest(str(tmp_path / "model")) == digest


def test_other_paths_in_place_of_a_file_of_ids(
    lsr: Lsr, bm25_index: Path, library: Path, vectors: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.run").write_text("1 Q0 55 1 6.5 lsr\n")
    (tmp_path / "e.toml").write_text("# of a shelf\n[encoder]\n")
    for file, kind in (
        (library / "corpus.jsonl", "a file of texts"),
        (library / "qrels" / "test.tsv", "a file of judgments"),
        (tmp_path / "a.run", "a run"),
        (tmp_path / "e.toml", "a TOML file"),
        (vectors / "part-00000.parquet", "a Parquet file"),
    ):
        said = f"--only {file}: expected a file of document ids, found {kind}"
        assert said in rejected(lsr("search", bm25_index, "tides", "--only", file))


def test_an_encoder_given_as_an_index(lsr: Lsr, vectors: Path) -> None:
    assert "an encoder: give the folder of an index that was built with it" in rejected(
        lsr("search", vectors / "encoder", "tides")
    )


def test_an_encoding_that_was_killed_before_its_first_part(lsr: Lsr, vectors: Path, tmp_path: Path) -> None:
    (tmp_path / "k").mkdir()
    shutil.copy(vectors / "vocabulary.json", tmp_path / "k")
    (tmp_path / "k" / ".part-00000.parquet.tmp-0").touch()
    message = rejected(lsr("index", tmp_path / "k", tmp_path / "i"))
    assert "the encoding is not finished; run the same lsr encode command again to resume" in message


def test_a_binary_file_where_text_is_read(lsr: Lsr, library: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.ones((2, 2), np.float32))
    np.savez(tmp_path / "v.npz", a=np.ones(2000))
    (tmp_path / "a.run").write_text("1 Q0 55 1 6.5 lsr\n")
    for words, said in (
        (("index", tmp_path / "d.npy", tmp_path / "i", "--encoder", "bm25"), "d.npy: is a NumPy array, not text"),
        (("evaluate", tmp_path / "a.run", tmp_path / "v.npz"), "v.npz: is a file of vectors, not text"),
    ):
        assert said in rejected(lsr(*words))
