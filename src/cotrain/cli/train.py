"""`cotrain train`: from a config to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A config, such as census.yaml.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where the run goes; runs/<name> if not given. Never overwritten.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on where an interrupted training of this config stood: in --folder, or the newest runs/<name>.",
        ),
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option(help="fast, good or best: fills in what the config does not say; its own if not given."),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(help="How long to train at most, such as 90s, 2m or 1h; the config's own if not given."),
    ] = None,
) -> None:
    """Train what a config describes.

    The run's folder is printed at the end. Ctrl-C saves everything and says how to go on.
    """
    from cotrain.cli.checked import checked
    from cotrain.cli.messages import note, say
    from cotrain.cli.progress import progress
    from cotrain.cli.scores import print_scores
    from cotrain.recipe.run import train as train_config
    from cotrain.training.interrupt import Interrupted

    settings, _ = checked(config, preset)
    if time_limit is not None:
        settings = settings.limited(time_limit)
    try:
        run = train_config(settings, folder=folder, resume=resume, progress=progress())
    except Interrupted as stopped:
        say(f"\nstopped in epoch {stopped.epoch} after {stopped.step} steps; everything is saved in {stopped.folder}")
        where = f" --folder {folder}" if folder else ""
        more = f" --time-limit {time_limit}" if time_limit is not None else ""
        more += f" --preset {preset}" if preset is not None else ""
        say(f"go on with: cotrain train {config}{where}{more} --resume")
        raise typer.Exit(130) from None
    print_scores(run.metrics)
    typer.echo(str(run.folder))
    note(f"next: cotrain report {run.folder}, or cotrain predict {run.folder} DATA -o predictions.csv")
