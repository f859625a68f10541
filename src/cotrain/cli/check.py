"""`cotrain check`: problems before any training."""

from __future__ import annotations

from cotrain.cli.options import Config, Preset


def check(
    config: Config,
    preset: Preset = None,
) -> None:
    """Find all problems of a config and its data, at once.

    Then print the plan: what each column is taken for, rows of each split, parameters, FLOPs.
    """
    from cotrain.cli.checked import checked
    from cotrain.cli.plan import print_plan

    _, plan = checked(config, preset)
    print_plan(plan)
