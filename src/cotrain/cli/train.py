"""`cotrain train`: from a config to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotrain.cli.options import Config, Preset, TimeLimit, again


def train(
    config: Config,
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
    preset: Preset = None,
    time_limit: TimeLimit = None,
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
        say(again("train", config, {"--folder": folder, "--time-limit": time_limit, "--preset": preset}))
        raise typer.Exit(130) from None
    print_scores(run.metrics)
    typer.echo(str(run.folder))
    note(f"next: cotrain report {run.folder}, or cotrain predict {run.folder} DATA -o predictions.csv")
