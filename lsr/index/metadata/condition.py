"""Conditions on metadata: SQL expressions that are true for some documents.

The syntax tree of DuckDB's parser is checked before a condition runs. A condition is one expression over columns. Its
operators and functions only compute a result of about the size of their arguments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

from lsr.checks import check_text, shown
from lsr.errors import ParameterError
from lsr.extras import need
from lsr.index.metadata.database import VIEW, value

LONGEST = 100_000  # characters of an expression
_STATEMENT = f'select (\n%s\n) as r from "{VIEW}"'

# Allowed parts of DuckDB's syntax trees.
_CLASSES = {
    *("BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION"),
    *("OPERATOR", "TYPE"),
}
_OPERATORS = {
    *("COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_NOT", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"),
    *("OPERATOR_COALESCE", "OPERATOR_NULLIF", "OPERATOR_TRY", "ARRAY_EXTRACT", "ARRAY_SLICE", "ARRAY_CONSTRUCTOR"),
    *("STRUCT_EXTRACT",),
}
_TYPES = set(
    """bool boolean tinyint smallint int integer bigint hugeint int1 int2 int4 int8 utinyint usmallint uinteger ubigint
    uhugeint float float4 real double float8 decimal numeric varchar char text string date time timestamp datetime
    timestamptz interval uuid json blob""".split()  # noqa: SIM905
) | {"timestamp with time zone", "double precision"}
# Functions that read only their arguments, and whose results are not many times longer.
_FUNCTIONS = set(
    """+ - * / // % ** ^ || & | ~ << >> ~~ !~~ ~~* !~~* ~~~ ^@ @ && @> <@ -> ->>
    lower lcase upper ucase length len char_length character_length strlen trim ltrim rtrim left right substr substring
    contains prefix suffix starts_with ends_with instr strpos position reverse concat concat_ws strip_accents
    nfc_normalize split_part string_split str_split string_to_array regexp_matches regexp_full_match regexp_extract
    like_escape ilike_escape not_like_escape not_ilike_escape levenshtein editdist3 damerau_levenshtein jaccard hamming
    jaro_similarity jaro_winkler_similarity ascii ord unicode md5 hash
    abs ceil ceiling floor round trunc sign sqrt cbrt ln log log2 log10 exp pow power mod fmod gcd lcm even greatest
    least isnan isinf isfinite
    date_part datepart date_trunc datetrunc date_diff datediff date_sub datesub date_add year month day quarter week
    weekofyear yearweek isoyear isodow dayofweek weekday dayofmonth dayofyear decade century millennium era hour minute
    second millisecond microsecond epoch epoch_ms epoch_us epoch_ns dayname monthname last_day make_date make_time
    make_timestamp strptime try_strptime strftime to_timestamp timezone to_centuries to_decades to_years to_quarters
    to_months to_weeks to_days to_hours to_minutes to_seconds to_milliseconds to_microseconds
    list_value list_contains list_has array_contains array_has list_has_any array_has_any list_has_all array_has_all
    list_position list_indexof array_position list_extract list_element array_extract array_length cardinality
    list_min list_max list_sum list_avg list_count list_first list_last list_unique list_distinct
    struct_extract map_extract map_extract_value element_at map_contains map_keys map_values
    json_extract json_extract_string json_extract_path json_extract_path_text json_contains json_exists json_valid
    json_type json_array_length json_value
    typeof nullif if""".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Condition:
    """A checked expression.

    text: as given. spellings: its columns, as written in it.
    """

    text: str
    spellings: tuple[str, ...]
    _node: Mapping[str, Any] = field(repr=False, compare=False)
    _tree: Mapping[str, Any] = field(repr=False, compare=False)

    @cached_property
    def statement(self) -> str:
        """The statement for DuckDB. Parts of a condition are formatted by DuckDB."""
        if self._node is _expression_of(self._tree):
            return _STATEMENT % self.text
        node = {**self._tree["statements"][0]["node"], "select_list": [{**self._node, "alias": "r"}]}
        tree = {**self._tree, "statements": [{**self._tree["statements"][0], "node": node}]}
        return str(value("select json_deserialize_sql(?)", json.dumps(tree)))

    @property
    def names(self) -> tuple[str, ...]:
        """One spelling of each column. DuckDB ignores case."""
        first: dict[str, str] = {}
        for each in self.spellings:
            first.setdefault(each.lower(), each)
        return tuple(first.values())

    @property
    def operator(self) -> str | None:
        """AND or OR, if it joins the parts; else None."""
        return str(self._node["type"]).removeprefix("CONJUNCTION_") if self._node["class"] == "CONJUNCTION" else None

    @cached_property
    def parts(self) -> tuple[Condition, ...]:
        return tuple(self._with(child) for child in self._node["children"])

    def joined(self, parts: Sequence[Condition]) -> Condition:
        """Some of the parts, joined."""
        return self._with({**self._node, "children": [each._node for each in parts]})

    def _with(self, node: Mapping[str, Any]) -> Condition:
        return replace(self, spellings=_names_in(node), _node=node)


def parsed(text: str) -> Condition:
    """The condition in a text. Raises ParameterError unless it is one expression that only computes."""
    check_text("where", text)
    return _parsed(text)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Condition:
    need("where", "duckdb")
    import duckdb

    if not text.strip():
        raise refused(text, "it is empty")
    if len(text) > LONGEST:
        raise ParameterError(
            f"where has {len(text):,} characters, and at most {LONGEST:,} are allowed; filter by ids instead"
        )
    try:
        tree = json.loads(value("select json_serialize_sql(?)", _STATEMENT % text))
        if tree["error"]:
            raise refused(text, tree["error_message"])
        expression = _expression_of(tree)
        if expression is None:
            raise refused(text, "it is not one expression")
        for part in _parts_of(expression):
            _check(text, part)
        return Condition(text, _names_in(expression), expression, tree)
    except duckdb.Error as error:
        raise refused(text, error) from error
    except RecursionError:
        raise refused(text, "it is nested too deeply") from None


def refused(text: str, why: object) -> ParameterError:
    """The error for a condition that cannot be evaluated."""
    reason = str(why).strip().split("\n")[0] or type(why).__name__
    if reason.endswith('at or near ")"') and text.count("(") >= text.count(
        ")"
    ):  # the bracket of the surrounding statement
        reason = "it ends too early"
    elif (near := re.search(r'syntax error at or near "(\w+)"$', reason)) and near[1] in re.findall(r"\w+", text):
        reason += f' (write a column with this name in double quotes: "{near[1]}")'
    return ParameterError(
        f"where {shown(text)}: {reason.rstrip('.!')}; give one SQL expression that is true or false, such as "
        "year >= 2020 and category in ('cs', 'math')"
    )


def _expression_of(tree: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The expression, if the statement is that of _STATEMENT with one expression."""
    node, source = tree["statements"][0]["node"], tree["statements"][0]["node"].get("from_table", {})
    nothing_else = (
        len(tree["statements"]) == 1
        and node["type"] == "SELECT_NODE"
        and len(node["select_list"]) == 1
        and not node["modifiers"]
        and not any(dict(node["cte_map"]).values())
        and not any(node.get(each) for each in ("where_clause", "having", "qualify", "sample"))
        and not any(node.get(each) for each in ("group_expressions", "group_sets"))
        and source.get("type") == "BASE_TABLE"
        and source.get("table_name") == VIEW
        and not source.get("sample")
    )
    return node["select_list"][0] if nothing_else else None


