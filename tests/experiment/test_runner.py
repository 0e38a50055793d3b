"""Experiments that run: against the commands they stand for, killed and gone on with, tuned, on suites offline."""

from __future__ import annotations

import csv
import json
import platform
import re
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.collections.collection import load_collection
from lsr.collections.runs import read_qrels, read_run
from lsr.errors import CollectionError, StorageError
from lsr.eval.measures import evaluate
from lsr.eval.plots import plot_differences
from lsr.eval.significance import compare, holm, paired_t_test
from lsr.experiment import Experiment, experiment_report, read_experiment, references, run_experiment
from lsr.experiment import measure as measuring
from lsr.experiment.indexes import digest
from lsr.experiment.methods import methods
from lsr.index.parameters import SearchParams
from lsr.retrieval.dense_side import Dense
from lsr.retrieval.searcher import Searcher
from tests.data import FIXTURES, LIBRARY, NEWS, data_path
from tests.processes import run_python, start_python

TIMES = ("encode µs", "search µs")

SYSTEMS = """
[systems.bm25]
encoder = "bm25"
[systems.cut]
encoder = "bm25"
feedback = "rocchio"
feedback_terms = 5
"""

MODELS = """
[systems.minilm]
encoder = "bm25"
dense = { name = "minilm", max_length = 32 }
side = "dense"
[systems.both]
encoder = "bm25"
dense = { name = "minilm", max_length = 32 }
feedback = "rocchio"
interpolate = "both"
weight = 0.4
[systems.graph]
encoder = "tiny"
dense = { name = "minilm", max_length = 32, kind = "hnsw", metric = "cosine" }
interpolate = "after"
"""


def describe(path: Path, collections: list[str], systems: str = SYSTEMS, more: str = "") -> Path:
    path.write_text(f"collections = {json.dumps(collections)}\n{more}\n{systems}", encoding="utf-8")
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def without_times(folder: Path) -> list[dict[str, str]]:
    rows = read_csv(folder / "tables" / "results.csv")
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def empty_plot(*arguments: Any, **_: Any) -> None:
    for path in arguments[-3:]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """library and news, with models, run once. Plots are empty: tests/eval/test_plots.py looks at what they show."""
    folder = tmp_path_factory.mktemp("finished")
    path = describe(folder / "experiment.toml", ["library", "news"], SYSTEMS + MODELS)
    with pytest.MonkeyPatch.context() as context:
        for name in ("plot_against_latency", "plot_differences"):
            context.setattr(experiment_report, name, empty_plot)
        run_experiment(read_experiment(path), folder / "out", offline_data=FIXTURES, threads=2)
    return folder / "out"


def test_figures_are_those_of_the_runs(finished: Path) -> None:
    rows = read_csv(finished / "tables" / "results.csv")
    assert [(row["collection"], row["system"]) for row in rows] == [
        (collection, system)
        for collection in ("library", "news")
        for system in ("bm25", "cut", "minilm", "both", "graph")
    ]
    for row in rows:
        run = read_run(finished / "runs" / row["collection"] / f"{row['system']}.run.gz")
        qrels = read_qrels(FIXTURES / row["collection"] / "qrels" / "test.tsv")
        for measure, value in evaluate(qrels, run).items():
            assert float(row[measure]) == pytest.approx(value, abs=1e-9)
        assert 0.9 < float(row["recall@10 of exact"]) <= 1
        assert float(row["MB"]) > 0 and float(row["search µs"]) > 0


