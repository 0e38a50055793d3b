"""The effect of feedback: sparse sides without it, with Rocchio and with RM3, on many collections.

    python benchmarks/feedback_effect.py                  every collection in $LSR_TEST_DATA
    python benchmarks/feedback_effect.py scifact nfcorpus --measure AP

Published values (docs/retrieval.md), exact search, 1,000 documents. The sides are BM25, `tiny`, and `tiny` with queries
from an IDF table of the collection (inference-free). Prints Markdown: one row per collection, ordered by the mean
number of relevant documents per query; then, for collections below and above --few, the number of collections on which
feedback is better.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from effectiveness import DATA, beir_folders

from lsr import Searcher, SearchParams, SearchRequest, build_index
from lsr.collections.collection import Collection, load_collection
from lsr.encoders.build import build_encoder
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.idf import idf_of_texts
from lsr.encoders.sparse.tokens import FolderTokenizer
from lsr.eval.measures import evaluate
from lsr.eval.tables import Column, Table, to_markdown

WAYS = {"no feedback": None, "rocchio": "rocchio", "rm3": "rm3"}
SIDES = ("bm25", "tiny", "idf")


def searchers(collection: Collection, corpus: str, cache: Path) -> dict[str, Searcher]:
    found = {}
    for encoder in ("bm25", "tiny"):
        folder = cache / f"{corpus}.{encoder}"
        if not (folder / "manifest.json").exists():
            build_index(collection, folder, encoder, progress=True)
        found[encoder] = Searcher.open(folder, device="cpu")
    tokens = FolderTokenizer(find_checkpoint("tiny").folder)
    table = idf_of_texts((document.full_text for document in collection.documents()), tokens)
    # The network is the same, so the documents of `tiny` are those of this encoder.
    looked_up = build_encoder("opensearch-doc-v2-distill", "tiny", idf=table, device="cpu")
    return {**found, "idf": Searcher(found["tiny"].index, looked_up)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="*", help=f"collections, from {DATA}")
    parser.add_argument("--measure", default="nDCG@10")
    parser.add_argument("--few", type=float, default=5)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "lsr-indexes")
    parser.add_argument("--json", type=Path, help="write the results to this file, after each collection")
    arguments = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for folder in beir_folders(arguments.collections, Path(scratch)):
            collection = load_collection(folder)
            queries, qrels = collection.queries(), collection.qrels()
            relevant = sum(grade > 0 for judged in qrels.values() for grade in judged.values()) / len(qrels)
            row = figures[folder.name] = {"relevant": relevant}
            corpus = (folder / "corpus.jsonl.gz").resolve().parent.name
            for side, searcher in searchers(collection, corpus, arguments.cache).items():
                for way, feedback in WAYS.items():
                    request = SearchRequest.of(1000, SearchParams(exact=True), feedback=feedback)
                    run = searcher.rankings(queries, request, None, collection.drop_same_id)
                    row[f"{side} {way}"] = evaluate(qrels, run, [arguments.measure])[arguments.measure]
            if arguments.json:
                arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    columns = [Column("collection"), Column("relevant", 1), *(Column(f"{s} {w}", 3) for s in SIDES for w in WAYS)]
    ordered = sorted(figures.items(), key=lambda item: item[1]["relevant"])
    print(to_markdown(Table(columns, [[name, *row.values()] for name, row in ordered])))
    for side in SIDES:
        for way in ("rocchio", "rm3"):
            for what in ("below", "from"):
                some = [row for row in figures.values() if (row["relevant"] < arguments.few) == (what == "below")]
                ahead = sum(row[f"{side} {way}"] > row[f"{side} no feedback"] for row in some)
                mean = sum(row[f"{side} {way}"] - row[f"{side} no feedback"] for row in some) / max(len(some), 1)
                print(f"{side} {way}, {what} {arguments.few:g} relevant: ahead on {ahead} of {len(some)}, {mean:+.3f}")


if __name__ == "__main__":
    main()
