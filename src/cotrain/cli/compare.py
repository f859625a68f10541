"""`cotrain compare`: did sharing help?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A config, such as census.yaml.")],
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds; a verdict needs five.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where the comparison goes; runs/<name>-compare if not given. Never overwritten."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted comparison; nothing is trained twice.")
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option(help="fast, good or best: fills in what the config does not say; its own if not given."),
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            help="How long each network may train at most, such as 90s, 2m or 1h; the config's own if not given."
        ),
    ] = None,
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
        options = "".join(
            (
                f" --seeds {seeds}" if seeds else "",
                f" --folder {folder}" if folder else "",
                f" --preset {preset}" if preset else "",
                f" --time-limit {time_limit}" if time_limit else "",
            )
        )
        say(f"go on with: cotrain compare {config}{options} --resume")
        raise typer.Exit(130) from None
    print_verdict(json.loads((Path(where) / "compare.json").read_text(encoding="utf-8")))
    typer.echo(str(where))
    note(f"next: cotrain report {where}")
