"""`cotrain demo`: the whole way on real data that ships with scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]", help="Which demo: cancer (a table), digits (pictures: which digit, and where)."
        ),
    ] = "cancer",
    folder: Annotated[Path, typer.Option(help="Where to put table, config and runs.")] = Path("cotrain-demo"),
) -> None:
    """Go the whole way on real data, in a few minutes.

    Trains, compares with one network a task (and with boosted trees, for tables), writes the report.
    """
    import json

    from cotrain.cli.messages import say
    from cotrain.cli.progress import counted
    from cotrain.cli.scores import print_scores
    from cotrain.cli.verdict import print_verdict
    from cotrain.recipe.compare import compare
    from cotrain.recipe.config import load_config
    from cotrain.recipe.demos import write_demo
    from cotrain.recipe.run import load
    from cotrain.report.page import write_report

    path = write_demo(name, folder)
    rows = next(one for one in path.parent.glob(f"{path.stem}.*") if one.suffix in (".csv", ".npz"))
    say(f"wrote {rows} and {path}")
    config = load_config(path)
    say("\none network for all tasks, one network a task and what else there is, over five seeds (cotrain compare)")
    compared = compare(config, folder=free(path.parent / "runs" / config.name), progress=counted(config))
    print_scores(load(compared).metrics)
    print_verdict(json.loads((compared / "compare.json").read_text(encoding="utf-8")))
    say("\nthe report (cotrain report)")
    typer.echo(str(write_report(compared)))


def free(folder: Path) -> Path:
    """The folder, or the first of `folder`-2, `folder`-3 ... that is not there yet: a demo may be gone through again."""
    number, path = 1, folder
    while path.exists():
        number += 1
        path = folder.with_name(f"{folder.name}-{number}")
    return path
