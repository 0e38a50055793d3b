"""Train an encoder with a lexical part, and compare it with stemmed BM25 and the bundled checkpoint.

    python benchmarks/lexical_encoder.py OUT                    trains, encodes, searches, and writes OUT/results.csv
    python benchmarks/lexical_encoder.py OUT --seeds 2 --steps 1000

All data is in $LSR_TEST_DATA. The method is `lexical-doc` (lsr encoders lexical-doc) on `tiny`. Training pairs are
1,000 questions of SQuAD with their sentences and 1,000 titles of MedQuAD with their texts, each with a negative from
the first 20 results of BM25. The teachers are `minilm` and `tiny`. Twelve collections on which no variant was trained
are searched exactly. If a collection has more than --queries queries, this number is drawn at random. Existing results
in OUT are not computed again.

Systems: bm25, stemmed; tiny, with its own queries; untrained, `lexical-doc` before training; trained. Differences to
the others have two intervals of lsr.reproduce.hierarchical_bootstrap: collections, queries and seeds are drawn; and the
twelve collections are given, and queries and seeds are drawn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from effectiveness import DATA
from result_files import Row, write_rows
from rich.console import Console
from rich.table import Table as RichTable

from lsr import Encoder, SparseVectors, load_encoder
from lsr.collections.collection import Collection, load_collection
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.build import build_encoder
from lsr.encoders.collection_idf import idf_from
from lsr.encoders.folders.find import find_checkpoint
from lsr.eval.measures import query_values
from lsr.reproduce.contrasts import clusters_of
from lsr.reproduce.hierarchical_bootstrap import Cases, bootstrap_difference
from lsr.reproduce.plan_parts import MINILM, TINY, UNSEEN
from lsr.training.losses import LossSpec
from lsr.training.regularizers import FLOPS, Penalty
from lsr.training.trainer import train
from lsr.training.training_config import (
    DataConfig,
    EncoderConfig,
    OptimizerConfig,
    RegularizerConfig,
    TeacherConfig,
    TrainingConfig,
)

MEASURE, DEPTH = "nDCG@10", 100
METHOD, IDF_FROM = "lexical-doc", "squad-nqg"
PAIRS, NEGATIVES_FROM, WORDS = 1000, 20, 48  # WORDS: maximum of a training text
RATE, STRENGTH = 1e-4, 1e-3
SCALE, TEMPERATURE = 10.0, 7.0  # as in lsr.reproduce.inference_free_plan
Run = dict[str, dict[str, float]]


def top(queries: sp.csr_matrix, documents: sp.csr_matrix, count: int) -> Iterator[tuple[npt.NDArray[np.int64], ...]]:
    """(rows, scores) of the best documents with positive scores of each query, best first."""
    for start in range(0, queries.shape[0], 100):
        for scores in (queries[start : start + 100] @ documents.T).toarray():
            rows = np.lexsort((np.arange(len(scores)), -scores))[:count]
            yield rows[scores[rows] > 0], scores[rows[scores[rows] > 0]]


def write_pairs(path: Path, seed: int = 0) -> None:
    """Write the training records: questions of SQuAD and titles of MedQuAD, each with one negative."""
    random, records = Random(seed), []
    squad, medquad = load_collection(DATA / "squad-nqg", "dev"), load_collection(DATA / "medquad-liveqa")
    questions = squad.queries()
    wanted = [(questions[query], document) for query, grades in squad.qrels().items() for document in list(grades)[:1]]
    titles = [(document.title, document.doc_id) for document in medquad.documents() if document.title and document.text]
    for collection, pairs in ((squad, wanted), (medquad, titles)):
        texts = {document.doc_id: " ".join(document.text.split()[:WORDS]) for document in collection.documents()}
        ids, pairs = list(texts), random.sample(pairs, PAIRS)
        bm25 = BM25Encoder(tokenizer="english").fit(texts.values())
        queries = bm25.encode_queries([query for query, _ in pairs]).to_scipy()
        found = top(queries, bm25.encode_documents(list(texts.values())).to_scipy(), NEGATIVES_FROM)
        for (query, positive), (rows, _) in zip(pairs, found, strict=True):
            negatives = [ids[row] for row in rows if texts[ids[row]] != texts[positive] and texts[ids[row]].strip()]
            if texts[positive].strip() and negatives:
                negative = texts[random.choice(negatives)]
                records.append({"query": query, "positive": texts[positive], "negative": negative})
    random.shuffle(records)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def training(pairs: Path, steps: int, seed: int) -> TrainingConfig:
    return TrainingConfig(
        EncoderConfig(method=METHOD, backbone=TINY, idf=IDF_FROM),
        (DataConfig(records=str(pairs), group=2),),
        OptimizerConfig(batch_size=32, steps=steps, rate=RATE, precision="bfloat16"),
        (LossSpec("kl", weight=TEMPERATURE**-2, temperature=TEMPERATURE),),
        regularizer=RegularizerConfig(document=(Penalty(FLOPS, STRENGTH),)),
        teacher=TeacherConfig(dense=(MINILM,), sparse=(TINY,), scale=SCALE * TEMPERATURE, whole_batch=True),
        seed=seed,
    )


def encoded(encoder: Encoder, texts: list[str], path: Path) -> sp.csr_matrix:
    """The documents' vectors, stored in a file."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.stem}.unfinished.npz")
        sp.save_npz(unfinished, encoder.encode_documents(texts, progress=True).to_scipy())
        unfinished.rename(path)
    return sp.load_npz(path).tocsr()


