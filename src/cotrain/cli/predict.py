"""`cotrain predict`: a run's answers for new rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from typing import Annotated, Any

import typer

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".arrow")
"""What predictions can be written as."""

KEEP_LISTS = (".parquet", ".jsonl", ".ndjson", ".arrow")
"""Files that know lists."""


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
    source: Annotated[
        str | None, typer.Option(help="Whose rows these are, where the run has several sources; its tasks answer.")
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
        trained = load(run)
        if trained.in_pieces(str(data), source):
            frames = trained.predict_pieces(str(data), thresholds=chosen, source=source)
        else:
            frames = iter([trained.predict(str(data), thresholds=chosen, source=source)])
        count = told(frames) if output is None else write(frames, output)
    for each in heard:
        warn(str(each.message))
    if output is not None:
        note(f"{count} rows written to {output}")


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


def told(frames: Iterable[Any]) -> int:
    """Frames as one CSV on stdout; how many rows."""
    rows = 0
    for number, frame in enumerate(frames):
        typer.echo(flat(frame).write_csv(include_header=not number), nl=False)
        rows += frame.height
    return rows


def write(frames: Iterable[Any], path: Path) -> int:
    """Frames below each other to a file, in the form its ending names, one at a time; a half-written file never stands under that name.

    Answers how many rows.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        rows = written(iter(frames), part, path.suffix)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return rows


def written(frames: Iterator[Any], path: Path, suffix: str) -> int:
    """Frames to a file: made here, one after the other, and written by a thread beside.

    Polars would ask for them from whichever of its threads is free; what a network leaves behind in each thread's share of memory then adds
    up. An error while they are made stays what it is.
    """
    if suffix not in KEEP_LISTS:
        frames = map(flat, frames)
    first = next(frames)
    ready: Queue[Any] = Queue(maxsize=1)
    failed: list[BaseException] = []

    def source(columns: list[str] | None, predicate: Any, n_rows: int | None, size: int | None) -> Iterator[Any]:
        while (frame := ready.get()) is not None:
            yield frame if columns is None else frame.select(columns)

    def sink() -> None:
        try:
            _sink(source, first.schema, path, suffix)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is raised where the frames are made)
            failed.append(error)

    writer = Thread(target=sink, daemon=True)
    writer.start()
    rows = 0
    try:
        for frame in chain([first], frames):
            if not _put(ready, frame.cast(first.schema), writer):
                break
            rows += frame.height
    finally:
        _put(ready, None, writer)
        writer.join()
    if failed:
        raise failed[0]
    return rows


def _put(ready: Queue[Any], frame: Any, writer: Thread) -> bool:
    """Hand over a frame; False if nobody takes it any more."""
    while writer.is_alive():
        try:
            ready.put(frame, timeout=0.1)
        except Full:
            continue
        return True
    return False


def _sink(source: Any, schema: Any, path: Path, suffix: str) -> None:
    from polars.io.plugins import register_io_source

    lazy = register_io_source(source, schema=schema)
    match suffix:
        case ".parquet":
            lazy.sink_parquet(path)
        case ".jsonl" | ".ndjson":
            lazy.sink_ndjson(path)
        case ".arrow":
            lazy.sink_ipc(path)
        case ".tsv":
            lazy.sink_csv(path, separator="\t")
        case _:
            lazy.sink_csv(path)
