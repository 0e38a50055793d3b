from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.errors import ParameterError
from lsr.index.metadata import condition as module
from lsr.index.metadata.condition import parsed
from lsr.index.metadata.matching import matching

ATTACKS = [
    "",
    " ",
    "-- nothing",
    "year >",
    "1) from range(10) as t(year) where (1",
    "1), (2",
    "1); drop table x; select (1",
    "1); select (1",
    "1) as r from 'x.csv' -- ",
    "(select 1)",
    "year in (select 1)",
    "year = any([1])",
    "exists (from 'x.csv')",
    "exists (select * from read_csv('x.csv'))",
    "(select content from read_text('/etc/passwd')) like 'root%'",
    "read_text('/etc/passwd') is null",
    "count(*) > 1",
    "sum(year) > 1",
    "list_aggregate([1], 'sum') = 1",
    "row_number() over () = 1",
    "columns('y') = 1",
    "columns(*) = 1",
    "*",
    "year.*",
    "#1 = 1",
    "$1 = 1",
    "? = 1",
    "default",
    "unnest([true])",
    "random() > 0.5",
    "uuid() = 'x'",
    "nextval('x') = 1",
    "setseed(0.5) is null",
    "now() > '2020-01-01'",
    "current_date > '2020-01-01'",
    "today() > '2020-01-01'",
    "age(timestamp '2020-01-01') > interval 1 day",
    "getenv('HOME') = 'x'",
    "getvariable('x') = 'x'",
    "current_setting('threads') = '1'",
    "current_database() = 'x'",
    "version() = 'x'",
    "write_log('x') is null",
    "sleep_ms(1) is null",
    "pg_sleep(1) is null",
    "error('x')",
    "repeat('a', 3000000000) = 'x'",
    "lpad('a', 3000000000, 'b') = 'x'",
    "len(range(3000000000)) > 1",
    "len(generate_series(1, 3000000000)) > 1",
    "list_resize([1], 3000000000) is null",
    "format('{:>1000000000}', 1) = 'x'",
    "printf('%1000000000d', 1) = 'x'",
    "bar(1, 0, 1, 1000000000) = 'x'",
    "replace('a', 'a', 'aaaaaaaaaa') = 'x'",
    "hex('a') = 'x'",
    "list_transform([1], lambda x: x) is null",
    "list_transform([1], x -> x) is null",
    "list_reduce(['a'], lambda a, b: a || b) is null",
    "null::int[1000000000] is null",
    "cast(null as struct(a int)) is null",
    "'x'::enum('x', 'y') = 'x'",
    "'x'::my_type = 'x'",
    "json_execute_serialized_sql('{}') is null",
    "json_serialize_sql('select 1') is null",
    "query('select 1') is null",
    "year.lower() = 'a'",
    "nullif.system.main.lower('A') = 'a'",
    "invoke(lambda x: x, 1) = 1",
    "struct_pack(a := 1) is null",
    "attach 'x.db'",
    "set threads = 1",
    "pragma version",
    "install httpfs",
    "copy (select 1) to 'x.csv'",
    "(" * 5000 + "true" + ")" * 5000,
    "x" * 200_000,
    "\ud800 = 1",
    "year = 1 /*",
    "year = $$x",
    "year = 'x",
    'year = "x',
]


