"""index -> search -> run -> evaluate on real collections, with a lexical and a learned encoder."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import ir_measures
import pytest

from lsr.index.parameters import IndexConfig
from tests.cli.commands import Lsr, rejected
from tests.data import data_path

MEASURES = ["nDCG@10", "RR@10", "AP", "R@100", "P@5"]


def by_hand(qrels: Path, run: Path) -> dict[str, float]:
    """The measures as ir_measures gives them for the files; BEIR's qrels are turned into tuples by hand."""
    judgments = [line.split("\t") for line in qrels.read_text().splitlines()[1:]]
    values = ir_measures.calc_aggregate(
        [ir_measures.parse_measure(name) for name in MEASURES],
        [ir_measures.Qrel(query, document, int(grade)) for query, document, grade in judgments],
        ir_measures.read_trec_run(str(run)),
    )
    return {str(measure): round(value, 4) for measure, value in values.items()}


def rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


def judged_and_some(collection: Path, split: str, every: int, folder: Path) -> Path:
    """In `folder`, the collection with the judged documents of a split, and one of `every` so many."""
    judged = {line.split("\t")[1] for line in (collection / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]}
    folder.mkdir()
    for name in ("queries.jsonl.gz", "qrels"):
        (folder / name).symlink_to((collection / name).resolve())
    with gzip.open(collection / "corpus.jsonl.gz", "rt") as lines, (folder / "corpus.jsonl").open("w") as kept:
        kept.writelines(line for row, line in enumerate(lines) if row % every == 0 or json.loads(line)["_id"] in judged)
    return folder


def check_measured_ranking(lsr: Lsr, collection: Path, index: Path, folder: Path) -> tuple[float, float]:
    """Every way to the figures gives the same; returns nDCG@10 of the index and of exact search."""
    qrels = collection / "qrels" / "test.tsv"
    names = ",".join(MEASURES)
    written = lsr("run", index, collection, folder / "run.trec", "-k", 1000, "--split", "test", "--tag", "mine")
    assert written.status == 0, written.err
    expected = by_hand(qrels, folder / "run.trec")

    of_file = lsr("evaluate", folder / "run.trec", qrels, "--measures", names, "--json")
    assert rounded(of_file.json["measures"]) == expected
    of_index = lsr(
        "evaluate",
        index,
        collection,
        "--split",
        "test",
        "--measures",
        names,
        "--json",
        "--run",
        folder / "again.trec.gz",
    )
    assert of_index.json["measures"] == of_file.json["measures"]
    assert (
        gzip.decompress((folder / "again.trec.gz").read_bytes()).decode().replace(" lsr\n", " mine\n")
        == (folder / "run.trec").read_text()
    )
    assert by_hand(qrels, folder / "again.trec.gz") == expected

    exact = lsr("evaluate", index, collection, "--split", "test", "--measures", names, "--json", "--exact")
    found = expected["nDCG@10"], exact.json["measures"]["nDCG@10"]
    assert found[0] >= found[1] - 0.005
    return found


def test_a_small_collection(lsr: Lsr, library: Path, library_index: Path, tmp_path: Path) -> None:
    assert check_measured_ranking(lsr, library, library_index, tmp_path)[0] > 0.2  # chance is below 0.1


@pytest.mark.data
def test_cranfield_with_bm25(lsr: Lsr, tmp_path: Path) -> None:
    collection = data_path("cranfield")
    assert lsr("index", collection, tmp_path / "index", "--encoder", "bm25").status == 0
    assert check_measured_ranking(lsr, collection, tmp_path / "index", tmp_path)[0] > 0.31


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "every", "ndcg"),
    [
        ("scifact", 40, 0.8287),
        pytest.param("scifact", 5, 0.7545, marks=pytest.mark.long),
        pytest.param("cranfield", 1, 0.3607, marks=pytest.mark.long),
    ],
)
def test_the_bundled_checkpoint_has_its_known_effectiveness(
    lsr: Lsr, tmp_path: Path, name: str, every: int, ndcg: float
) -> None:
    """What plain transformers code, all products and ir_measures give for the judged documents and some others."""
    collection = judged_and_some(data_path(name), "test", every, tmp_path / name)
    assert lsr("index", collection, tmp_path / "index", "--encoder", "tiny").status == 0
    _, exact = check_measured_ranking(lsr, collection, tmp_path / "index", tmp_path)
    assert exact == pytest.approx(ndcg, abs=0.0015)


