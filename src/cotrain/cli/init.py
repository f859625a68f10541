"""`cotrain init`: a first config from what the data looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A table: csv, tsv, parquet, jsonl, arrow; a glob in quotes.")
    ],
    target: Annotated[
        list[str], typer.Option("--target", "-t", help="A column to predict; give the option once a column.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write; the data's name with .yaml if not given.")
    ] = None,
) -> None:
    """Write a first config from what a table looks like.

    Kinds of columns and tasks are inferred; every line can be changed.
    """
    from cotrain.cli.messages import note
    from cotrain.core.errors import ConfigError
    from cotrain.recipe.initial import initial_config

    stem = Path(data).name.split(".")[0].strip("*?[]") or "config"
    path = output or Path(f"{stem}.yaml")
    if path.exists():
        raise ConfigError(
            f"--output: expected a file that does not exist yet, got '{path}'; choose another name with -o or move it away"
        )
    text = initial_config(data, target, beside=path.parent)
    path.write_text(text, encoding="utf-8")
    typer.echo(str(path))
    note(f"next: cotrain check {path}, then cotrain train {path}")