@pytest.mark.parametrize("text", ATTACKS, ids=range(len(ATTACKS)))
def test_only_one_expression_that_only_computes(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.csv").write_text("a\n1\n")
    with pytest.raises(ParameterError) as caught:
        condition = parsed(text)
        matching(condition, {name: pa.chunked_array([pa.array([1])]) for name in condition.names}, 1)
    assert "\n" not in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["x.csv"]


def test_every_function_of_duckdb_that_is_not_listed_is_refused() -> None:
    from lsr.index.metadata.database import cursor

    names = {name for (name,) in cursor().execute("select distinct function_name from duckdb_functions()").fetchall()}
    assert len(names - module._FUNCTIONS) > 500
    for name in sorted(names - module._FUNCTIONS)[::20]:
        with pytest.raises(ParameterError):
            parsed(f'"{name}"(1) is null')
    volatile = cursor().execute("select distinct function_name from duckdb_functions() where stability = 'VOLATILE'")
    assert not module._FUNCTIONS & {name for (name,) in volatile.fetchall()}


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    import duckdb

    from lsr.index.metadata.database import cursor

    for statement in (
        "set enable_external_access = true",
        "set threads = 1",
        f"copy (select 1) to '{tmp_path / 'x.csv'}'",
        "select * from read_text('/etc/passwd')",
        f"attach '{tmp_path / 'x.db'}'",
        "install httpfs",
        "load httpfs",
    ):
        with pytest.raises(duckdb.Error):
            cursor().execute(statement)
    secret = [1]  # noqa: F841
    with pytest.raises(duckdb.Error):
        cursor().execute("select * from secret")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", " \n"])
def test_nothing_is_no_condition(text: str) -> None:
    with pytest.raises(ParameterError, match="it is empty; give one SQL expression"):
        parsed(text)


def test_errors_point_into_the_condition() -> None:
    with pytest.raises(ParameterError, match="'year >': it ends too early"):
        parsed("year >")
    with pytest.raises(ParameterError, match='in double quotes: "when"'):
        parsed("when > 3")
    with pytest.raises(ParameterError, match="of type dict"):
        parsed({"year": 3})  # type: ignore[arg-type]


def test_named_columns() -> None:
    condition = parsed('Year > 1 and year < 3 or "odd ""name""" = \'x\' and who.name = lower(other)')
    assert condition.spellings == ("Year", "year", 'odd "name"', "who", "other")
    assert condition.names == ("Year", 'odd "name"', "who", "other")
    assert condition.operator == "OR"
    assert [each.spellings for each in condition.parts] == [("Year", "year"), ('odd "name"', "who", "other")]


@pytest.mark.parametrize(
    "text",
    [
        "not " * 20_000 + "true",
        "case when true then " * 4000 + "true" + " end" * 4000,
        "5000 = " + "+".join(["1"] * 5000),
        " or ".join(["true"] * 9000),
    ],
    ids=range(4),
)
def test_deep_nesting_does_not_crash(text: str) -> None:
    with suppress(ParameterError):
        assert matching(parsed(text), {}, 1).tolist() == [True]


def test_comments_and_lines() -> None:
    assert parsed("year -- of publication\n > 2020 /* and no more */").spellings == ("year",)


FRAGMENTS = """( ) , ' " -- /* */ ; select from where year 1 and or = $$ in union with as lambda : -> read_text 'x.csv'
    * :: int [ ]""".split()  # noqa: SIM905


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*FRAGMENTS, "\n"]), max_size=9))
def test_fragments_never_escape(fragments: list[str]) -> None:
    """Whatever passes is one expression over columns, and gives one truth value for each row."""
    try:
        condition = parsed(" ".join(fragments))
        columns = {name: pa.chunked_array([pa.array([1, None, 3])]) for name in condition.names}
        found = matching(condition, columns, 3)
    except ParameterError:
        return
    assert found.shape == (3,)


def test_many_threads() -> None:
    columns = {"year": pa.chunked_array([pa.array(range(100_000))])}
    wrong: list[object] = []

    def work(limit: int) -> None:
        for at in range(limit, limit + 20):
            found = matching(parsed(f"year < {at}"), columns, 100_000)
            if found.sum() != at:
                wrong.append((at, found.sum()))

    threads = [threading.Thread(target=work, args=(1000 * i,)) for i in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def test_after_a_fork() -> None:
    code = """
import os, pyarrow as pa
from lsr.index.metadata.condition import parsed
from lsr.index.metadata.matching import matching
columns = {"a": pa.chunked_array([pa.array(range(1000))])}
assert matching(parsed("a < 10"), columns, 1000).sum() == 10
child = os.fork()
if not child:
    os._exit(int(matching(parsed("a < 20"), columns, 1000).sum()))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 20
assert matching(parsed("a < 30"), columns, 1000).sum() == 30
"""
    environment = {**os.environ, "TZ": "Asia/Tokyo"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
