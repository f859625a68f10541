"""Two databases behind one small door: SQLite (a file, or memory) and PostgreSQL.

`batch(*statements)` runs statements, each (sql, values) with `?` for a value, in one transaction, and answers the rows of each. PostgreSQL is
sent all of them at once: a round trip a batch, however many statements. A batch may be sent again after a lost connection or a conflict,
so that its statements must stand being run twice.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from cotrain.core.errors import ConfigError, StudyError
from cotrain.search.extras import require

Row = tuple[Any, ...]
Statement = tuple[str, tuple[Any, ...]]
Answer = TypeVar("Answer")

PATIENCE = 60.0
"""So many seconds a connection that was lost is sought again before the worker gives up."""


class Database(Protocol):
    """`now`: SQL for the database's own clock, in seconds. `prepare`: what keeps others from making the same tables at once.

    `batch(..., durable=True)` answers when what was written would outlive a crash of the server's machine; otherwise the last moments may
    be lost with it. `close`: gives the connection of this thread back.
    """

    now: str
    prepare: tuple[Statement, ...]

    def batch(self, *statements: Statement, durable: bool = False) -> list[list[Row]]: ...

    def close(self) -> None: ...


def connect(place: str) -> Database:
    """The database of a study: "memory", a file's path, "sqlite:///file" or "postgresql://user:password@host:port/name".

    Raises ConfigError for a place of another kind and StudyError, in one sentence, where nobody answers.
    """
    if place == "memory":
        return SQLite(None)
    scheme, mark, rest = place.partition("://")
    try:
        urlsplit(place).port  # noqa: B018  it is read when it is asked for
    except ValueError as error:
        raise ConfigError(
            f"a study's address is postgresql://USER@HOST:PORT/NAME, and this one cannot be read ({error})"
        ) from None
    if not mark:
        return SQLite(Path(place))
    if scheme == "sqlite":
        return SQLite(Path(rest.removeprefix("/")))
    if scheme in ("postgresql", "postgres"):
        return PostgreSQL(place)
    raise ConfigError(
        f"a study lives in memory, in a file or at sqlite:///FILE or postgresql://USER@HOST/NAME, got {shown(place)}"
    )


class SQLite:
    """A file that processes of one machine share, or memory that the threads of one process share."""

    now = "((julianday('now') - 2440587.5) * 86400.0)"
    prepare: tuple[Statement, ...] = ()

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._own = threading.local()
        self._shared = self._opened(":memory:") if path is None else None
        self._lock = threading.RLock()
        self.batch(("SELECT 1", ()))

    def batch(self, *statements: Statement, durable: bool = False) -> list[list[Row]]:
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                if self._shared is None:
                    return _in_one_transaction(self._connection(), statements)
                with self._lock:
                    return _in_one_transaction(self._shared, statements)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > give_up:
                    raise StudyError(f"the study's file {self._path} cannot be used: {error}") from error
                time.sleep(0.05)
            except sqlite3.DatabaseError as error:
                raise StudyError(f"{self._path} is no study: {error}") from error

    def _connection(self) -> sqlite3.Connection:
        known = getattr(self._own, "connection", None)
        if known is None or self._own.process != os.getpid():  # a connection does not outlive a fork
            known = self._own.connection = self._opened(str(self._path))
            self._own.process = os.getpid()
            known.execute("PRAGMA journal_mode = WAL")
            known.execute("PRAGMA synchronous = NORMAL")
        return known

    def _opened(self, name: str) -> sqlite3.Connection:
        return sqlite3.connect(name, timeout=PATIENCE, isolation_level=None, check_same_thread=False)

    def close(self) -> None:
        known = getattr(self._own, "connection", None)
        if known is not None:
            known.close()
            self._own.connection = None


def _in_one_transaction(connection: sqlite3.Connection, statements: tuple[Statement, ...]) -> list[list[Row]]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        answers = [connection.execute(sql, values).fetchall() for sql, values in statements]
    except BaseException:
        connection.rollback()
        raise
    connection.execute("COMMIT")
    return answers


class PostgreSQL:
    """A server that many machines share. A lost connection is sought again for a minute."""

    now = "extract(epoch from clock_timestamp())::float8"
    prepare: tuple[Statement, ...] = (("SELECT pg_advisory_xact_lock(7232061)", ()),)

    def __init__(self, url: str) -> None:
        require("a study in PostgreSQL", "psycopg")
        self._url = url
        self._own = threading.local()
        self._open()

    def batch(self, *statements: Statement, durable: bool = False) -> list[list[Row]]:
        begin = "BEGIN; SET LOCAL synchronous_commit TO on" if durable else "BEGIN"
        text = "; ".join([begin, *(sql.replace("?", "%s") for sql, _ in statements), "COMMIT"])
        values = [value for _, one in statements for value in one]
        return self._tried(lambda connection: _rows(connection, text, values, skip=2 if durable else 1))

    def _tried(self, use: Callable[[Any], Answer]) -> Answer:
        from psycopg import Error, OperationalError

        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                return use(self._connection())
            except OperationalError as error:
                self.close()
                if time.monotonic() > give_up:
                    raise self._unreachable(error) from error
                time.sleep(0.2)
            except StudyError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.2)
            except Error as error:
                raise StudyError(f"the study at {shown(self._url)} cannot be used: {_first_line(error)}") from error

    def _connection(self) -> Any:
        known = getattr(self._own, "connection", None)
        if known is None or known.closed or self._own.process != os.getpid():
            known = self._open()
        return known

    def _open(self) -> Any:
        from psycopg import ClientCursor, Error, connect

        try:
            self._own.connection = connect(
                self._url,
                autocommit=True,
                connect_timeout=10,
                options="-c synchronous_commit=off",
                cursor_factory=ClientCursor,  # it takes several statements with values at once
            )
        except Error as error:
            raise self._unreachable(error) from error
        self._own.process = os.getpid()
        return self._own.connection

    def _unreachable(self, error: Exception) -> StudyError:
        return StudyError(
            f"the database at {shown(self._url)} does not answer ({_first_line(error)}); "
            "is it running, and do user, password and name fit?"
        )

    def close(self) -> None:
        known = getattr(self._own, "connection", None)
        if known is not None:
            known.close()
            self._own.connection = None


def _rows(connection: Any, text: str, values: list[Any], skip: int) -> list[list[Row]]:
    """The rows of each statement but the first `skip` and the last one."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(text, values)
        except BaseException:
            if not connection.closed:
                connection.rollback()
            raise
        answers = [cursor.fetchall() if cursor.description else []]
        while cursor.nextset():
            answers.append(cursor.fetchall() if cursor.description else [])
    return answers[skip:-1]


def shown(url: str) -> str:
    """The URL as it may be shown: without the password.

    >>> shown("postgresql://ann:secret@db.lab:5432/studies")
    'postgresql://ann@db.lab:5432/studies'
    """
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.username else ""
    return parts._replace(netloc=user + parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
