"""`cotrain affinity`: which tasks belong together?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cotrain.cli.options import Config, Preset, TimeLimit, again


def affinity(
    config: Config,
    check: Annotated[
        bool,
        typer.Option("--check", help="Also train every task alone and every group, and say whether the groups hold."),
    ] = False,
    groups: Annotated[int | None, typer.Option(min=1, help="At most so many groups.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where the run goes; runs/<name>-affinity if not given. Never overwritten."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
    preset: Preset = None,
    time_limit: TimeLimit = None,
) -> None:
    """Find out which tasks belong together.

    Compares the tasks' gradients while all of them train together, and groups the tasks that help each other. --check trains
    the groups and says what they really do.
    """
    import dataclasses
    import json

    from cotrain.cli.checked import checked
    from cotrain.cli.messages import note, say
    from cotrain.cli.progress import progress
    from cotrain.recipe.affinity import affinity as affinity_of
    from cotrain.recipe.folder import newest_folder

    settings, _ = checked(config, preset)
    if time_limit is not None:
        settings = settings.limited(time_limit)
    if groups is not None:
        settings = dataclasses.replace(settings, affinity=dataclasses.replace(settings.affinity, groups=groups))
    try:
        where = affinity_of(settings, folder=folder, check=check, resume=resume, progress=say, watcher=progress())
    except KeyboardInterrupt:
        say(f"\nstopped; what was trained is kept in {newest_folder(f'{settings.name}-affinity', folder)}")
        asked = {"--check": check, "--groups": groups, "--folder": folder}
        say(again("affinity", config, {**asked, "--preset": preset, "--time-limit": time_limit}))
        raise typer.Exit(130) from None
    print_affinity(json.loads((Path(where) / "affinity.json").read_text(encoding="utf-8")))
    typer.echo(str(where))
    note(f"next: cotrain report {where}")


def print_affinity(document: Mapping[str, Any]) -> None:
    """The pairs, the groups, what came of them, and the advice. `document`: affinity.json."""
    from cotrain.cli.tables import print_table

    met = [pair for pair in document["pairs"] if pair["cosine"] is not None]
    rows = [
        [
            f"{pair['first']} and {pair['second']}",
            f"{pair['cosine']:+.3f}",
            "-" if pair["error"] is None else f"{pair['error']:.3f}",
        ]
        for pair in sorted(met, key=lambda pair: -pair["cosine"])
    ]
    print_table("do their gradients agree?", ["tasks", "cosine", "standard error"], rows, numbers=(1, 2))
    typer.echo("")
    gains = (document.get("check") or {}).get("gains")
    heads = ["task", "group", "its group does for it"] + (["all together", "its group"] if gains else [])
    cells = [
        [task, ", ".join(group), f"{document['predicted'][task]:+.3f}"]
        + ([_percent(gains[task]["together"]), _percent(gains[task]["grouped"])] if gains else [])
        for group in document["groups"]
        for task in group
    ]
    title = "groups, and the error less than alone" if gains else "groups"
    print_table(title, heads, cells, numbers=range(2, len(heads)))
    typer.echo("")
    typer.echo(document["verdict"])


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} %"
