"""`cotrain evaluate`: a run's scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/census.")],
    split: Annotated[str, typer.Option(help="Which rows to score: train, valid or test.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a run on one of its splits: every metric, every task."""
    import json

    from cotrain.core.errors import ConfigError, unknown
    from cotrain.recipe.run import load

    splits = ("train", "valid", "test")
    if split not in splits:
        raise ConfigError("--split: " + unknown("split", split, splits))
    trained = load(run)
    scores = trained.evaluate(split)
    if as_json:
        plain = {
            task: {name: None if value != value else value for name, value in each.items()}
            for task, each in scores.items()
        }
        typer.echo(json.dumps({"split": split, "scores": plain}, indent=2))
        return
    from cotrain.cli.scores import print_split

    print_split(split, scores, trained.metrics.get("constant") or {} if split == "test" else {})
