"""Measure an encoder on a BEIR folder: python examples/evaluate_beir.py FOLDER [ENCODER]"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from lsr import Searcher, build_index, load_collection
from lsr.eval import evaluate

folder, encoder = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "bm25"
collection = load_collection(folder)
with tempfile.TemporaryDirectory() as scratch:
    build_index(collection, Path(scratch) / "index", encoder, progress=True)
    searcher = Searcher.open(Path(scratch) / "index")
    run = searcher.run(collection.queries(), k=100, drop_same_id=collection.drop_same_id)
for measure, value in evaluate(collection.qrels(), run, ["nDCG@10", "RR@10", "R@100"]).items():
    print(f"{measure:8} {value:.4f}")
