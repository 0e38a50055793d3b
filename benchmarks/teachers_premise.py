"""A test whether an ensemble of teachers ranks better than each teacher: the premise of training with it.

    python benchmarks/teachers_premise.py COLLECTION --split dev --teacher dense:minilm --teacher sparse:tiny

For some random queries, each teacher scores the first documents of BM25 and the relevant ones. Prints nDCG@10 of BM25,
each teacher, the mean of their scores normalized to 0..1 per query (Geng et al. 2024), and their plain sum, with
intervals of a bootstrap over clusters of queries.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

import numpy as np

from lsr.collections.collection import load_collection
from lsr.encoders.bm25 import BM25Encoder
from lsr.eval.measures import query_values
from lsr.reproduce.contrasts import clusters_of
from lsr.reproduce.hierarchical_bootstrap import Cases, bootstrap_difference
from lsr.training.distillation import combined_scores, pairs_of
from lsr.training.start import open_teachers
from lsr.training.training_config import TeacherConfig

MEASURE = "nDCG@10"


class Group:
    """A query and its candidates."""

    def __init__(self, query_id: str, query: str, documents: dict[str, str]) -> None:
        self.query_id, self.query = query_id, query
        self.document_ids, self.documents = tuple(documents), tuple(documents.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--split", default=None)
    parser.add_argument("--teacher", action="append", required=True, metavar="KIND:NAME")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=20)
    given = parser.parse_args()
    collection = load_collection(given.collection, given.split)
    texts = {document.doc_id: document.full_text for document in collection.documents()}
    bm25 = BM25Encoder(tokenizer="english").fit(texts.values())
    documents = bm25.encode_documents(list(texts.values())).to_scipy()
    chosen = Random(0).sample(sorted(collection.queries()), given.queries)
    qrels = {query_id: collection.qrels()[query_id] for query_id in chosen}
    found = (bm25.encode_queries([collection.queries()[each] for each in chosen]).to_scipy() @ documents.T).toarray()
    ids = list(texts)
    groups, scores = [], {"bm25": []}
    for query_id, row in zip(chosen, found, strict=True):
        first = [ids[at] for at in np.argsort(-row, kind="stable")[: given.candidates]]
        own = dict.fromkeys([*(each for each in qrels[query_id] if each in texts), *first])
        groups.append(Group(query_id, collection.queries()[query_id], {each: texts[each] for each in own}))
        at = {doc_id: number for number, doc_id in enumerate(ids)}
        scores["bm25"].append(np.array([row[at[each]] for each in own]))
    assert len(pairs_of(groups, False).query_of) == sum(len(group.documents) for group in groups)
    ends = np.cumsum([len(group.documents) for group in groups])[:-1]
    teachers = []
    for each in given.teacher:
        kind, _, name = each.partition(":")
        [teacher] = open_teachers(TeacherConfig(**{kind: (name,)}), "cpu").teachers
        scores[each] = np.split(teacher.scores(groups), ends)
        teachers.append(each)
    for name, normalize in (("min-max mean", "min-max"), ("sum", "none")):
        scores[name] = [
            combined_scores([scores[each][at][None] for each in teachers], normalize)[0] for at in range(len(groups))
        ]
    clusters = clusters_of(qrels, 1)
    numbers = np.unique([clusters[each] for each in chosen], return_inverse=True)[1]
    values = {}
    for name, of_groups in scores.items():
        run = {
            group.query_id: dict(zip(group.document_ids, map(float, row), strict=True))
            for group, row in zip(groups, of_groups, strict=True)
        }
        per_query = query_values(qrels, run, [MEASURE])[MEASURE]
        values[name] = np.array([[per_query[each] for each in chosen]])
        print(f"{name:40s} {MEASURE} {values[name].mean():.4f}", flush=True)
    for name in (*teachers, "sum"):
        difference = bootstrap_difference([Cases(values[name], values["min-max mean"], numbers)])
        print(f"min-max mean - {name:25s} {difference.difference:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]")


if __name__ == "__main__":
    main()