def run_of(queries: SparseVectors, documents: sp.csr_matrix, query_ids: Iterable[str], ids: list[str]) -> Run:
    found = top(queries.to_scipy().tocsr(), documents, DEPTH)
    return {
        query: {ids[row]: float(score) for row, score in zip(rows, scores, strict=True)}
        for query, (rows, scores) in zip(query_ids, found, strict=True)
    }


def encoders(seeds: list[Path]) -> dict[str, Encoder]:
    """The systems, by their names in the table. They may still need `fit`."""
    table = idf_from(IDF_FROM, find_checkpoint(TINY).folder, offline_data=DATA)
    untrained = build_encoder(METHOD, TINY, idf=table, device="cpu")
    trained = {f"trained-{number}": load_encoder(folder, device="cpu") for number, folder in enumerate(seeds, start=1)}
    return {
        "bm25": BM25Encoder(tokenizer="english"),
        TINY: load_encoder(TINY, device="cpu"),
        "untrained": untrained,
    } | trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--queries", type=int, default=500, help="maximum number of queries per collection")
    arguments = parser.parse_args()
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    pairs = output.resolve() / "pairs.jsonl"
    if arguments.seeds and not pairs.exists():
        write_pairs(pairs)
    seeds = [output / f"seed-{seed}" for seed in range(1, arguments.seeds + 1)]
    for seed, folder in enumerate(seeds, start=1):
        train(training(pairs, arguments.steps, seed), folder, offline_data=DATA, device="cpu", progress=True)
    systems = encoders([folder / "encoder" for folder in seeds])

    rows: list[Row] = []
    cases = {name: [] for name in systems}  # system -> values of the queries of each collection
    clusters: list[npt.NDArray[np.int64]] = []
    for judged in UNSEEN:
        collection: Collection = load_collection(DATA / judged.path.rpartition("/")[2], judged.split)
        texts = {document.doc_id: document.full_text for document in collection.documents()}
        qrels, queries = collection.qrels(), collection.queries()
        judged_queries = [query for query in queries if query in qrels]
        chosen = sorted(Random(0).sample(judged_queries, min(len(judged_queries), arguments.queries)))
        ids, judgments = list(texts), {query: qrels[query] for query in chosen}
        _, numbers = np.unique([clusters_of(qrels, 1)[query] for query in chosen], return_inverse=True)
        clusters.append(numbers.astype(np.int64))
        for name, encoder in systems.items():
            encoder.fit(texts.values())
            documents = encoded(encoder, list(texts.values()), output / "vectors" / f"{judged.name}.{name}.npz")
            vectors = encoder.encode_queries([queries[query] for query in chosen])
            run = run_of(vectors, documents, chosen, ids)
            values = query_values(judgments, run, [MEASURE])[MEASURE]
            per_query = np.array([values.get(query, 0.0) for query in chosen])
            cases[name].append(per_query)
            sizes = {"collection": judged.name, "documents": len(ids), "queries": len(chosen), "system": name}
            rows.append({**sizes, MEASURE: f"{per_query.mean():.4f}", "non-zeros": f"{documents.nnz / len(ids):.1f}"})
            print(*rows[-1].values(), flush=True)
    write(output, rows, cases, clusters, [f"trained-{number}" for number in range(1, len(seeds) + 1)])


def write(
    output: Path,
    rows: list[Row],
    cases: dict[str, list[npt.NDArray[np.float64]]],
    clusters: list[npt.NDArray[np.int64]],
    trained: list[str],
) -> None:
    """Write results.csv and differences.csv, and print the differences."""
    write_rows(output / "results.csv", rows)
    differences: list[Row] = []
    for name, seeds in (("untrained", ["untrained"]), ("trained", trained)):
        for other in ("bm25", TINY, "untrained"):
            if not seeds or name == other:
                continue
            mean = np.mean([values.mean() for seed in seeds for values in cases[seed]])
            compared = [
                Cases(cases[other][number][None], np.stack([cases[seed][number] for seed in seeds]), groups)
                for number, groups in enumerate(clusters)
            ]
            for drawn, what in ((True, "collections, queries, seeds"), (False, "queries, seeds")):
                found = zip(
                    ("difference", "low", "high", "p"), bootstrap_difference(compared, drawn=drawn), strict=True
                )
                figures = {column: f"{value:.4f}" for column, value in found}
                differences.append({"system": name, "mean": f"{mean:.4f}", "less": other, "drawn": what, **figures})
    write_rows(output / "differences.csv", differences)
    shown = RichTable(*differences[0], title=f"mean {MEASURE} over {len(clusters)} collections, and differences")
    for each in differences:
        shown.add_row(*each.values())
    Console(width=140).print(shown)


if __name__ == "__main__":
    main()
