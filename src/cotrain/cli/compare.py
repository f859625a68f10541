"""`cotrain compare`: did sharing help?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotrain.cli.options import Config, Preset, TimeLimit, again


def compare(
    config: Config,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds; a verdict needs five.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where the comparison goes; runs/<name>-compare if not given. Never overwritten."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted comparison; nothing is trained twice.")
    ] = False,
    preset: Preset = None,
    time_limit: TimeLimit = None,
) -> None:
    """Find out whether sharing helped.

    Trains the joint network, one network a task and boosted trees side by side, over several seeds: scores, gain
    with its interval, verdict.
    """
    import dataclasses
    import json

    from cotrain.cli.checked import checked
    from cotrain.cli.messages import note, say
    from cotrain.cli.progress import counted
    from cotrain.cli.verdict import print_verdict
    from cotrain.recipe.compare import compare as compare_config
    from cotrain.recipe.folder import newest_folder

    settings, _ = checked(config, preset)
    if time_limit is not None:
        settings = settings.limited(time_limit)
    if seeds is not None:
        settings = dataclasses.replace(
            settings, compare=dataclasses.replace(settings.compare, seeds=tuple(range(seeds)))
        )
    try:
        where = compare_config(settings, folder=folder, progress=say if resume else counted(settings), resume=resume)
    except KeyboardInterrupt:
        kept = newest_folder(f"{settings.name}-compare", folder)
        say(f"\nstopped; every training that was finished is kept in {kept}")
        options = {"--seeds": seeds, "--folder": folder, "--preset": preset, "--time-limit": time_limit}
        say(again("compare", config, options))
        raise typer.Exit(130) from None
    print_verdict(json.loads((Path(where) / "compare.json").read_text(encoding="utf-8")))
    typer.echo(str(where))
    note(f"next: cotrain report {where}")