@pytest.mark.data
@pytest.mark.long
def test_scifact_with_bm25(lsr: Lsr, tmp_path: Path) -> None:
    collection = data_path("scifact")
    assert lsr("index", collection, tmp_path / "index", "--encoder", "bm25").status == 0
    assert check_measured_ranking(lsr, collection, tmp_path / "index", tmp_path)[0] > 0.62


def test_search_prints_text_and_terms(lsr: Lsr, library_index: Path) -> None:
    question = "What is information science? Give definitions where possible."
    answer = lsr("search", library_index, question, "-k", 3, "--explain", "--json").json
    assert answer["query"] == question
    assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3]
    for hit in answer["hits"]:
        assert sum(hit["terms"].values()) == pytest.approx(hit["score"], rel=1e-4)
        assert list(hit["terms"].values()) == sorted(hit["terms"].values(), reverse=True)
        assert "information" in hit["terms"]
        assert "information" in hit["text"].lower()

    shown = lsr("search", library_index, question, "-k", 3, "--explain")
    assert (shown.status, shown.err) == (0, "")
    lines = shown.out.splitlines()
    for place, hit in enumerate(answer["hits"]):
        head, text, terms = lines[3 * place : 3 * place + 3]
        assert head.split() == [str(place + 1), f"{hit['score']:.4f}", hit["doc_id"]]
        assert text.strip().removeprefix("... ")[:40] in " ".join(hit["text"].split())
        assert terms.split()[0] == next(iter(hit["terms"]))


def test_nothing_found_is_no_error(lsr: Lsr, bm25_index: Path) -> None:
    outcome = lsr("search", bm25_index, "qqqq zzzz")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == "no document shares a term with the query\n"
    assert lsr("search", bm25_index, "", "--json").json == {"query": "", "complete": True, "hits": []}


def test_k_larger_than_the_collection(lsr: Lsr, bm25_index: Path) -> None:
    hits = lsr("search", bm25_index, "information retrieval", "-k", 5000, "--json").json["hits"]
    assert 1 < len(hits) <= 82


def test_queries_from_files(lsr: Lsr, bm25_index: Path, tmp_path: Path) -> None:
    (tmp_path / "q.tsv").write_text("q1\tinformation retrieval\nq2\tqqqq\nq3\tlibrary\n")
    outcome = lsr("run", bm25_index, tmp_path / "q.tsv", tmp_path / "run", "-k", 2)
    assert outcome.out == f"{tmp_path / 'run'}: 4 documents for 3 queries\n"
    assert [line.split()[0] for line in (tmp_path / "run").read_text().splitlines()] == ["q1", "q1", "q3", "q3"]


def test_values_of_each_query(lsr: Lsr, library: Path, bm25_index: Path) -> None:
    words = ("evaluate", bm25_index, library, "--measures", "nDCG@10 AP(rel=1),RR@10", "--per-query")
    record = lsr(*words, "--json").json
    names = ["nDCG@10", "AP(rel=1)", "RR@10"]
    assert list(record["measures"]) == list(record["per_query"]) == names
    assert record["queries"] == len(record["per_query"]["RR@10"]) == 35
    table = [line.split() for line in lsr(*words).out.splitlines()]
    assert table[0] == ["query", *names]
    assert len(table) == 37
    assert table[-1] == ["all", *(f"{record['measures'][name]:.4f}" for name in names)]
    assert table[1][1] == f"{record['per_query']['nDCG@10'][table[1][0]]:.4f}"


def test_info(lsr: Lsr, library_index: Path, encoder: str) -> None:
    record = lsr("info", library_index, "--json", "--verify").json
    assert (record["documents"], record["source"], record["has_texts"], record["verified"]) == (
        82,
        "library",
        True,
        True,
    )
    assert record["config"]["block_size"] == IndexConfig().block_size
    assert record["encoder"]["name"] == encoder
    files = {path.relative_to(library_index).as_posix() for path in library_index.rglob("*") if path.is_file()}
    assert set(record["files"]) == {
        name for name in files if Path(name).name not in ("manifest.json", "generation-000001.json")
    }
    shown = lsr("info", library_index).out
    assert "documents" in shown
    assert f"block_size {IndexConfig().block_size}" in shown


