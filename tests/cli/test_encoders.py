"""lsr encoders: every method, as columns, in full, and as JSON."""

from __future__ import annotations

from typing import Any

import pytest

from lsr.encoders.presets import PRESETS
from lsr.encoders.spec import HeadSpec
from tests.cli.commands import Lsr, rejected
from tests.processes import run_python


def row_of(lsr: Lsr, name: str) -> list[str]:
    """The cells of one method, cut where the columns' titles begin."""
    head, *rows = lsr("encoders").out.splitlines()
    starts = [head.index(title) for title in ("method", "queries", "documents", "regularizer", "supervision")]
    (row,) = (row for row in rows if row.split()[0] == name)
    return [row[start:stop].strip() for start, stop in zip(starts, [*starts[1:], None], strict=True)]


def details_of(lsr: Lsr, name: str) -> dict[str, str]:
    lines = lsr("encoders", name).out.splitlines()
    width = len("query backbone") + 2 if any(line.startswith("query backbone") for line in lines) else 13
    return {line[:width].strip(): line[width:].strip() for line in lines}


def test_the_list_names_every_method(lsr: Lsr) -> None:
    outcome = lsr("encoders")
    assert (outcome.status, outcome.err) == (0, "")
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["method", *PRESETS]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("unicoil-tilde", "mlp relu sum | mlp relu max on TILDE | none | cross-entropy, negatives: 7 of BM25, "
         "in-batch"),
        ("qmlm-dmlp", "mlm log1p max | mlp log1p max | FLOPS 0.1 / - | margin-MSE to a cross-encoder, negatives: of "
         "several retrievers"),
        ("splade-v3-lexical", "mlm log1p max, literal | mlm log1p max | L1 / FLOPS | KL + 0.05 margin-MSE to five "
         "cross-encoders, negatives: 8 of SPLADE++"),
        ("opensearch-doc-v1", "idf | mlm log1p max | - / not published | not published"),
    ],
)  # fmt: skip
def test_rows_of_the_list(lsr: Lsr, name: str, row: str) -> None:
    assert row_of(lsr, name) == [name, *row.split(" | ")]


def test_one_method_in_full(lsr: Lsr) -> None:
    shown = details_of(lsr, "efficient-splade-vi-bt")
    assert shown["queries"] == shown["documents"] == "mlm log1p max"
    assert shown["networks"] == "one for each side"
    assert (shown["backbone"], shown["query backbone"]) == ("distilbert-base-uncased (encoder)", "prajjwal1/bert-tiny")
    assert (shown["regularizer"], shown["schedule"]) == ("L1 0.0005 / FLOPS 0.0005", "quadratic over 50,000 steps")
    assert "twice" in shown["not certain"]

    shown = details_of(lsr, "qmlm-dbin")
    assert (shown["documents"], shown["networks"]) == ("binary", "one, for queries; documents use a lookup table")

    shown = details_of(lsr, "prosper-echo")
    assert shown["queries"] == "mlm log1p last, residual, window 256, unit length"
    assert shown["echo"] == "each text is repeated, and the second copy is encoded"
    assert shown["schedule"] == "quadratic over 1.5 epochs"
    assert "attention" not in shown


def test_json_rebuilds_the_heads(lsr: Lsr) -> None:
    records: list[dict[str, Any]] = lsr("encoders", "--json").json
    assert [record["name"] for record in records] == list(PRESETS)
    for record, preset in zip(records, PRESETS.values(), strict=True):
        for name, side in (("query", preset.query), ("document", preset.document)):
            if isinstance(side, str):
                assert record[name] == {"lookup": side}
            else:
                assert HeadSpec(**record[name]) == side
        assert {"paper", "shared", "expanded", "regularizer", "supervision", "training", "doubt"} <= set(record)
    assert lsr("encoders", "epic", "--json").json == records[list(PRESETS).index("epic")]


@pytest.mark.parametrize(
    ("name", "nearest"), [("splad-v3", "splade-v3"), ("EPIC", "epic"), ("", "deepct"), ("qqq", "deepct")]
)
def test_an_unknown_method(lsr: Lsr, name: str, nearest: str) -> None:
    assert rejected(lsr("encoders", name)).startswith(f"{name!r} is not a method; perhaps {nearest}")


def test_no_torch() -> None:
    code = "import sys\nfrom lsr.cli.main import main\nmain(['encoders'])\nprint('torch' in sys.modules)"
    assert run_python(code).stdout.splitlines()[-1] == "False"
