"""experiment.toml: what is understood, and what is refused before anything runs."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from lsr.collections.offline import offline_folder
from lsr.errors import CollectionError, ParameterError
from lsr.experiment import read_experiment
from lsr.experiment.suites import SUITES, Judged, downloads, open_judged, shown_downloads
from lsr.retrieval.request import SearchRequest
from tests.data import LIBRARY

MINIMAL = 'collections = ["adi"]\n[systems.bm25]\nencoder = "bm25"\n'
DENSE = 'dense = { name = "minilm", dtype = "bfloat16", kind = "hnsw", metric = "cosine" }\n'


def read(tmp_path: Path, text: str):
    path = tmp_path / "experiment.toml"
    path.write_text(text, encoding="utf-8")
    return read_experiment(path)


def test_defaults(tmp_path: Path) -> None:
    experiment = read(tmp_path, MINIMAL)
    assert experiment.name == "experiment"
    assert experiment.collections == (Judged("adi", "adi"),)
    assert experiment.baseline == "bm25"
    assert experiment.measures == ("nDCG@10", "RR@10", "AP", "R@100", "R@1000")
    assert experiment.k == 1000


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    experiment = read(
        tmp_path,
        """
        baseline = "b"
        measures = ["AP"]
        k = 50
        collections = [{ path = "data/x", split = "test", tune = "dev", name = "x", relevant = 2 }]
        [systems.a]
        encoder = { name = "tiny", prune_documents = "top-k:64" }
        query_cut = 8
        [systems.b]
        encoder = "bm25"
        feedback = "rocchio"
        interpolate = "both"
        """
        + DENSE
        + "tune = { weight = [0.1, 0.5], feedback_depth = [3, 5] }",
    )
    assert experiment.collections == (Judged("x", "data/x", "test", "dev", 2),)
    first, second = experiment.systems
    assert SearchRequest.from_words(first.settings).params.query_cut == 8
    assert first.encoder.options == {"prune_documents": "top-k:64"}
    assert second.dense is not None and second.dense.index == {"kind": "hnsw", "metric": "cosine"}
    assert [(each["weight"], each["feedback_depth"]) for each in second.grid()] == [
        (0.1, 3),
        (0.1, 5),
        (0.5, 3),
        (0.5, 5),
    ]
    assert SearchRequest.from_words(second.grid()[0]).sides == ("sparse", "dense")
    assert first.grid() == [{"query_cut": 8}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one collection"),
        ("x = ", "not valid TOML"),
        (MINIMAL.replace("collections", "collection"), "collection is unknown; perhaps collections?"),
        (MINIMAL.replace('["adi"]', '"adi"'), "collections is 'adi'; it must be a list"),
        (MINIMAL.replace('["adi"]', "[3]"), "collections[0] is 3; it must be a table"),
        (MINIMAL.replace('["adi"]', '["adi", "x/adi"]'), "'adi' is a duplicate"),
        (
            MINIMAL.replace('["adi"]', '[{path = "adi", slit = "test"}]'),
            "collections[0].slit is unknown; perhaps split?",
        ),
        (
            MINIMAL.replace('["adi"]', '[{path = "adi", relevant = 0}]'),
            "collections[0].relevant is 0; it must be greater than",
        ),
        (MINIMAL.replace('["adi"]', '[{path = "adi", split = 3}]'), "collections[0].split is 3; it must be text"),
        ('suite = "beer"\n' + MINIMAL, "it must be 'beir' or 'msmarco'"),
        ('baseline = "tiny"\n' + MINIMAL, "'tiny' is not a system"),
        ('suite = ["beir"]\n' + MINIMAL, "it must be 'beir' or 'msmarco'"),
        ("k = 0\n" + MINIMAL, "k is 0"),
        (MINIMAL + "knn = 5\n", "knn is unknown"),
        (MINIMAL + "tune = { recall = [0.9] }\n", "tune.recall must be a list of values for one of query_cut"),
        ("k = true\n" + MINIMAL, "k is True"),
        ('measures = ["nDCG@ten"]\n' + MINIMAL, "nDCG@ten"),
        ('measures = "AP"\n' + MINIMAL, "measures"),
        ("measures = []\n" + MINIMAL, "no measures"),
        (MINIMAL.replace('encoder = "bm25"', ""), "systems.bm25.encoder is missing"),
        (MINIMAL.replace('encoder = "bm25"', "encoder = 3"), "systems.bm25.encoder is 3; it must be a table"),
        (MINIMAL.replace("systems.bm25", 'systems."a/b"'), "a name can have only"),
        (MINIMAL.replace("systems.bm25", "systems." + "a" * 101), "a name can have only"),
        (MINIMAL.replace("systems.bm25", 'systems."\u4e2d"'), "a name can have only"),
        ("k = " + "1" * 5000 + "\n" + MINIMAL, "not valid TOML"),
        ("k = " + "[" * 5000 + "]" * 5000 + "\n" + MINIMAL, "not valid TOML"),
        *(
            (MINIMAL.replace('"bm25"', f'{{ name = "tiny", {option} }}'), said)
            for option, said in (
                ('dtype = "float16"', "dtype is 'float16'"),
                ("max_length = -4", "[systems.bm25.encoder] max_length is -4"),
                (
                    "max_length = 1979-05-27",
                    "systems.bm25.encoder.max_length is '1979-05-27'; it must be a whole number",
                ),
                ('prune_documents = "top-k:0"', "top"),
                ("prune_queries = 5", "systems.bm25.encoder.prune_queries is 5; it must be text"),
                ('long_documents = "last"', "long_documents is 'last'"),
                ("stride = 3", "stride needs long_documents"),
            )
        ),
        (
            MINIMAL.replace('"bm25"', '{ name = "bm25", dtype = "float32" }'),
            "[systems.bm25.encoder] bm25 has no dtype",
        ),
        (
            MINIMAL + 'side = "dense"\ndense = { name = "minilm", dtype = "int8" }\n',
            "[systems.bm25.dense] dtype is 'int8'",
        ),
        (MINIMAL + 'fusion = "rrf"\n', "the search does not interpolate"),
        (MINIMAL + "depth = 3\n", "systems.bm25.depth is unknown"),
        ('measures = ["nDCG@10", "NDCG@10"]\n' + MINIMAL, "name each measure once"),
        (
            MINIMAL.replace('["adi"]', '[{ path = "adi", relevant = 3000000000 }]'),
            "relevant is 3000000000; it must be less than or equal to 1000",
        ),
        (
            MINIMAL + f"tune = {{ weight = {[0.5] * 200}, alpha = {[0.5] * 200}, beta = {[0.5] * 200} }}\n",
            "8,000,000 choices",
        ),
        (
            MINIMAL.replace("collections = [", 'suite = "beir"\ncollections = ["x/cqadupstack", '),
            "'cqadupstack' is a duplicate",
        ),
        (MINIMAL.replace("collections = [", 'collections = ["x/mean", '), "'mean' is a duplicate"),
        (MINIMAL + "query_cut = 0\n", "query_cut"),
        (MINIMAL + "query_cut = [1]\n", "query_cut"),
        (MINIMAL + 'exact = "no"\n', "exact is 'no'"),
        (MINIMAL + 'dense = "minilm"\n', "does not use its dense vectors"),
        (MINIMAL + "weight = 0.3\n", "weight is 0.3"),
        (MINIMAL + 'interpolate = "both"\n', "needs feedback"),
        (MINIMAL + 'interpolate = "after"\n', "has none; add dense"),
        (MINIMAL + 'dense = { name = "minilm", kind = "ivf" }\n', "[systems.bm25.dense] kind of dense index is 'ivf'"),
        (MINIMAL + 'dense = { name = "minilm", neighbours = 3 }\n', "neighbours is now called neighbors; rename it"),
        (MINIMAL + 'feedback = "bo1"\n', "systems.bm25.feedback is 'bo1'; it must be 'rocchio', 'average' or 'rm3'"),
        (MINIMAL + 'interpolate = "after"\nnormalise = "none"\n', "normalise is now called normalize; rename it"),
        (MINIMAL + 'dense = { name = "minilm", query_cut = 3 }\n', "systems.bm25.dense.query_cut is unknown"),
        (MINIMAL + "tune = { query_cut = [4, 8] }\n", "names no split for it"),
        (MINIMAL + "tune = { query_cut = 4 }\n", "must be a list"),
        (MINIMAL + "tune = { query_cut = [] }\n", "must be a list"),
        (MINIMAL + "query_cut = 4\ntune = { query_cut = [4] }\n", "not set elsewhere"),
        (MINIMAL + "tune = { k = [4] }\n", "must be a list of values for one of"),
        (MINIMAL + "tune = { heap_factor = [-1] }\n", "heap_factor"),
        (
            MINIMAL.replace('["adi"]', '[{path = "adi", split = "dev", tune = "dev"}]')
            + "tune = { query_cut = [4] }\n",
            "two different splits",
        ),
    ],
)
def test_mistakes_are_told_with_file_and_entry(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ParameterError, match="experiment.toml") as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot be read"):
        read_experiment(tmp_path / "none.toml")


def test_suites_are_known_to_ir_datasets_with_their_splits() -> None:
    beir, msmarco = SUITES["beir"], SUITES["msmarco"]
    assert len([each for each in beir if each.group is None]) == 13
    assert len([each for each in beir if each.group == "cqadupstack"]) == 12
    assert [each.name for each in msmarco] == ["msmarco-dev", "dl19", "dl20"]
    for judged in (*beir, *msmarco):
        collection = open_judged(judged, None)  # downloads nothing
        assert judged.split in (None, collection.split)
        assert collection.split is not None or collection.splits == () or judged.split is None
    assert len({open_judged(each, None).corpus for each in msmarco}) == 1
    assert len({open_judged(each, None).corpus for each in beir}) == len(beir)


def test_downloads_are_listed_once_with_their_sizes() -> None:
    listed = shown_downloads(SUITES["beir"], None)
    assert len(listed) == 14  # CQADupStack's forums come in one archive
    assert listed["beir/scifact"] == 2816079
    passages = shown_downloads(SUITES["msmarco"], None)
    assert passages["msmarco-passage/collectionandqueries"] == 1057717952
    assert len(passages) == 6
    assert all(size for size in (*listed.values(), *passages.values()))
    assert downloads(Judged("x", "beir/unheard-of")) == {"beir/unheard-of": None}


def test_offline_data_comes_first(tmp_path: Path) -> None:
    scifact = next(each for each in SUITES["beir"] if each.name == "scifact")
    data = tmp_path / "data"
    data.mkdir()
    (data / "scifact").symlink_to(LIBRARY)
    assert offline_folder(scifact.path, data) == data / "scifact"
    assert shown_downloads([scifact], data) == {}
    collection = open_judged(scifact, data)
    assert (collection.name, collection.split, len(collection.queries())) == ("scifact", "test", 35)
    (tmp_path / "beir" / "scifact").mkdir(parents=True)
    assert offline_folder(scifact.path, tmp_path) == tmp_path / "beir" / "scifact"
    (tmp_path / "msmarco").mkdir()
    assert offline_folder(SUITES["msmarco"][1].path, tmp_path) == tmp_path / "msmarco"
    with pytest.raises(CollectionError):
        open_judged(Judged("x", "no-such-collection"), tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", r"is a Git LFS pointer, .* run git lfs pull"),
        (b"\x1f\x8b\x08damaged", "cannot be read"),
        (gzip.compress(MINIMAL.encode(), mtime=0)[:-9], "cannot be read"),
        (b"q1 Q0 d1 1 2.0 tag\n", "not valid TOML .*; it seems to be a run"),
        (b'{"_id": "d", "text": "sea"}\n', "it seems to be a file of texts"),
        (b"PK\x03\x04\xff", "it seems to be a file of vectors"),
    ],
)
def test_a_file_of_another_kind(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "e.toml").write_bytes(content)
    with pytest.raises(ParameterError, match=f"e.toml: .*{said}"):
        read_experiment(tmp_path / "e.toml")


def test_a_packed_file_and_a_collection(tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_bytes(gzip.compress(MINIMAL.encode()))
    assert [each.name for each in read_experiment(tmp_path / "e.toml").collections] == ["adi"]
    with pytest.raises(ParameterError, match="cannot be read \\(is a collection\\); give the path of a TOML file"):
        read_experiment(LIBRARY)
