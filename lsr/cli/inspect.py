"""lsr inspect"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_columns, print_json, while_loading
from lsr.display import counted
from lsr.errors import ParameterError

if TYPE_CHECKING:
    from lsr.encoders.inspection import Inspection, ScoreInspection

_SHOWN = 30


def inspect(
    encoder: Annotated[
        str, typer.Argument(metavar="ENCODER", help="tiny, the folder of a model, or a Hugging Face id.")
    ],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Text of a document, in quotes.")],
    against: Annotated[
        str | None,
        typer.Option(metavar="QUERY", help="Text of a query: show the terms that it shares with the document."),
    ] = None,
    query: Annotated[bool, typer.Option("--query", help="Encode TEXT as a query instead.")] = False,
    k: Annotated[
        int | None,
        typer.Option("-k", help=f"Number of terms to show, heaviest first. Default: {_SHOWN}, or all with --json."),
    ] = None,
    max_length: options.MaxLength = None,
    dtype: options.Dtype = "float32",
    device: options.Device = None,
    json: options.Json = False,
) -> None:
    """Show the weighted terms of a text, or the terms that a document and a query share."""
    if k is not None and k < 1:
        raise ParameterError(f"-k is {k}; it must be at least 1")
    if query and against is not None:
        raise ParameterError("--query and --against cannot be combined; with --against, TEXT is the document")

    from lsr.encoders.inspection import compare_texts, inspect_text
    from lsr.encoders.load import load_encoder

    with while_loading(encoder):
        model = load_encoder(encoder, device=device, dtype=dtype, max_length=max_length)
    if against is not None:
        compared = compare_texts(model, text, against)
        if json:
            print_json({"encoder": model.name, **_comparison_as_json(compared, k)})
        else:
            _print_comparison(compared, _SHOWN if k is None else k)
        return
    side = "query" if query else "document"
    inspected = inspect_text(model, text, query)
    if json:
        print_json({"encoder": model.name, "side": side, **_as_json(inspected, k)})
    else:
        _print_terms(side, inspected, _SHOWN if k is None else k)


def _print_terms(side: str, inspected: Inspection, k: int) -> None:
    print(_summary(side, inspected))
    if not inspected.terms:
        return
    print()
    rows = [(each.token, f"{each.weight:.4f}", _kind(each.literal)) for each in inspected.terms[:k]]
    print_columns([("term", "weight", ""), *rows])
    _print_rest(len(inspected.terms) - k)


def _print_comparison(compared: ScoreInspection, k: int) -> None:
    print(f"score {compared.score:.4f} from {counted(len(compared.shared), 'shared term')}")
    print(_summary("document", compared.document))
    print(_summary("query", compared.query))
    document, query = compared.not_shared
    print(f"not shared: {counted(document, 'term')} of the document, {query} of the query")
    if not compared.shared:
        return
    print()
    rows = [
        (
            each.token,
            f"{each.document_weight:.4f} {_kind(each.in_document)}",
            f"{each.query_weight:.4f} {_kind(each.in_query)}",
            f"{each.product:.4f}",
            f"{each.share:.1%}",
        )
        for each in compared.shared[:k]
    ]
    print_columns([("term", "document", "query", "contribution", "share"), *rows])
    _print_rest(len(compared.shared) - k)


def _summary(side: str, inspected: Inspection) -> str:
    if not inspected.terms:
        return f"{side}: no terms"
    literal, expanded, share = len(inspected.literal), len(inspected.expanded), inspected.literal_share
    return (
        f"{side}: {counted(len(inspected.terms), 'term')}, {literal} literal ({share:.1%} of the weight), "
        f"{expanded} from expansion ({1 - share:.1%})"
    )


def _kind(literal: bool) -> str:
    return "literal" if literal else "expanded"


def _print_rest(number: int) -> None:
    if number > 0:
        print(f"and {number} more")


def _as_json(inspected: Inspection, k: int | None) -> dict[str, object]:
    return {
        "text": inspected.text,
        **_counts(inspected),
        "terms": [asdict(term) for term in inspected.terms[:k]],
    }


def _comparison_as_json(compared: ScoreInspection, k: int | None) -> dict[str, object]:
    document, query = compared.not_shared
    return {
        "score": compared.score,
        "document": {"text": compared.document.text, **_counts(compared.document), "not_shared": document},
        "query": {"text": compared.query.text, **_counts(compared.query), "not_shared": query},
        "shared": [asdict(term) for term in compared.shared[:k]],
    }


def _counts(inspected: Inspection) -> dict[str, object]:
    return {
        "literal": len(inspected.literal),
        "expanded": len(inspected.expanded),
        "literal_share": inspected.literal_share,
    }
