"""`cotrain predict`: a run's answers for new rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".arrow")
"""What predictions can be written as."""


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/census.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="New rows: csv, tsv, parquet, jsonl or arrow.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Where to write: csv, tsv, parquet, jsonl or arrow by its ending. Else CSV on stdout.",
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="TASK=NUMBER: the probability from which a yes/no task says yes. May be repeated."),
    ] = None,
) -> None:
    """Predict every task for new rows.

    Values, classes and probabilities, one row each, in the order of the rows.
    """
    import warnings

    from cotrain.cli.messages import note, warn
    from cotrain.core.errors import ConfigError, nearest
    from cotrain.recipe.run import DataWarning, load

    if output is not None and output.suffix not in SUFFIXES:
        guess = nearest(output.suffix, SUFFIXES)
        hint = f"; did you mean '{guess}'?" if guess else ""
        raise ConfigError(f"--output: expected a file ending in {', '.join(SUFFIXES)}, got '{output}'{hint}")
    if output is not None and not output.parent.is_dir():
        raise ConfigError(
            f"--output: expected a file in a folder that exists, got '{output}'; make '{output.parent}' first"
        )
    chosen = thresholds(threshold or [])
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", DataWarning)
        answers = load(run).predict(str(data), thresholds=chosen)
    for each in heard:
        warn(str(each.message))
    if output is None:
        typer.echo(flat(answers).write_csv(), nl=False)
        return
    write(answers, output)
    note(f"{answers.height} rows written to {output}")


def thresholds(words: list[str]) -> dict[str, float]:
    """{task: threshold} of `--threshold income=0.3`.

    >>> thresholds(["income=0.3"])
    {'income': 0.3}
    """
    from cotrain.core.errors import ConfigError

    found: dict[str, float] = {}
    for word in words:
        task, sign, number = word.rpartition("=")
        try:
            found[task] = float(number)
        except ValueError:
            sign = ""
        if not sign or not task:
            raise ConfigError(f"--threshold: expected TASK=NUMBER, got '{word}'; write for example income=0.3")
    return found


def flat(frame: Any) -> Any:
    """A frame in which lists of labels are words between semicolons, for files that know no lists.

    >>> import polars as pl
    >>> flat(pl.DataFrame({"tags": [["a", "b"], []]}))["tags"].to_list()
    ['a;b', '']
    """
    import polars as pl

    return frame.with_columns(pl.col(pl.List(pl.String)).list.join(";"))


def write(frame: Any, path: Path) -> None:
    """A frame to a file, in the form its ending names; a half-written file never stands under that name."""
    part = path.with_name(f".{path.name}.part")
    match path.suffix:
        case ".parquet":
            frame.write_parquet(part)
        case ".jsonl" | ".ndjson":
            frame.write_ndjson(part)
        case ".arrow":
            frame.write_ipc(part)
        case ".tsv":
            flat(frame).write_csv(part, separator="\t")
        case _:
            flat(frame).write_csv(part)
    part.replace(path)
