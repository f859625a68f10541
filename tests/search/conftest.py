"""Where studies of tests live: memory, a file, a PostgreSQL server of the session's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from search.server import missing, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    pytest.importorskip("psycopg")
    why = missing()
    if why is not None:
        pytest.skip(why)
    with running() as url:
        yield url


@pytest.fixture(params=["memory", "file", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    return "memory" if request.param == "memory" else str(tmp_path / "study.sqlite")


@pytest.fixture(params=["file", "postgres"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place that several processes can open."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    return f"sqlite:///{tmp_path / 'study.sqlite'}"