@pytest.mark.usefixtures("unplotted")
def test_recall_and_bytes_are_those_of_the_indexes(tmp_path: Path) -> None:
    graph = '{ name = "minilm", max_length = 32, kind = "hnsw", neighbors = 2, ef_construction = 1, ef_search = 1 }'
    systems = f'[systems.graph]\nencoder = "bm25"\ndense = {graph}\nside = "dense"\n'
    path = describe(tmp_path / "experiment.toml", ["library"], systems)
    [result] = run_experiment(read_experiment(path), tmp_path / "out", offline_data=FIXTURES)
    [sparse] = (tmp_path / "out" / "indexes").glob("*.bm25")
    [dense] = (tmp_path / "out" / "indexes").glob("*.dense.*")
    bm25 = Searcher.open(sparse)
    searcher = Searcher(bm25.index, bm25.encoder, dense=Dense.open(dense))
    queries = load_collection(LIBRARY).queries()
    found, exact = (searcher.run(queries, 10, SearchParams(exact=each), side="dense") for each in (False, True))
    share = sum(len(found[query].keys() & exact[query].keys()) for query in queries) / (10 * len(queries))
    assert share < 0.95
    assert result.figures.recall_of_exact == pytest.approx(share)
    assert searcher.dense is not None
    assert result.figures.bytes == sum(searcher.dense.index.nbytes.values())


@pytest.mark.usefixtures("unplotted")
def test_a_result_never_stands_beside_the_run_of_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(terms: int) -> Experiment:
        systems = f'[systems.cut]\nencoder = "bm25"\nfeedback = "rocchio"\nfeedback_terms = {terms}\n'
        return read_experiment(describe(tmp_path / "experiment.toml", ["news"], systems))

    out = tmp_path / "out"
    run_experiment(write(5), out, offline_data=FIXTURES)
    first = read_run(out / "runs" / "news" / "cut.run.gz")
    with monkeypatch.context() as context:
        context.setattr(measuring, "_microseconds", lambda *_: 1 / 0)  # killed when the run has been written
        with pytest.raises(ZeroDivisionError):
            run_experiment(write(50), out, offline_data=FIXTURES)
    assert read_run(out / "runs" / "news" / "cut.run.gz") != first
    run_experiment(write(5), out, offline_data=FIXTURES)
    assert read_run(out / "runs" / "news" / "cut.run.gz") == first


def test_the_report_says_what_made_the_results(finished: Path) -> None:
    text = (finished / "report.md").read_text()
    assert (finished / "tables" / "results.md").read_text() in text
    assert text.count("## Made with\n") == 1
    for fact in (
        f"- numpy: {np.__version__}",
        f"- Python: {platform.python_version()}",
        "- processor: ",
        "- threads: ",
    ):
        assert fact in text
    assert f"- date: {datetime.now(UTC):%Y-}" in text
    assert text.count("@software{lsr,") == 1
    stored = json.loads(next((finished / "results" / "news").iterdir()).read_text())
    assert all(f"- {name}: {value}\n" in text for name, value in stored["made_with"].items() if name != "date")


def test_the_methods_section_tells_what_was_done_and_cites_what_refs_bib_has(finished: Path) -> None:
    text, latex = (finished / "methods.md").read_text(), (finished / "methods.tex").read_text()
    entries = re.findall(r"^@\w+\{(\w+),$", (finished / "refs.bib").read_text(), re.MULTILINE)
    cited = set(re.findall(r"@([a-z]\w*)", text))
    assert len(entries) == len(set(entries)) and set(entries) == cited
    expected = {"lsr", "robertson2009", "formal2021", "reimers2019", "wang2020", "rocchio1971", "li2022", "malkov2020"}
    assert expected | {"jarvelin2002", "smucker2007", "holm1979", "macavaney2022"} <= cited
    assert {key for keys in re.findall(r"~\\cite\{([\w,]+)\}", latex) for key in keys.split(",")} == cited
    stored = json.loads(next((finished / "results" / "news").iterdir()).read_text())["made_with"]
    for said in (
        "on 2 collections: library and news.",
        "We compare 5 systems.",
        "cut uses the encoder bm25 [@robertson2009], searched with feedback rocchio and feedback_terms 5 [@",
        "the encoder minilm (max_length 32, kind hnsw and metric cosine)",
        "nDCG@10 [@jarvelin2002], RR@10 [@kantor2000], AP, R@100 and R@1000, computed with ir_measures",
        "compare each system with bm25 by two-sided paired t-tests",
        f"lsr {stored['lsr-engine']}",
        f"numpy {np.__version__}",
        f"Python {platform.python_version()}",
        stored["processor"],
        "we used 2 threads",
        f"{datetime.now(UTC):%Y-}",
    ):
        assert said in text
        assert said.split(" [@")[0].replace("_", r"\_").replace("<", r"\textless{}") in latex
    assert ("commit" in stored) == ("(commit " in text)
    assert text.count("We ran lsr") == 1
    braces = re.sub(r"\\[{}]", "", (finished / "refs.bib").read_text())
    assert braces.count("{") == braces.count("}")


