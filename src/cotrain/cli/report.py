"""`cotrain report`: one page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/census.")]) -> None:
    """Write one self-contained HTML page about a run.

    It lies in the run's folder; where is printed.
    """
    from cotrain.report.page import write_report

    typer.echo(str(write_report(run)))