def _parts_of(node: Any) -> Iterator[Mapping[str, Any]]:
    """All expressions inside an expression, in the order of the text."""
    todo = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            if "class" in each:
                yield each
            todo += reversed(each.values())
        elif isinstance(each, list):
            todo += reversed(each)


def _names_in(node: Any) -> tuple[str, ...]:
    names = (each["column_names"][0] for each in _parts_of(node) if each["class"] == "COLUMN_REF")
    return tuple(dict.fromkeys(names))


def _check(text: str, part: Mapping[str, Any]) -> None:
    kind = part["class"]
    if kind not in _CLASSES or (kind == "OPERATOR" and part["type"] not in _OPERATORS):
        raise refused(text, f"{str(part['type']).lower().replace('_', ' ')} is not allowed")
    if kind == "FUNCTION":
        name = str(part["function_name"]).lower()
        if name not in _FUNCTIONS or part.get("schema") not in ("", "main", None) or part.get("catalog"):
            raise refused(text, f"the function {part['function_name']} is not allowed")
    if kind == "CAST" or kind == "TYPE":
        name = str(part["type_name"] if kind == "TYPE" else part.get("cast_type", {}).get("id", "varchar")).lower()
        if name not in _TYPES or part.get("schema") or part.get("catalog"):
            raise refused(text, f"the type {name} is not allowed")
