"""lsr why"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lsr.cli import options
from lsr.cli.output import print_columns, print_json, printable, while_loading
from lsr.cli.search_options import PARAMS, takes_request
from lsr.display import counted
from lsr.index.parameters import SearchParams
from lsr.retrieval.request import SearchRequest

if TYPE_CHECKING:
    from lsr.index.tools.why import Reason, Remedy, Stages, Term, Why

_SHOWN = 30

_EXACT: dict[Reason, str] = {
    "inverted": "the index stores posting lists, so every search is exact",
    "asked for": "the search was exact",
    "few allowed": "the filter leaves few documents",
    "too few found": "the blocks contain fewer than k results",
}


@takes_request(k=10, words=[*PARAMS, "where"])
def why(
    index: options.IndexFolder,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="Text of the query, in quotes. With --queries, the id of a query.")
    ],
    document: Annotated[str, typer.Argument(metavar="DOC", help="Id of the document.")],
    request: SearchRequest,
    queries: options.Queries = None,
    encoder: options.OfQueries = None,
    json: options.Json = False,
) -> None:
    """Explain why a search returns a document, or at which stage the search drops it and which option returns it."""
    from lsr.cli.asked import open_with_query
    from lsr.retrieval.one_document import why as tell

    with while_loading(index):
        asked = open_with_query(index, query, queries, encoder)
    rows = asked.rows
    told = tell(asked.searcher.snapshot, rows[0] if isinstance(rows, list) else rows, document, request)
    explained, token = told.why, told.tokens.__getitem__
    if json:
        print_json({"query": query, "doc_id": document, **_as_json(explained, request.params, token)})
        return
    _print(document, explained, request.params, token)


def _print(document: str, explained: Why, given: SearchParams, token: Callable[[int], str]) -> None:
    from lsr.index.tools.why_told import reason

    if explained.rank is not None:
        print(f"{printable(document)} is returned, at rank {explained.rank}")
    else:
        print(f"{printable(document)} is not returned: {reason(explained)}")
    print()
    lines = [("score", _score(explained))]
    if explained.exact:
        lines.append(("search", f"every document was scored: {_EXACT[explained.exact]}"))
    if explained.stages:
        lines += _stage_lines(explained.stages, explained.params)
    if explained.rank is None:
        lines.append(("remedy", _remedy(explained, given)))
    print_columns(lines)
    used = [term for term in explained.terms if term.contribution or term.in_query_cut][:_SHOWN]
    if used:
        print()
        print_columns(_table(used, explained.stages is not None, token))
    if len(explained.terms) > len(used):
        print(f"and {len(explained.terms) - len(used)} more")


def _score(explained: Why) -> str:
    parts = [f"{explained.score:.4f}"]
    if explained.exact_rank is not None:
        parts.append(f", rank {explained.exact_rank} in an exact search")
    if explained.threshold is None:
        parts.append(f"; fewer than {counted(explained.k, 'document')} are returned")
    else:
        parts.append(f"; the last of {explained.k} results has {explained.threshold:.4f}")
    return "".join(parts)


def _stage_lines(stages: Stages, params: SearchParams) -> list[tuple[str, str]]:
    required = f"{stages.limit:.4f} at the end, {params.heap_factor:g} x the worst score in the heap"
    if stages.floor > stages.limit:
        required = f"{stages.floor:.4f}, because enough other blocks have higher estimates; {required}"
    how = {True: "visited", False: "not visited", None: "visited only if its turn came early, when less was required"}[
        stages.visited
    ]
    superblock = []
    if stages.superblock is not None and stages.superblock_floor is not None:
        looked_into = f"its blocks are estimated if this is at least {stages.superblock_floor:.4f}"
        superblock.append(("superblock", f"estimate {stages.superblock:.4f}; {looked_into}"))
    return [
        *superblock,
        ("block", f"estimate {stages.estimate:.4f}, {how}"),
        ("required", required),
        ("head", f"{stages.head:.4f}; the tail is read if the head scores at least {stages.head_limit:.4f}"),
    ]


def _remedy(explained: Why, given: SearchParams) -> str:
    if explained.remedy is None:
        return "none: no options return it"
    return f"{_words(explained.remedy, explained, given)}, which returns it at rank {explained.remedy.rank}"


def _words(remedy: Remedy, explained: Why, given: SearchParams) -> str:
    """The remedy as options to add to the given ones."""
    words = [] if remedy.k == explained.k else [f"-k {remedy.k}"]
    if remedy.params.exact and not explained.params.exact:
        words.append("--exact")
        names = ("query_cut", "heap_factor", "max_blocks", "knn", "recall")
        beside = [
            f"--{name.replace('_', '-')}" for name in names if getattr(given, name) != getattr(remedy.params, name)
        ]
        words += [f"without {' and '.join(beside)}"] if beside else []
    elif remedy.params != explained.params:
        for name in ("query_cut", "heap_factor", "max_blocks", "knn"):
            value = getattr(remedy.params, name)
            if value != getattr(given, name):
                words.append(f"--{name.replace('_', '-')} {value:g}")
        if given.recall is not None:
            words.append("without --recall")
    return " ".join(words)


def _table(terms: Sequence[Term], staged: bool, token: Callable[[int], str]) -> Iterator[tuple[str, ...]]:
    yield ("term", "query", "document", "contribution", *(("read in", "block maximum", "estimate") if staged else ()))
    for term in terms:
        yield (
            token(term.component),
            f"{term.query_weight:.4f}",
            _or_dash(term.document_weight),
            _or_dash(term.contribution),
            *(_stage_cells(term) if staged else ()),
        )


def _stage_cells(term: Term) -> tuple[str, str, str]:
    place = "-" if not term.document_weight else "head" if term.in_head else "tail"
    return place, _or_dash(term.block_maximum), _or_dash(term.estimated) if term.in_query_cut else "not in query cut"


def _or_dash(weight: float) -> str:
    return f"{weight:.4f}" if weight else "-"


def _as_json(explained: Why, given: SearchParams, token: Callable[[int], str]) -> dict[str, Any]:
    from lsr.index.tools.why_told import as_record

    record = as_record(explained, token)
    if explained.remedy:
        record["remedy"]["options"] = _words(explained.remedy, explained, given)
    return record
