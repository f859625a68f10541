"""`cotrain tune`: evaluate, adjust, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotrain.cli.options import Preset, again

if TYPE_CHECKING:
    from cotrain.recipe.tune import Tuning


def tune(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="A config with {search: ...} in it, or any with --auto.")
    ],
    auto: Annotated[
        bool,
        typer.Option(
            "--auto", help="Open what is worth varying: sharing, width, depth, head, weights, balancer, rate ..."
        ),
    ] = False,
    trials: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    time: Annotated[str | None, typer.Option(help="How long all trials may take, such as 20m.")] = None,
    sampler: Annotated[
        str | None, typer.Option(help="tpe, genetic, particle_swarm, nsga2 ... (cotrain methods tuners).")
    ] = None,
    pick: Annotated[str | None, typer.Option(help="knee, task=NAME or budget=NAME:MOST.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    storage: Annotated[
        str | None,
        typer.Option(help="Where trials are kept, so that machines can share them: postgresql://USER@HOST/NAME."),
    ] = None,
    work: Annotated[
        bool, typer.Option("--work", help="Only run trials, for a study that another machine began.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Where the tuning goes; runs/<name>-tune if not given. Never overwritten.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted tuning; no trial is run twice.")
    ] = False,
    preset: Preset = None,
) -> None:
    """Find better settings by trials on the validation rows.

    Trains the config with many values, picks the best (or a point of the trade-off), trains it again with several seeds and
    compares it with what it began with, with single-task networks tuned as long, and with boosted trees.
    """
    from contextlib import closing

    from cotrain.cli.checked import checked_with_data
    from cotrain.cli.messages import note, say
    from cotrain.cli.search_progress import search_progress
    from cotrain.cli.verdict import print_verdict
    from cotrain.recipe.folder import newest_folder, read_json
    from cotrain.recipe.tune_check import check_search
    from cotrain.recipe.tune_run import tune as run

    asked = {"trials": trials, "time": time, "sampler": sampler, "pick": pick, "storage": storage}
    search = searched(config, auto, {key: value for key, value in asked.items() if value is not None}, preset)
    check_search(search)
    checked_with_data(search.config, config)
    view = search_progress(search.settings.trials)
    try:
        with closing(view):
            where = run(
                search, folder=folder, resume=resume, workers=workers, only_work=work, progress=view.say, watch=view
            )
    except KeyboardInterrupt:
        say(f"\nstopped; every finished trial is kept in {newest_folder(f'{search.config.name}-tune', folder)}")
        options: dict[str, object] = {f"--{name}": value for name, value in asked.items()}
        options |= {"--auto": auto, "--workers": workers, "--work": work, "--folder": folder, "--preset": preset}
        say(again("tune", config, options))
        raise typer.Exit(130) from None
    if not work:
        print_verdict(read_json(where / "compare.json"))
    typer.echo(str(where))
    note(f"next: cotrain report {where}")


def searched(path: Path, auto: bool, asked: dict[str, Any], preset: str | None) -> Tuning:
    """The search of a config file, with what the command line says over its `tune:`."""
    import dataclasses

    from cotrain.recipe.auto_space import auto_space
    from cotrain.recipe.config import config_from_source
    from cotrain.recipe.searches import searches, without_searches
    from cotrain.recipe.tune import tuning
    from cotrain.recipe.yaml_source import read_yaml

    source = read_yaml(path)
    tree = dict(source.tree) if isinstance(source.tree, dict) else source.tree
    if isinstance(tree, dict):
        tree.setdefault("name", path.stem)
        own = {} if tree.get("tune") is None else tree["tune"]
        tree |= {"tune": {**own, **asked} if isinstance(own, dict) else own}
        tree |= {} if preset is None else {"preset": preset}
    folder = path.resolve().parent
    source = dataclasses.replace(source, tree=tree)
    if auto:
        plain = dataclasses.replace(source, tree=without_searches(tree) if searches(tree) else tree)
        source = dataclasses.replace(source, tree=auto_space(tree, config_from_source(plain, folder)))
    return tuning(source, folder)
