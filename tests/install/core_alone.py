"""Run by .ci/install in an environment that holds the core of lsr alone: index and search in it, and ask for the rest.

python core_alone.py INDEX ENCODER: an index built elsewhere and its encoder, which looks queries up in a table.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import scipy.sparse

from lsr import ExactIndex, LsrError, Searcher, SeismicIndex, SparseVectors, load_encoder
from lsr.extras import EXTRAS, is_installed

LSR = Path(sys.executable).with_name("lsr")
TEXTS = {
    "aspirin": "Aspirin thins the blood and can cause bleeding.",
    "heart": "The heart pumps blood through the body.",
    "salt": "High salt intake raises blood pressure.",
    "sleep": "Adults need seven to nine hours of sleep.",
}
QUERY = "what raises blood pressure"


def lsr(*arguments: str | Path) -> str:
    return subprocess.run([LSR, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def first_hit(index: Path) -> str:
    return str(json.loads(lsr("search", index, QUERY, "--json"))["hits"][0]["doc_id"])


def only_the_core_is_there() -> None:
    # tokenizers brings huggingface_hub, without what it needs for models.
    assert [package for package in EXTRAS if is_installed(package)] in ([], ["huggingface_hub"])


def vectors() -> None:
    rng = np.random.default_rng(7)
    matrix = scipy.sparse.random(2000, 500, density=0.05, format="csr", dtype=np.float32, random_state=rng)
    documents = SparseVectors.from_scipy(matrix)
    documents.write("documents.npz")
    lsr("index", "documents.npz", "vectors.index")
    queries = SparseVectors.from_scipy(matrix[:50])
    found = SeismicIndex.open("vectors.index").search(queries, k=5)
    exact = ExactIndex.build(documents).search(queries, k=5)
    assert found.rows[:, 0].tolist() == list(range(50))
    assert np.allclose(found.scores, exact.scores, rtol=1e-3)


def bm25() -> None:
    collection = Path("texts")
    collection.mkdir()
    lines = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in TEXTS.items()]
    (collection / "corpus.jsonl").write_text("\n".join(lines))
    (collection / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": QUERY}))
    (collection / "qrels").mkdir()
    (collection / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tsalt\t1\n")
    lsr("index", collection, "bm25.index", "--encoder", "bm25")
    assert first_hit(Path("bm25.index")) == "salt"
    lsr("run", "bm25.index", collection, "bm25.run")
    assert Path("bm25.run").read_text().startswith("q Q0 salt 1 ")

    encoder = load_encoder("bm25").fit(TEXTS.values())
    index = SeismicIndex.build(encoder.encode_documents(list(TEXTS.values())), ids=list(TEXTS))
    assert Searcher(index, encoder, texts=list(TEXTS.values())).search(QUERY)[0].text == TEXTS["salt"]


def inference_free(index: Path) -> None:
    assert first_hit(index) == "salt"
    hit = Searcher.open(index).search(QUERY)[0]
    assert hit.doc_id == "salt" and {"blood", "pressure"} <= set(hit.explain())


def doctor_and_starter() -> None:
    found = json.loads(lsr("doctor", "--json"))
    assert "torch" in found["missing"]["encode"]
    assert found["versions"]["torch"] is None
    lsr("new", "starter")
    lsr("index", "starter/collection", "starter.index", "--encoder", "bm25")
    assert len(SeismicIndex.open("starter.index")) == 32


def what_is_missing_is_told(encoder: Path) -> None:
    commands = {
        "eval": ("evaluate", "bm25.run", "texts/qrels/test.tsv"),
        "encode": ("index", "texts", "tiny.index", "--encoder", str(encoder)),
        "dense": ("index", "texts", "dense.index", "--encoder", "bm25", "--dense", "minilm"),
        "train": ("train", "splade-max"),
        "tiny": ("index", "texts", "tiny.index", "--encoder", "tiny"),
    }
    for extra, words in commands.items():
        ended = subprocess.run([LSR, *words], capture_output=True, text=True, check=False)
        print(ended.stderr, end="")
        assert ended.returncode == 2, extra
        assert ended.stderr.count("\n") == 1 and "pip install 'lsr-engine[" in ended.stderr
    try:
        load_encoder("tiny")
    except LsrError as error:
        assert "lsr-engine[tiny]" in str(error)
    else:
        raise AssertionError("there is no model, and yet it was loaded")


if __name__ == "__main__":
    only_the_core_is_there()
    vectors()
    bm25()
    inference_free(Path(sys.argv[1]))
    doctor_and_starter()
    what_is_missing_is_told(Path(sys.argv[2]))
