"""Long documents: the best passage of each, only the first passage, or as much of the document as the encoder reads.

    python benchmarks/passages.py                          every collection of COLLECTIONS under $LSR_TEST_DATA
    python benchmarks/passages.py time --encoder tiny      one of them, with one encoder

All are scored exactly. The score of a split document is that of its best passage. Marks show that a system differs from
only the first passage: two-sided paired t-test, p < .05 after Holm's correction over the systems of an encoder and
measure. "max over windows" is the encoder's own method (long_documents="max"): one vector per document. A fitted
encoder takes its statistics from whole documents, for passages, too.

wiki-articles joins the paragraphs of wiki-120k to articles: the articles of test questions, and the 150 longest of all
others.
"""

from __future__ import annotations

import argparse
import os
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsr import load_collection, load_encoder
from lsr.collections.passages import PassageRows, PassageSplit
from lsr.collections.sources import Document
from lsr.encoders.token_places import token_places
from lsr.eval import evaluate_queries
from lsr.eval.significance import compare_values, with_holm

DATA = Path(os.environ.get("LSR_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
COLLECTIONS = ("time", "wiki-articles", "medquad-liveqa", "nfcorpus")
ENCODERS = ("bm25", "tiny")
MEASURES = ("nDCG@10", "R@100")
DEPTH, OTHERS, MOST_QUERIES, LEVEL = 100, 150, 1000, 0.05
QUERIES_AT_ONCE = 200

PerQuery = Mapping[str, Mapping[str, float]]  # measure -> query id -> value


class Collected(NamedTuple):
    documents: list[Document]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def collected(name: str) -> Collected:
    """A collection, with at most a thousand queries, always the same."""
    found = load_collection(DATA / ("wiki-120k" if name == "wiki-articles" else name))
    documents, qrels = list(found.documents()), {query: dict(grades) for query, grades in found.qrels().items()}
    if name == "wiki-articles":
        documents, qrels = articles(documents, qrels)
    chosen = sorted(qrels, key=lambda query: zlib.crc32(query.encode()))[:MOST_QUERIES]
    texts = found.queries()
    return Collected(documents, {each: texts[each] for each in chosen}, {each: qrels[each] for each in chosen})


def articles(
    paragraphs: list[Document], qrels: dict[str, dict[str, int]]
) -> tuple[list[Document], dict[str, dict[str, int]]]:
    of_article: dict[str, list[tuple[int, Document]]] = defaultdict(list)
    for each in paragraphs:
        article, number = each.doc_id.rsplit("-", 1)
        of_article[article].append((int(number), each))
    joined = {
        article: Document(article, some[0][1].title, "\n\n".join(each.text for _, each in sorted(some, key=_number)))
        for article, some in of_article.items()
    }
    judged = {
        query: {doc_id.rsplit("-", 1)[0]: grade for doc_id, grade in grades.items()} for query, grades in qrels.items()
    }
    wanted = {article for grades in judged.values() for article in grades}
    others = sorted((each for each in joined.values() if each.doc_id not in wanted), key=lambda each: -len(each.text))
    return [*(joined[each] for each in sorted(wanted)), *others[:OTHERS]], judged


def _number(pair: tuple[int, Document]) -> int:
    return pair[0]


def run_of(encoder: Any, given: Collected, texts: list[str], starts: npt.NDArray[np.int64]) -> Any:
    """{query id: {document id: score}}. The texts of document i are starts[i] to starts[i + 1]."""
    rows = encoder.encode_documents(texts).to_scipy().T.tocsc()
    queries = encoder.encode_queries(list(given.queries.values())).to_scipy()
    names, run = list(given.queries), {}
    for first in range(0, len(names), QUERIES_AT_ONCE):
        scores = (queries[first : first + QUERIES_AT_ONCE] @ rows).toarray()
        best = np.maximum.reduceat(scores, starts[:-1], axis=1)
        top = np.argsort(-best, axis=1, kind="stable")[:, :DEPTH]
        for query, documents in enumerate(top.tolist()):
            found = ((given.documents[each].doc_id, float(best[query, each])) for each in documents)
            run[names[first + query]] = {doc_id: score for doc_id, score in found if score > 0}
    return run


def systems(name: str, given: Collected, split: PassageSplit) -> Iterator[tuple[str, int, PerQuery]]:
    """(system, its number of rows, its measures); first the system with only the first passage."""
    whole = [each.full_text for each in given.documents]
    each_alone = np.arange(len(whole) + 1)
    encoder = load_encoder(name)
    rows = PassageRows(given.documents, split, token_places(encoder))
    passages = [text for _, text in rows]
    starts = rows.starts

    def measured(system: str, encoder: Any, texts: list[str], starts: npt.NDArray[np.int64]) -> Any:
        run = run_of(encoder.fit(whole), given, texts, starts)
        return system, len(texts), evaluate_queries(given.qrels, run, list(MEASURES))

    yield measured("first passage", load_encoder(name), [passages[each] for each in starts[:-1]], each_alone)
    yield measured("whole document, as far as it is read", load_encoder(name), whole, each_alone)
    if name != "bm25":
        yield measured("max over windows", load_encoder(name, long_documents="max"), whole, each_alone)
    yield measured("best passage", load_encoder(name), passages, starts)
    plain = PassageSplit(split.tokens, split.overlap, title=False)
    rows = PassageRows(given.documents, plain, token_places(encoder))
    untitled = [text for _, text in rows]
    if untitled != passages:
        yield measured("best passage, without titles", load_encoder(name), untitled, rows.starts)


def table(name: str, encoder: str, split: PassageSplit) -> str:
    given = collected(name)
    found = list(systems(encoder, given, split))
    first = found[0][2]
    marks: dict[tuple[str, str], str] = {}
    for measure in MEASURES:
        tests = with_holm([compare_values(measure, first[measure], each[measure]) for _, _, each in found[1:]])
        for (system, _, _), test in zip(found[1:], tests, strict=True):
            if test.corrected < LEVEL:
                marks[system, measure] = " ▲" if test.difference > 0 else " ▼"
    lines = [f"{name}, {encoder}: {len(given.documents)} documents, {len(given.queries)} queries, {split}"]
    lines += [f"| system | rows | {' | '.join(MEASURES)} |", "|---|---|---|---|"]
    for system, rows, values in found:
        means = (np.mean(list(values[measure].values())) for measure in MEASURES)
        cells = (f"{mean:.4f}{marks.get((system, each), '')}" for mean, each in zip(means, MEASURES, strict=True))
        lines.append(f"| {system} | {rows:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="*", default=COLLECTIONS)
    parser.add_argument("--encoder", action="append", help="default: bm25 and tiny")
    parser.add_argument("--tokens", type=int, default=PassageSplit().tokens)
    parser.add_argument("--overlap", type=int, help="default: a fifth of the tokens")
    given = parser.parse_args()
    for name in given.collections:
        for encoder in given.encoder or ENCODERS:
            print(table(name, encoder, PassageSplit(given.tokens, given.overlap)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