def test_every_reference_is_whole_and_can_be_chosen() -> None:
    text = files("lsr.experiment").joinpath("references.bib").read_text(encoding="utf-8")
    source = Path(references.__file__).read_text()
    entries = re.findall(r"^@\w+\{(\w+),\n(.*?)^\}$", text, re.MULTILINE | re.DOTALL)
    assert len(entries) == text.count("@") > 25
    for key, fields in entries:
        assert {"title", "author", "year"} <= set(re.findall(r"^  (\w+) = \{.*\},?$", fields, re.MULTILINE)), key
        assert f'"{key}"' in source
    assert {*re.findall(r'"([a-z]+\d{4}\w*)"', source)} == {key for key, _ in entries}
    for name, key in (
        ("naver/splade-v3-distilbert", "lassance2024"),
        ("naver/splade-cocondenser-ensembledistil", "formal2022"),
        ("opensearch-project/opensearch-neural-sparse-encoding-doc-v2-distill", "geng2024"),
        ("opensearch-project/opensearch-neural-sparse-encoding-doc-v3-distill", "shen2025"),
    ):
        assert references.of_encoder(name) == (key,)
    assert references.of_encoder("my/model") == ()
    assert references.of_collection("dl19", "dl") == ("bajaj2016", "craswell2020")
    assert references.of_collection("mine", "data/scifact/") == ("thakur2021", "wadden2020")
    assert references.of_collection("fiqa", "beir/fiqa") == ("thakur2021",)


def test_the_methods_section_tells_what_was_chosen(tmp_path: Path) -> None:
    path = tuned(tmp_path, f'{{ path = "{NEWS}", tune = "dev", relevant = 2 }}')
    chosen = {"on": "dev", "settings": {"feedback": "rocchio", "feedback_terms": 3, "beta": 0.5}}
    text = methods(
        read_experiment(path), [{"numpy": "1"}, {"numpy": "2"}, {"numpy": "1"}], {("news", "tuned"): chosen}, 0.05
    )
    assert "For tuned we chose feedback_terms from [1, 3] and beta from [0.0, 0.5], by nDCG@10 on a split" in text
    assert "On news (dev) the choice was feedback_terms 3 and beta 0.5." in text
    assert "news (grades below 2 count as not relevant)" in text
    assert "t-test" not in text  # there is one system
    assert text.count("We ran lsr") == 2 and "numpy 1" in text and "numpy 2" in text


@pytest.mark.usefixtures("unplotted")
def test_results_of_another_machine_are_told_apart(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "out"))
    path = folder / "results" / "news" / "cut.json"
    content = json.loads(path.read_text())
    content["made_with"]["processor"] = "another one"
    del content["digest"]
    key = content.pop("key")
    path.write_text(json.dumps({"key": key, "digest": digest(content), **content}))
    described = describe(tmp_path / "experiment.toml", ["library", "news"], SYSTEMS + MODELS)
    run_experiment(read_experiment(described), folder, offline_data=FIXTURES, threads=2)
    text = (folder / "report.md").read_text()
    assert "## Made with: cut on news\n" in text and text.count("## Made with: ") == 2


