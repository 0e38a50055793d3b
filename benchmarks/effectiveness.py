"""nDCG@10 of encoders on BEIR folders: exact search, the index with default parameters, and the loss of the index.

    python benchmarks/effectiveness.py                       every collection in $LSR_TEST_DATA, tiny and bm25
    python benchmarks/effectiveness.py scifact arguana --encoder tiny

Vectors are stored in --cache and used again. Each run is written as a TREC file, and ir_measures measures it a second
time from this file and the judgments; a difference in the fourth digit stops the program.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import ir_measures
from ir_measures import nDCG
from rich.console import Console
from rich.table import Table

from lsr import ExactIndex, Searcher, SeismicIndex, SparseVectors, load_encoder
from lsr.collections.collection import Collection, load_collection
from lsr.collections.runs import write_run
from lsr.encoders.base import ENCODER_FOLDER
from lsr.eval.measures import evaluate
from lsr.retrieval.encoding import encode_documents

DATA = Path(os.environ.get("LSR_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
DEPTH = 10  # the hardest depth: a deeper search finds more at every rank


def beir_folders(names: list[str], scratch: Path) -> Iterator[Path]:
    """The BEIR folders with judgments. A folder whose corpus file names another one is copied with real links."""
    for folder in sorted(DATA.iterdir()):
        if not (folder / "qrels").is_dir() or (names and folder.name not in names):
            continue
        corpus = folder / "corpus.jsonl.gz"
        if corpus.stat().st_size > 256:
            yield folder
            continue
        copy = scratch / folder.name
        copy.mkdir()
        for path in folder.iterdir():
            small = path.is_file() and path.stat().st_size <= 256 and path.read_bytes().startswith(b"../")
            target = folder / path.read_text().strip() if small else path
            (copy / path.name).symlink_to(target.resolve())
        yield copy


def by_hand(run_file: Path, collection: Collection) -> float:
    """nDCG@10 of the written run, without code of lsr between the file and ir_measures."""
    judgments = [
        ir_measures.Qrel(query, document, relevance)
        for query, documents in collection.qrels().items()
        for document, relevance in documents.items()
    ]
    run = list(ir_measures.read_trec_run(str(run_file)))
    return float(ir_measures.calc_aggregate([nDCG @ 10], judgments, run)[nDCG @ 10])


def splits(folder: Path) -> list[str | None]:
    """All splits of a collection without a default split; else the default split."""
    collection = load_collection(folder)
    return [None] if {"test", "dev"} & set(collection.splits) else list(collection.splits)


def measure(
    folder: Path, split: str | None, encoder_name: str, dtype: str, cache: Path, scratch: Path
) -> dict[str, object]:
    collection = load_collection(folder, split)
    encoder = load_encoder(encoder_name, dtype=dtype)
    # By the folder of the corpus, which several collections can share.
    precision = "" if dtype == "float32" else f".{dtype}"
    vectors_folder = cache / f"{(folder / 'corpus.jsonl.gz').resolve().parent.name}.{encoder_name}{precision}"
    if not (vectors_folder / "vectors.json").exists():
        encode_documents(collection, vectors_folder, encoder, progress=True)
    encoder = load_encoder(vectors_folder / ENCODER_FOLDER)
    vectors = SparseVectors.read(vectors_folder)
    figures: dict[str, object] = {
        "collection": folder.name,
        "split": collection.split,
        "encoder": encoder_name,
        "dtype": dtype,
        "documents": len(vectors),
        "queries": len(collection.qrels()),
    }
    for name, index in (("exact", ExactIndex.build(vectors)), ("index", SeismicIndex.build(vectors))):
        searcher = Searcher(index, encoder)
        run = searcher.run(collection.queries(), k=DEPTH, threads=2, drop_same_id=collection.drop_same_id)
        run_file = scratch / f"{folder.name}.{encoder_name}.{name}.run"
        write_run(run_file, run)
        value = evaluate(collection.qrels(), run, ["nDCG@10"])["nDCG@10"]
        if f"{value:.4f}" != f"{by_hand(run_file, collection):.4f}":
            sys.exit(f"{run_file}: lsr says {value:.4f}, ir_measures {by_hand(run_file, collection):.4f}")
        figures[name] = value
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="*", help="names of folders in $LSR_TEST_DATA; default: all")
    parser.add_argument("--encoder", action="append", help="default: tiny and bm25")
    parser.add_argument("--dtype", default="float32", help="arithmetic of transformers: float32 or bfloat16")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "lsr-vectors")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    console = Console(width=110)
    table = Table("collection", "split", "documents", "queries", "encoder", "exact", "index", "lost")
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for folder in beir_folders(arguments.collections, Path(scratch)):
            for encoder, split in product(arguments.encoder or ["tiny", "bm25"], splits(folder)):
                figures = measure(folder, split, encoder, arguments.dtype, arguments.cache, Path(scratch))
                results.append(figures)
                shown = [f"{figures[key]:,}" if key in ("documents", "queries") else str(figures[key])
                         for key in ("collection", "split", "documents", "queries", "encoder")]  # fmt: skip
                exact, index = float(str(figures["exact"])), float(str(figures["index"]))
                table.add_row(*shown, f"{exact:.4f}", f"{index:.4f}", f"{exact - index:+.4f}")
                console.print(*shown, f"exact {exact:.4f} index {index:.4f}")
    console.print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
