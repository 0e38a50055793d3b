"""lsr evaluate"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lsr.checks import expanded
from lsr.cli import options
from lsr.cli.output import print_columns, print_json, remark, while_loading
from lsr.cli.search_options import takes_request
from lsr.collections.runs import Qrels, Run, read_qrels, read_run, write_run
from lsr.display import counted
from lsr.errors import ParameterError
from lsr.eval.judged_documents import check_index
from lsr.eval.measures import DEFAULT_MEASURES, aggregate, evaluate_queries, parse_measures, query_values
from lsr.retrieval.request import SPARSE, SearchRequest
from lsr.storage.files import STANDARD

if TYPE_CHECKING:
    from lsr.cli.asked import Asked

MEASURES = ",".join(DEFAULT_MEASURES)
_DEPTH = 1000


@takes_request(k=_DEPTH)
def evaluate(
    system: Annotated[
        Path, typer.Argument(metavar="RUN|INDEX", help="TREC run file, or folder of an index to search.")
    ],
    judgments: Annotated[
        str, typer.Argument(metavar="QRELS|COLLECTION", help="Judgments: a file of qrels, or a collection.")
    ],
    request: SearchRequest,
    measures: options.Measures = MEASURES,
    per_query: Annotated[bool, typer.Option("--per-query", help="Also print each query's values.")] = False,
    split: options.Split = None,
    same_id: options.SameId = None,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="FILE", help="Also write the run to this file (only with INDEX).")
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            metavar="QUERIES|VECTORS",
            help="Query texts or query vectors, instead of the queries of the collection (only with INDEX).",
        ),
    ] = None,
    dense: options.DenseOfQueries = None,
    encoder: options.OfQueries = None,
    threads: options.Threads = None,
    device: options.Device = None,
    json: options.Json = False,
) -> None:
    """Evaluate a run against judgments, or an index on a collection.

    Judged queries without results count as zero.
    """
    names = measure_names(measures)
    flops: float | None = None
    if system.is_dir():
        from lsr.eval.flops import expected_flops

        options.check_output(run)
        asked, qrels = _asked(system, judgments, queries, split, options.drops(same_id), encoder, dense, device)
        searcher = asked.one
        if len(searcher.index):
            check_index(qrels, searcher.snapshot.rows_of, str(system), searcher.snapshot.doc_id(0))
        if request.sides == (SPARSE,):
            vectors = asked.encoded(progress=True)
            asked, flops = asked._replace(queries=vectors), expected_flops(vectors, searcher.index)
        ranking = searcher.rankings(asked.queries, request, threads, asked.drop_same_id, progress=True)
        remark(asked.note)
        if run is not None:
            write_run(run, ranking)
        values = query_values(qrels, ranking, names)
    elif (run, queries, encoder, dense) != (None,) * 4 or request != SearchRequest(_DEPTH):
        raise ParameterError(f"--run and search options need an index, and {system} is not a folder; remove them")
    else:
        qrels, drop = read_judgments(judgments, split, options.drops(same_id))
        ranking = judged_run(system, drop)
        values = evaluate_queries(qrels, ranking, names)
    if same_id is None:
        remark(options.same_id_note(ranking))
    figures = aggregate(values)
    if json:
        record: dict[str, object] = {"queries": len(qrels), "measures": figures}
        if flops is not None:
            record["flops"] = flops
        print_json({**record, "per_query": values} if per_query else record)
        return
    if per_query:
        rows = [[query_id, *(f"{values[name][query_id]:.4f}" for name in names)] for query_id in qrels]
        print_columns([["query", *names], *rows, ["all", *(f"{figures[name]:.4f}" for name in names)]], names[:0:-1])
    else:
        shown = [(name, f"{figures[name]:.4f}") for name in names]
        print_columns(shown if flops is None else [*shown, ("FLOPS", f"{flops:.2f}")])


def _asked(
    index: Path,
    judgments: str,
    queries: str | None,
    split: str | None,
    drop_same_id: bool | None,
    encoder: str | None,
    dense: str | None,
    device: str | None,
) -> tuple[Asked, Qrels]:
    """The judged queries, from the collection or from a file, and their judgments."""
    from lsr.cli.asked import Asked, open_with_queries
    from lsr.collections.collection import load_collection
    from lsr.retrieval.searcher import Searcher

    if queries is None:
        collection = load_collection(judgments, split, drop_same_id=drop_same_id)
        qrels, texts = collection.qrels(), collection.queries()
        with while_loading(index):
            searcher = Searcher.open(index, device, encoder=encoder)
        return Asked(searcher, texts, collection.drop_same_id).with_dense(dense), qrels
    qrels, drop_same_id = read_judgments(judgments, split, drop_same_id)
    with while_loading(index):
        asked = open_with_queries(index, queries, drop_same_id=drop_same_id, encoder=encoder, device=device)
    asked = asked.with_dense(dense)
    judged = [query_id for query_id in asked.ids if query_id in qrels]
    if not judged:
        raise ParameterError(f"{queries}: none of its {len(asked.ids)} queries is judged in {judgments}; check the ids")
    return asked.chosen(judged), qrels


def measure_names(measures: str) -> list[str]:
    """The names in `measures`, separated by commas or blanks.

    Commas in brackets, as in AP(rel=2,judged_only=True), do not separate. Raises ParameterError for a measure that
    cannot be computed.
    """
    return [*parse_measures([name for name in re.split(r"[,\s]+(?![^(]*\))", measures) if name])]


def read_judgments(spec: str, split: str | None, drop_same_id: bool | None = None) -> tuple[Qrels, bool]:
    """The judgments of a file, of standard input ("-") or of a collection, and its Collection.drop_same_id."""
    from lsr.collections.collection import drops_same_id, load_collection

    path = expanded(spec)
    if path == STANDARD or (path.exists() and not path.is_dir()):
        return read_qrels(path), drops_same_id(path) if drop_same_id is None else drop_same_id
    collection = load_collection(spec, split, drop_same_id=drop_same_id)
    return collection.qrels(), collection.drop_same_id


def judged_run(path: Path, drop_same_id: bool) -> Run:
    """A run. If drop_same_id, without results whose id is the id of the query."""
    run = read_run(path)
    if drop_same_id:
        count = sum(ranking.pop(query_id, None) is not None for query_id, ranking in run.items())
        remark(f"dropped {counted(count, 'result')} with the id of the query (--same-id)" if count else "")
    return run
