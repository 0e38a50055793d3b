"""Index a few texts with BM25, search them, and print the terms of each hit. `tiny` works in the same way."""

from __future__ import annotations

from lsr import Searcher, SeismicIndex, load_encoder

TEXTS = {
    "aspirin": "Aspirin thins the blood and can cause bleeding.",
    "heart": "The heart pumps blood through the body.",
    "salt": "High salt intake raises blood pressure.",
    "sleep": "Adults need seven to nine hours of sleep.",
    "walking": "Walking thirty minutes a day strengthens the heart.",
}

encoder = load_encoder("bm25").fit(TEXTS.values())
index = SeismicIndex.build(encoder.encode_documents(list(TEXTS.values())), ids=list(TEXTS))
searcher = Searcher(index, encoder, texts=list(TEXTS.values()))

for hit in searcher.search("what raises blood pressure", k=3):
    print(f"{hit.score:6.3f}  {hit.doc_id:8}  {hit.text}")
    print("        ", ", ".join(f"{term} {weight:.3f}" for term, weight in hit.explain().items()))
