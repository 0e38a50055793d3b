"""The demonstration from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lsr.cli.main import main
from lsr.demo import demonstration, run_demo
from lsr.demo import stdlib_index as demo_index
from lsr.demo.demonstration import SHOWN
from lsr.demo.questions import load_questions
from lsr.demo.stdlib import StandardLibrary
from lsr.errors import EncoderError, ParameterError, StorageError
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.searcher import Searcher
from tests.made_vectors import short_documents

# tests/install/demo_figures.py looks at the figures over all documents. Over these, on Python 3.11: tiny 0.364, bm25
# 0.350. Ten documents drawn at random would give nearly 0.
FLOOR = 0.3


class SomeOfIt(StandardLibrary):
    """The answers to the judged questions, and of all documents every fifth."""

    def __init__(self) -> None:
        super().__init__()
        answers = {answer for question in load_questions() for answer in question.answers}
        chosen = [each for row, each in enumerate(self._documents) if row % 5 == 0 or each.doc_id in answers]
        self._documents, self.count = chosen, len(chosen)


@pytest.fixture(scope="module")
def some_of_it() -> SomeOfIt:
    return SomeOfIt()


@pytest.fixture
def _of_some(some_of_it: SomeOfIt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstration, "StandardLibrary", lambda: some_of_it)


@pytest.mark.slow
@pytest.mark.usefixtures("_of_some")
def test_the_index_is_reused_shown_and_open_to_other_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "index"
    first = run_demo(index=folder, show=False)
    assert first.questions >= 60
    assert first.built.documents_per_second > 0
    assert list(first.scores) == ["tiny", "bm25"]
    for encoder, ways in first.scores.items():
        assert min(way["nDCG@10"] for way in ways.values()) > FLOOR, encoder
        assert ways["exact"]["RR@10"] > 0
        assert ways["exact"]["microseconds"] > 0
    built = (folder / "demo.json").read_bytes()

    def build(*_: object, **__: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(demo_index, "build_index", build)
    main(["demo", "-k", "2", "--index", str(folder)])
    out = capsys.readouterr().out
    header = next(line for line in out.splitlines() if line.startswith("encoder"))
    assert header.split() == ["encoder", "search", "nDCG@10", "RR@10", "R@10", "µs", "per", "search"]
    assert all(out.count(question) == 1 for question in SHOWN)
    assert out.count("✓") >= 6, out  # of 8
    assert (folder / "demo.json").read_bytes() == built
    main(["demo", "--index", str(folder), "--json"])
    figures = json.loads(capsys.readouterr().out)
    assert figures["questions"] == first.questions and figures["built"] == json.loads(built)
    for encoder, ways in first.scores.items():
        assert figures["scores"][encoder]["exact"]["nDCG@10"] == ways["exact"]["nDCG@10"]
    [hit] = Searcher.open(folder).search("turn an object into a JSON string", k=1)
    assert hit.text
    assert hit.doc_id in hit.text


@pytest.mark.usefixtures("_of_some")
def test_an_index_of_another_library_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = run_demo(encoder="bm25", show=False)
    assert list(first.scores) == ["bm25"]
    record = tmp_path / "lsr-demo" / "demo.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "collection": "python-0"}))
    again = run_demo(encoder="bm25", show=False)
    assert again.built.collection == first.built.collection
    assert json.loads(record.read_text())["collection"] == first.built.collection
    assert [path.name for path in tmp_path.iterdir()] == ["lsr-demo"]


@pytest.mark.usefixtures("_of_some")
def test_bad_input_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="k is 0"):
        run_demo(k=0, index=tmp_path / "index")
    with pytest.raises(EncoderError):
        run_demo(encoder=str(tmp_path / "no-encoder"), index=tmp_path / "index")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(StorageError, match="did not write"):
        run_demo(encoder="bm25", index=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    (tmp_path / "letter.txt").unlink()
    SeismicIndex.build(short_documents(20)).save(tmp_path / "mine")
    with pytest.raises(StorageError, match="is another index"):
        run_demo(encoder="bm25", index=tmp_path / "mine")
    assert len(SeismicIndex.open(tmp_path / "mine")) == 20
