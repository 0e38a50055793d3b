"""One table in three notations."""

from __future__ import annotations

import csv
import io
import re

from hypothesis import given
from hypothesis import strategies as st

from lsr.eval.tables import BETTER, WORSE, Column, Table, to_csv, to_latex, to_markdown

TABLE = Table(
    [Column("system_1"), Column("nDCG@10", 4), Column("µs", 0)],
    [["a|b & 50%", 0.123456, 12345.6], ["c\nd", None, 7.0]],
    {(0, 1): BETTER, (1, 2): WORSE},
    {(0, 1)},
)


def test_markdown() -> None:
    assert to_markdown(TABLE) == (
        "| system_1 | nDCG@10 | µs |\n| --- | ---: | ---: |\n| a\\|b & 50% | **0.1235**▲ | 12,346 |\n| c d | – | 7▼ |\n"
    )


def test_csv_keeps_every_digit() -> None:
    rows = list(csv.reader(io.StringIO(to_csv(TABLE))))
    assert rows == [["system_1", "nDCG@10", "µs"], ["a|b & 50%", "0.123456", "12345.6"], ["c\nd", "", "7.0"]]


def test_latex_escapes_and_marks() -> None:
    text = to_latex(TABLE, "50% of #1_x", "my_run.1")
    assert text.startswith(r"% needs \usepackage[T1]{fontenc} and \usepackage{booktabs,graphicx,amssymb,textcomp}")
    assert "\\label{tab:my-run-1}\n\\resizebox{" in text and "\\end{tabular}}\n" in text
    assert r"\caption{50\% of \#1\_x}" in text
    assert r"a\textbar{}b \& 50\% & \textbf{0.1235}$^{\blacktriangle}$ & 12,346 \\" in text
    assert r"c d & -- & 7$^{\blacktriangledown}$ \\" in text
    assert r"\begin{tabular}{lrr}" in text
    assert text.count(r"\begin") == text.count(r"\end") == 2
    assert r"\caption" not in to_latex(TABLE)


def tabulars(text: str) -> list[list[list[str]]]:
    """The header and the rows of each tabular."""
    found = re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", text, re.DOTALL)
    return [[line[:-3].split(" & ") for line in each.splitlines() if line.endswith(r" \\")] for each in found]


def test_a_wide_table_takes_both_columns_and_a_wider_one_several_tabulars() -> None:
    for columns, environment, expected in ((3, "table", 1), (8, "table*", 1), (40, "table*", 5)):
        names = [f"system-{at}" for at in range(columns)]
        table = Table(
            [Column("set"), *(Column(name, 4) for name in names)], [["a", *range(columns)], ["b"] + [None] * columns]
        )
        text = to_latex(table, "all", "all")
        assert text.count(rf"\begin{{{environment}}}") == text.count(r"\caption") == text.count(r"\label") == 1
        parts = tabulars(text)
        assert len(parts) == expected
        assert [name for part in parts for name in part[0][1:]] == names
        assert [value for part in parts for value in part[1][1:]] == [f"{at}.0000" for at in range(columns)]
        for part in parts:
            assert [row[0] for row in part] == ["set", "a", "b"]
            assert sum(len(cell) + 2 for cell in part[0]) <= 105


def test_a_long_table_is_cut_between_collections() -> None:
    rows = [[f"set-{at // 7}", f"system-{at % 7}", at] for at in range(100)]
    text = to_latex(Table([Column("set"), Column("system"), Column("AP", 0)], rows), "all", "all")
    parts = tabulars(text)
    assert [len(part) - 1 for part in parts] == [35, 35, 30]
    assert [row[2] for part in parts for row in part[1:]] == [str(at) for at in range(100)]
    assert text.count(r"\caption{all}") == text.count(r"\label") == 1 and text.count("(continued)") == 2
    assert text.count(r"\addlinespace") == 14 - 2
    whole = to_latex(Table([Column("set"), Column("AP", 0)], [["same", at] for at in range(100)]))
    assert [len(part) - 1 for part in tabulars(whole)] == [40, 40, 20]


def test_a_table_without_rows() -> None:
    empty = Table([Column("a")], [])
    assert to_markdown(empty) == "| a |\n| --- |\n"
    assert to_csv(empty) == "a\n"
    assert r"\bottomrule" in to_latex(empty)


values = st.one_of(
    st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00")), st.floats()
)


@given(st.lists(st.tuples(values, values), max_size=5))
def test_csv_reads_back(rows: list[tuple[str | float | None, str | float | None]]) -> None:
    text = to_csv(Table([Column("a"), Column("b", 1)], rows))
    expected = [["" if v is None else v if isinstance(v, str) else repr(v) for v in row] for row in rows]
    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == expected


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_cell_never_breaks_a_row(text: str) -> None:
    lines = to_markdown(Table([Column("a"), Column("b")], [[text, "x"]])).split("\n")
    assert len(lines) == 4
    assert lines[2].replace(r"\|", "").count("|") == 3
