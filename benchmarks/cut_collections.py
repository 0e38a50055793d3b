"""Make small collections, on which many encoders can be compared in little time.

    python benchmarks/cut_collections.py COLLECTIONS OUT [--documents 1500] [--queries 300] [--words 40]
        NAME[:SPLIT,SPLIT] ...

Each collection has some random queries of each named split (by default test), all documents judged for them, and random
documents up to the given number. With --words, a document has only the first words of its text. Results on such
collections can be compared among encoders, but not with published results: with fewer documents, every ranking is
better.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from random import Random

from lsr.collections.collection import load_collection


def cut(
    source: Path, out: Path, splits: list[str], documents: int, queries: int, words: int | None = None
) -> tuple[int, int]:
    """Write a BEIR folder; returns its numbers of documents and queries."""
    random, kept, texts = Random(f"0 {source.name}"), set(), {}
    (out / "qrels").mkdir(parents=True)
    for split in splits:
        collection = load_collection(source, split)
        asked, qrels = collection.queries(), collection.qrels()
        chosen = sorted(random.sample(sorted(asked), min(queries, len(asked))))
        lines = ["query-id\tcorpus-id\tscore\n"]
        for query_id in chosen:
            texts[query_id] = asked[query_id]
            for doc_id, grade in qrels[query_id].items():
                lines.append(f"{query_id}\t{doc_id}\t{grade}\n")
                kept.add(doc_id)
        (out / "qrels" / f"{split}.tsv").write_text("".join(lines), encoding="utf-8")
    every = list(load_collection(source).documents())
    others = sorted(each.doc_id for each in every if each.doc_id not in kept)
    kept |= {*random.sample(others, max(0, min(documents - len(kept), len(others))))}
    with gzip.open(out / "queries.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"_id": each, "text": text}) + "\n" for each, text in texts.items())
    count = 0
    with gzip.open(out / "corpus.jsonl.gz", "wt", encoding="utf-8") as file:
        for each in every:
            if each.doc_id in kept:
                text = each.text if words is None else " ".join(each.text.split()[:words])
                file.write(json.dumps({"_id": each.doc_id, "title": each.title, "text": text}) + "\n")
                count += 1
    return count, len(texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--documents", type=int, default=1500)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--words", type=int)
    given = parser.parse_args()
    for each in given.names:
        name, _, splits = each.partition(":")
        source, out, chosen = given.collections / name, given.out / name, (splits or "test").split(",")
        sizes = cut(source, out, chosen, given.documents, given.queries, given.words)
        print(name, *sizes, flush=True)


if __name__ == "__main__":
    main()
