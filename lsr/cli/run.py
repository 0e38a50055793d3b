"""lsr run"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_next, remark, say, while_loading
from lsr.cli.search_options import takes_request
from lsr.display import counted
from lsr.retrieval.request import SearchRequest


@takes_request(k=1000)
def run(
    index: options.IndexFolder,
    queries: Annotated[
        str,
        typer.Argument(
            metavar="QUERIES|VECTORS",
            help="Queries: a collection, a file (JSON lines, or lines of id, tab and text), or vectors; - reads "
            "standard input.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="TREC run file to write. A name with .gz is compressed; - writes to stdout."
        ),
    ],
    request: SearchRequest,
    split: options.Split = None,
    same_id: options.SameId = None,
    dense: options.DenseOfQueries = None,
    encoder: options.OfQueries = None,
    threads: options.Threads = None,
    device: options.Device = None,
    tag: Annotated[str, typer.Option(metavar="NAME", help="Name of the run, written in the last column.")] = "lsr",
) -> None:
    """Search for all queries of a collection or file, and write the results as a TREC run."""
    options.check_output(output)

    from lsr.cli.asked import open_with_queries
    from lsr.collections.runs import write_run

    drop_same_id = options.drops(same_id)
    with while_loading(index):
        asked = open_with_queries(index, queries, split, drop_same_id=drop_same_id, encoder=encoder, device=device)
        asked = asked.with_dense(dense)
    found = asked.searcher.rankings(asked.queries, request, threads, asked.drop_same_id, progress=True)
    remark(asked.note)
    if same_id is None:
        remark(options.same_id_note(found))
    write_run(output, found, tag)
    say(f"{output}: {counted(sum(map(len, found.values())), 'document')} for {counted(len(found), 'query', 'queries')}")
    print_next(["evaluate", output, "QRELS" if Path(queries).is_file() else queries])
