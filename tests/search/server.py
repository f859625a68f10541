"""A PostgreSQL server of the test's own, or a skip that says why there is none."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin")


def program(name: str) -> str | None:
    """Where a program of PostgreSQL lies: on the path, or where Debian puts it."""
    found = shutil.which(name)
    if found:
        return found
    others = [
        str(path / name) for place in PLACES for path in sorted(Path("/").glob(place[1:])) if (path / name).exists()
    ]
    return others[-1] if others else None


def missing() -> str | None:
    """Why no server can be started here; None: one can."""
    if program("postgres") is None or program("initdb") is None:
        return "PostgreSQL's programs postgres and initdb are not installed"
    if os.geteuid() == 0 and _somebody() is None:
        return "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as"
    return None


def _somebody() -> str | None:
    import pwd

    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The URL of an empty database `studies` on a server that lives as long as this."""
    user = _somebody() if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="cotrain-postgres-") as folder:
        home = Path(folder)
        if user is not None:
            shutil.chown(home, user)
        data = home / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        subprocess.run(
            [str(program("initdb")), "-D", str(data), "-U", "ann", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
            check=True, capture_output=True, user=user, cwd=home,
        )  # fmt: skip
        server = subprocess.Popen(
            [str(program("postgres")), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(home)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user, cwd=home,
        )  # fmt: skip
        try:
            url = f"postgresql://ann:secret@127.0.0.1:{port}/postgres"
            _wait(url)
            yield url
        finally:
            server.send_signal(2)  # fast shutdown
            server.wait(30)


def _wait(url: str) -> None:
    import psycopg

    give_up = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