def test_encode_then_index(lsr: Lsr, library: Path, library_index: Path, encoder: str, tmp_path: Path) -> None:
    """In two steps as in one: the encoder travels with the vectors; texts do not."""
    encoded = lsr("encode", library, tmp_path / "vectors", "--encoder", encoder)
    assert (encoded.status, encoded.err) == (0, "")
    assert encoded.out.startswith(f"{tmp_path / 'vectors'}: 82 rows, ")
    assert lsr("encode", library, tmp_path / "vectors", "--encoder", encoder).out == encoded.out  # nothing left to do
    assert lsr("index", tmp_path / "vectors", tmp_path / "index").status == 0

    words = ("library catalogs", "-k", 5, "--json")
    one = lsr("search", library_index, *words).json["hits"]
    two = lsr("search", tmp_path / "index", *words).json["hits"]
    assert [(hit["doc_id"], hit["score"]) for hit in two] == [(hit["doc_id"], hit["score"]) for hit in one]
    assert {hit["text"] for hit in two} == {None}


def test_encode_queries(lsr: Lsr, library: Path, library_index: Path, encoder: str, tmp_path: Path) -> None:
    from lsr import SeismicIndex, SparseVectors

    assert lsr("encode", library, tmp_path / "queries", "--queries", "--encoder", encoder).status == 0
    queries = SparseVectors.read(tmp_path / "queries")
    assert len(queries) == 35
    result = SeismicIndex.open(library_index).search(queries, k=7)
    assert lsr("run", library_index, library, tmp_path / "run", "-k", 7).status == 0
    ranking: dict[str, list[str]] = {}
    for line in (tmp_path / "run").read_text().splitlines():
        ranking.setdefault(line.split()[0], []).append(line.split()[2])
    found = zip(queries.ids, result.ids, strict=True)
    assert {query: [each for each in row if each is not None] for query, row in found} == ranking


@pytest.mark.parametrize("name", ["vectors.npz", "vectors.jsonl.gz"])
def test_an_index_of_bare_vectors(
    lsr: Lsr, library: Path, library_indexes: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    """Given the encoder by name, it can be searched with text; see test_bad_input for what it says without."""
    assert lsr("encode", library, tmp_path / name, "--encoder", "tiny").out.startswith(f"{tmp_path / name}: 82 rows, ")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    outcome = lsr("index", tmp_path / name, tmp_path / "index", "--encoder", "tiny")
    assert outcome.status == 0, outcome.err
    words = ("library catalogs", "-k", 5, "--json")
    expected = lsr("search", library_indexes("tiny"), *words).json["hits"]
    found = lsr("search", tmp_path / "index", *words).json["hits"]
    assert [hit["doc_id"] for hit in found] == [hit["doc_id"] for hit in expected]


def test_same_ids_are_dropped_for_arguana(lsr: Lsr, library: Path, bm25_index: Path, tmp_path: Path) -> None:
    """library under that name: its queries and documents share their ids."""
    (tmp_path / "arguana").symlink_to(library)
    assert lsr("run", bm25_index, library, tmp_path / "all", "-k", 20).status == 0
    # The name counts, not what it leads to.
    assert lsr("run", bm25_index, tmp_path / "arguana", tmp_path / "dropped", "-k", 20).status == 0

    def pairs(path: Path) -> list[tuple[str, str]]:
        return [(line.split()[0], line.split()[2]) for line in path.read_text().splitlines()]

    assert any(query == document for query, document in pairs(tmp_path / "all"))
    assert not any(query == document for query, document in pairs(tmp_path / "dropped"))


def test_bm25_with_constants_of_ones_own(lsr: Lsr, library: Path, tmp_path: Path) -> None:
    words = ("index", library, tmp_path / "index", "--encoder", "bm25")
    assert lsr(*words, "--k1", 1.2, "--b", 0.75).status == 0
    described = lsr("info", tmp_path / "index", "--json").json["encoder"]
    assert (described["k1"], described["b"]) == (1.2, 0.75)
    assert "bm25 has no max_length" in rejected(lsr(*words, "--max-length", 64))
    assert "tiny has no k1" in rejected(lsr("encode", library, tmp_path / "v", "--encoder", "tiny", "--k1", 1.2))