def test_outdated_reports_are_removed(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    for place in ("tables/notes.md", "plots/library/mine.svg", "plots/mine/mine.svg"):
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_text("mine")
    path = describe(tmp_path / "experiment.toml", ["news"], SYSTEMS, 'measures = ["nDCG@10"]')
    run_experiment(read_experiment(path), folder, offline_data=FIXTURES)
    assert not (folder / "tables" / "ap.md").exists()
    assert (folder / "tables" / "notes.md").exists()
    assert sorted(each.name for each in (folder / "plots").iterdir()) == ["library", "mine", "news"]
    assert [each.name for each in (folder / "plots" / "library").iterdir()] == ["mine.svg"]
    assert not (folder / "plots" / "news" / "difference-both.svg").exists()


def test_runs_are_those_of_the_command_line(finished: Path, tmp_path: Path, lsr) -> None:
    index = tmp_path / "index"
    assert lsr("index", LIBRARY, index, "--encoder", "bm25", "--dense", "minilm", "--max-length", 32).status == 0
    flags = ("--feedback", "rocchio", "--interpolate", "both", "--weight", "0.4")
    assert lsr("run", index, LIBRARY, tmp_path / "both.run", *flags).status == 0
    ours, theirs = read_run(tmp_path / "both.run"), read_run(finished / "runs" / "library" / "both.run.gz")
    assert ours.keys() == theirs.keys()
    for query, ranking in ours.items():
        assert list(ranking)[:20] == list(theirs[query])[:20]
        assert ranking == pytest.approx(theirs[query], abs=1e-4)


def test_tests_are_paired_t_tests_with_holms_correction(finished: Path) -> None:
    qrels = read_qrels(NEWS / "qrels" / "test.tsv")
    rows = [
        row
        for row in read_csv(finished / "tables" / "tests.csv")
        if row["collection"] == "news" and row["measure"] == "nDCG@10"
    ]
    assert [row["system"] for row in rows] == ["cut", "minilm", "both", "graph"]
    from lsr.eval.measures import evaluate_queries

    values = {
        system: evaluate_queries(qrels, read_run(finished / "runs" / "news" / f"{system}.run.gz"), ["nDCG@10"])
        for system in ("bm25", "cut", "minilm", "both", "graph")
    }
    expected = [compare(values["bm25"], values[row["system"]])[0] for row in rows]
    assert [float(row["p_value"]) for row in rows] == pytest.approx([each.p_value for each in expected], abs=1e-9)
    corrected = holm([each.p_value for each in expected])
    assert [float(row["corrected"]) for row in rows] == pytest.approx(corrected.tolist(), abs=1e-9)
    shown = (finished / "tables" / "ndcg-10.md").read_text(encoding="utf-8")
    line = next(line for line in shown.splitlines() if line.startswith("| news"))
    for row, cell in zip(rows, line.strip("| ").split(" | ")[2:], strict=True):
        significant = float(row["corrected"]) < 0.05
        assert significant == ("▲" in cell or "▼" in cell)
        assert not significant or ("▲" in cell) == (float(row["difference"]) > 0)


def test_tables_and_plots_are_all_there(finished: Path) -> None:
    names = {path.name for path in (finished / "tables").iterdir()}
    for stem in ("results", "ndcg-10", "rr-10", "ap", "r-100", "r-1000"):
        assert {f"{stem}.md", f"{stem}.csv", f"{stem}.tex"} <= names
    for collection in ("library", "news"):
        plots = {path.name for path in (finished / "plots" / collection).iterdir()}
        drawn = ["ndcg-10", "r-1000", "recall", "ndcg-10-with-encoding", "r-1000-with-encoding"]
        drawn += [f"difference-{name}" for name in ("cut", "minilm", "both", "graph")]
        assert plots == {f"{name}.{suffix}" for name in drawn for suffix in ("svg", "pdf", "png")}
    latex = (finished / "tables" / "results.tex").read_text()
    assert r"\label{tab:experiment-results}" in latex and "nnz" not in latex and "search" in latex
    mean = next(row for row in read_csv(finished / "tables" / "ap.csv") if row["collection"] == "mean")
    both = [float(row["AP"]) for row in read_csv(finished / "tables" / "results.csv") if row["system"] == "both"]
    assert float(mean["both"]) == pytest.approx(sum(both) / 2)


@pytest.mark.usefixtures("unplotted")
def test_finished_results_are_reused(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    path = describe(tmp_path / "experiment.toml", ["library", "news"], SYSTEMS + MODELS)
    run_experiment(read_experiment(path), folder, offline_data=FIXTURES)
    assert without_times(folder) == without_times(finished)
    assert (folder / "tables" / "results.csv").read_bytes() == (finished / "tables" / "results.csv").read_bytes()
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    assert {path.name for path in after if after[path] != before[path]} == {"experiment.json", "report.json"}


@pytest.mark.usefixtures("unplotted")
def test_a_changed_system_is_run_again_and_no_other(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    changed = SYSTEMS.replace("feedback_terms = 5", "feedback_terms = 20")
    path = describe(tmp_path / "experiment.toml", ["library", "news"], changed + MODELS)
    run_experiment(read_experiment(path), folder, offline_data=FIXTURES)
    done = {path for path in folder.rglob("*.json") if before[path] != path.stat().st_mtime_ns}
    assert {path.name for path in done} == {"experiment.json", "report.json", "cut.json"}
    assert without_times(folder) != without_times(finished)


def without_figures(content: bytes) -> bytes:
    changed = json.loads(content)
    changed["figures"]["per_query"] = None
    return json.dumps(changed).encode()


@pytest.mark.usefixtures("unplotted")
@pytest.mark.parametrize(
    ("place", "damage"),
    [
        *(
            ("results/library/bm25.json", lambda _, content=content: content)
            for content in (b"", b"{}", b'{"key": 3}', b"\xff\xfe", b"[]", b"null")
        ),
        ("results/library/bm25.json", without_figures),
        ("runs/library/bm25.run.gz", lambda content: content[:50]),
    ],
)
def test_a_damaged_result_is_made_again(
    finished: Path, tmp_path: Path, place: str, damage: Callable[[bytes], bytes]
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    (folder / place).write_bytes(damage((folder / place).read_bytes()))
    path = describe(tmp_path / "experiment.toml", ["library", "news"], SYSTEMS + MODELS)
    run_experiment(read_experiment(path), folder, offline_data=FIXTURES)
    assert without_times(folder) == without_times(finished)
    assert read_run(folder / "runs/library/bm25.run.gz") == read_run(finished / "runs/library/bm25.run.gz")


COMMAND = """
import sys
from pathlib import Path
from lsr.experiment import read_experiment, run_experiment
run_experiment(read_experiment(sys.argv[1]), sys.argv[2], offline_data=Path(sys.argv[3]), threads=1)
"""


FOR_EVER = """
import time
from lsr.experiment import measure
measure._microseconds = lambda *_: time.sleep(600)
"""

# An experiment that nothing stops, and one in forked children, each of which is killed when it has got a little further
# than the one before.
KILLS = """
import os, signal, sys, time
from pathlib import Path
from lsr.collections.runs import read_run
from lsr.experiment import experiment_report, read_experiment, run_experiment

experiment_report._plot = lambda *_: None
path, data, whole, killed = map(Path, sys.argv[1:])

def run(folder):
    run_experiment(read_experiment(path), folder, offline_data=data, threads=1)

def results():
    return len(list(killed.glob("results/*/*.json")))

run(whole)
kills = done = ended = 0
while not ended:
    child = os.fork()
    if not child:
        signal.alarm(60)
        run(killed)
        os._exit(0)
    while not ended and results() <= done:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.005)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
    done = results()
    for file in killed.glob("runs/*/*.run.gz"):
        read_run(file)  # whole, or not there
assert status == 0, status
print(kills)
"""


def test_killed_again_and_again_it_gives_the_same_table(tmp_path: Path) -> None:
    path = describe(tmp_path / "experiment.toml", ["library", "news"])
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    ended = run_python(KILLS, path, FIXTURES, whole, killed)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) >= 3
    assert without_times(killed) == without_times(whole)
    for name in ("tests.csv", "ndcg-10.tex", "ap.md"):
        assert (killed / "tables" / name).read_text() == (whole / "tables" / name).read_text()


def test_two_processes_do_not_run_in_one_folder(tmp_path: Path) -> None:
    path = describe(tmp_path / "experiment.toml", ["library"])
    process = start_python(FOR_EVER + COMMAND, path, tmp_path / "out", FIXTURES)
    while not (tmp_path / "out" / "experiment.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    second = run_python(COMMAND, path, tmp_path / "out", FIXTURES)
    process.kill()
    process.wait()
    assert "another writer has the lock" in second.stderr


@pytest.mark.usefixtures("unplotted")
def test_foreign_folders_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    path = describe(tmp_path / "experiment.toml", ["library"])
    with pytest.raises(StorageError, match="has no experiment"):
        run_experiment(read_experiment(path), tmp_path / "out", offline_data=FIXTURES)
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["thesis.tex"]


@pytest.mark.usefixtures("unplotted")
def test_an_unfinished_folder_of_a_killed_experiment_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".experiment.json.tmp-0123456789abcdef").touch()
    path = describe(tmp_path / "experiment.toml", ["library"], '[systems.bm25]\nencoder = "bm25"\n')
    assert len(run_experiment(read_experiment(path), tmp_path / "out", offline_data=FIXTURES)) == 1


def test_a_missing_collection_is_told_before_anything_runs(tmp_path: Path) -> None:
    path = describe(tmp_path / "experiment.toml", ["library", "no-such"])
    with pytest.raises(CollectionError, match="no-such"):
        run_experiment(read_experiment(path), tmp_path / "out", offline_data=FIXTURES)
    assert not (tmp_path / "out").exists()


# Collections of one's own.


def split_collection(folder: Path, dev: list[str], test: list[str], same_text: bool = False) -> Path:
    """A small collection whose splits are given; queries a, b, c, ... ask for documents of the same name."""
    folder.mkdir(parents=True)
    words = {"a": "apple", "b": "banana", "c": "cherry", "d": "date", "e": "elder"}
    documents = [{"_id": each, "title": "", "text": f"{word} {word} tree"} for each, word in words.items()]
    queries = [{"_id": each, "text": "apple" if same_text else word} for each, word in words.items()]
    for name, records in (("corpus.jsonl", documents), ("queries.jsonl", queries)):
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "qrels").mkdir()
    for split, ids in (("dev", dev), ("test", test)):
        (folder / "qrels" / f"{split}.tsv").write_text(
            "query-id\tcorpus-id\tscore\n" + "".join(f"{each}\t{each}\t1\n" for each in ids)
        )
    return folder


@pytest.mark.usefixtures("unplotted")
def test_changed_judgments_and_queries_are_measured_again(tmp_path: Path) -> None:
    data = split_collection(tmp_path / "fruit", ["a"], ["b", "c"])
    path = describe(tmp_path / "experiment.toml", [str(data)])

    def figure() -> float:
        run_experiment(read_experiment(path), tmp_path / "out")
        rows = read_csv(tmp_path / "out" / "tables" / "results.csv")
        return next(float(row["RR@10"]) for row in rows if row["system"] == "bm25")

    assert figure() == 1
    (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nb\tb\t1\nc\ta\t1\n")
    assert figure() == 0.5
    (data / "queries.jsonl").write_text('{"_id": "b", "text": "banana"}\n{"_id": "c", "text": "apple"}\n')
    assert figure() == 1


TUNED = """
[systems.tuned]
encoder = "bm25"
feedback = "rocchio"
tune = { feedback_terms = [1, 3], beta = [0.0, 0.5] }
"""


def tuned(folder: Path, entry: str, systems: str = TUNED) -> Path:
    (folder / "experiment.toml").write_text(f"k = 100\ncollections = [{entry}]\n{systems}", encoding="utf-8")
    return folder / "experiment.toml"


@pytest.mark.data
@pytest.mark.usefixtures("unplotted")
def test_the_best_values_on_one_split_are_used_on_the_other(tmp_path: Path) -> None:
    path = tuned(tmp_path, '{ path = "nfcorpus", split = "test", tune = "dev" }')
    result = run_experiment(read_experiment(path), tmp_path / "out", offline_data=data_path())[0]
    tried = read_csv(tmp_path / "out" / "tables" / "tuning.csv")
    assert len(tried) == 4
    best = max(tried, key=lambda row: float(row["figure"]))
    assert [row["chosen"] for row in tried].count("yes") == 1
    assert best["chosen"] == "yes" and best["tuned on"] == "dev"
    # The same by hand: each choice as a system of its own, reported on dev and on test.
    plain = "".join(
        f'[systems.t{terms}b{n}]\nencoder = "bm25"\nfeedback = "rocchio"\nfeedback_terms = {terms}\nbeta = {beta}\n'
        for terms in (1, 3)
        for n, beta in enumerate((0.0, 0.5))
    )
    by_hand = tuned(tmp_path, '{ path = "nfcorpus", split = "dev" }, { path = "nfcorpus", split = "test" }', plain)
    results = run_experiment(read_experiment(by_hand), tmp_path / "by-hand", offline_data=data_path())
    values = {(each.judged.split, each.system): each.figures.per_query["nDCG@10"] for each in results}
    # One query of dev asks what one of test asks, and is left out.
    texts = {split: load_collection(data_path("nfcorpus"), split).queries() for split in ("dev", "test")}
    kept = [query for query, text in texts["dev"].items() if text.lower() not in map(str.lower, texts["test"].values())]
    assert len(kept) < len(texts["dev"])
    systems = [system for split, system in values if split == "dev"]
    figures = [sum(values["dev", system][query] for query in kept) / len(kept) for system in systems]
    assert [float(row["figure"]) for row in tried] == pytest.approx(figures, abs=1e-9)
    chosen = systems[figures.index(max(figures))]
    assert result.figures.per_query["nDCG@10"] == pytest.approx(values["test", chosen])


@pytest.mark.parametrize(
    ("dev", "test", "same_text", "entry", "said"),
    [
        (["a", "b"], ["b", "c"], False, 'split = "test", tune = "dev"', "share 1 queries, such as 'b'"),
        (["a", "b"], ["c", "d"], False, 'tune = "test"', "two different splits"),
        (["a", "b"], ["c", "d"], True, 'split = "test", tune = "dev"', "have the same query texts"),
    ],
)
def test_the_tuner_refuses_to_report_on_what_it_tuned_on(
    tmp_path: Path, dev: list[str], test: list[str], same_text: bool, entry: str, said: str
) -> None:
    split_collection(tmp_path / "data" / "mine", dev, test, same_text)
    path = tuned(tmp_path, f'{{ path = "mine", {entry} }}')
    with pytest.raises(CollectionError, match=re.escape(said)):
        run_experiment(read_experiment(path), tmp_path / "out", offline_data=tmp_path / "data")
    assert not (tmp_path / "out").exists()


# Suites.


@pytest.mark.usefixtures("unplotted")
def test_msmarco_offline_counts_grade_one_as_not_relevant(tmp_path: Path) -> None:
    folder = split_collection(tmp_path / "data" / "msmarco", ["a"], ["b"])
    for split in ("dl19", "dl20"):
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\na\ta\t1\nb\tb\t2\nb\ta\t1\n")
    (tmp_path / "experiment.toml").write_text('suite = "msmarco"\n[systems.bm25]\nencoder = "bm25"\n')
    experiment = read_experiment(tmp_path / "experiment.toml")
    run_experiment(experiment, tmp_path / "out", offline_data=tmp_path / "data")
    rows = {row["collection"]: row for row in read_csv(tmp_path / "out" / "tables" / "results.csv")}
    assert float(rows["msmarco-dev"]["RR@10"]) == 1.0
    assert float(rows["dl19"]["RR@10"]) == 0.5  # of query a nothing is relevant
    assert float(rows["dl19"]["nDCG@10"]) < 1.0
    assert len(list((tmp_path / "out" / "indexes").iterdir())) == 1


def test_beir_offline_averages_cqadupstack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lsr.experiment.suites import SUITES

    def of_a_group(*arguments: Any, unit: str) -> None:  # the one that is looked at; of 150 plots
        if unit == "collections":
            plot_differences(*arguments, unit=unit)

    monkeypatch.setattr(experiment_report, "plot_against_latency", lambda *_, **__: None)
    monkeypatch.setattr(experiment_report, "plot_differences", of_a_group)

    for number, judged in enumerate(SUITES["beir"]):
        name = judged.path.removesuffix("/v2")
        data = split_collection(tmp_path / "data" / name, ["a"], ["b", "c"] if number % 2 else ["d"])
        if number % 3:  # where feedback has more to find
            with (data / "qrels" / "test.tsv").open("a") as file:
                file.writelines(f"{query}\ta\t1\n" for query in (["b", "c"] if number % 2 else ["d"]))
    (tmp_path / "experiment.toml").write_text(
        'suite = "beir"\n[systems.bm25]\nencoder = "bm25"\n[systems.b]\nencoder = "bm25"\n'
        '[systems.wide]\nencoder = "bm25"\nfeedback = "rocchio"\nfeedback_terms = 2\n'
    )
    results = run_experiment(
        read_experiment(tmp_path / "experiment.toml"), tmp_path / "out", offline_data=tmp_path / "data"
    )
    assert len(results) == 75
    rows = read_csv(tmp_path / "out" / "tables" / "ndcg-10.csv")
    assert len(rows) == 15  # thirteen sets, the forums, the mean
    assert rows[-1]["collection"] == "mean"
    forums = [r for r in results if r.judged.group == "cqadupstack" and r.system == "bm25"]
    means = [sum(r.figures.per_query["nDCG@10"].values()) / len(r.figures.per_query["nDCG@10"]) for r in forums]
    shown = next(row for row in rows if row["collection"] == "cqadupstack")
    assert len(means) == 12
    assert float(shown["bm25"]) == pytest.approx(sum(means) / 12)
    tests = {
        (row["system"], row["measure"]): row
        for row in read_csv(tmp_path / "out" / "tables" / "tests.csv")
        if row["collection"] == "cqadupstack"
    }
    assert {row["queries"] for row in tests.values()} == {"12"}  # the forums, whose means are compared
    assert tests["b", "nDCG@10"]["p_value"] == "1.0"
    other = [
        sum(r.figures.per_query["nDCG@10"].values()) / len(r.figures.per_query["nDCG@10"])
        for r in results
        if r.judged.group == "cqadupstack" and r.system == "wide"
    ]
    assert 0 < sum(means) < sum(other)
    expected = paired_t_test(np.array(means), np.array(other))
    assert float(tests["wide", "nDCG@10"]["p_value"]) == pytest.approx(expected)
    assert "collections" in (tmp_path / "out" / "plots" / "cqadupstack" / "difference-wide.svg").read_text()
