"""The DuckDB database that evaluates conditions: in memory, one per process, without access to files and extensions."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from lsr.deadline import stopping
from lsr.threads import processors

if TYPE_CHECKING:
    import duckdb

VIEW = "documents of lsr"  # the queried view

_SETTINGS = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # with which a query could read Python's variables
    "temp_directory": "",
    "memory_limit": "1GB",
    "preserve_insertion_order": "true",
}
_MOST_THREADS = 8

_lock = threading.Lock()
_here = threading.local()
_databases: list[duckdb.DuckDBPyConnection] = []  # the last one is in use; older ones are closed when unused
_abandoned: list[
    duckdb.DuckDBPyConnection
] = []  # those of a parent process, which cannot be closed without its threads


def cursor() -> duckdb.DuckDBPyConnection:
    """The cursor of this thread."""
    with _lock:
        if not _databases:
            _databases.append(_connected())
        database = _databases[-1]
    if getattr(_here, "database", None) is not database:
        _here.database, _here.cursor = database, database.cursor()
    own: duckdb.DuckDBPyConnection = _here.cursor
    return own


def query(statement: str, table: Any) -> tuple[str, Any]:
    """The type and the values, a NumPy array or a masked one, of a query of VIEW with one column.

    table: the Arrow table that is VIEW. Raises duckdb.Error, DeadlineError.
    """
    import duckdb

    own = cursor()
    own.register(VIEW, table)
    try:
        with stopping(own.interrupt):
            result = own.execute(statement)
            (values,) = result.fetchnumpy().values()
        return str(result.description[0][1]), values
    except (duckdb.FatalException, duckdb.InternalException):
        with _lock:
            _databases.clear()  # it cannot be used any more
        raise
    finally:
        own.unregister(VIEW)


def value(statement: str, parameter: str) -> Any:
    """The single value of a query with one parameter."""
    return cursor().execute(statement, [parameter]).fetchall()[0][0]


def _connected() -> duckdb.DuckDBPyConnection:
    import duckdb

    database = duckdb.connect(":memory:", config={**_SETTINGS, "threads": str(min(processors(), _MOST_THREADS))})
    database.execute("set TimeZone = 'UTC'")
    database.execute("set lock_configuration = true")
    return database


def _leave() -> None:
    global _lock
    _lock = threading.Lock()  # a thread of the parent process may have held it
    _abandoned.extend(_databases)
    _databases.clear()


os.register_at_fork(after_in_child=_leave)
