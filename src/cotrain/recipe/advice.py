"""What to try where sharing harmed a task: one more variant of the comparison, as its config would say it."""

from __future__ import annotations

from collections.abc import Sequence

from cotrain.recipe.config import Config
from cotrain.recipe.initial import quoted

LESS = 0.3
"""The weight of tasks that leave room to others."""


def advice(config: Config, harmed: Sequence[str]) -> str | None:
    """One sentence on what may mend the harm; None where nothing was harmed, or nothing is shared. harmed: tasks of the config's own variant.

    Where some tasks were harmed and weights are the config's to give, they are weighed more against the others, by 1 to LESS; else less is
    shared. It is a thing to try and no promise: the comparison tells.
    """
    if not harmed or config.sharing.name == "none":
        return None
    others = [task for task in config.tasks if task not in harmed]
    name = config.balance.name
    if others and name in ("sum", "static"):
        own = dict(config.balance.settings.get("weights") or {}) if name == "static" else {}
        more = len(harmed) < len(others)
        changed, times = (harmed, 1 / LESS) if more else (others, LESS)
        weights = {**own, **{task: own.get(task, 1.0) * times for task in changed}}
        told = ", ".join(f"{quoted(task)}: {weight:.3g}" for task, weight in weights.items())
        what = (
            f"weigh {'the harmed more' if more else 'the others less'}, balance: {{name: static, weights: {{{told}}}}}"
        )
    else:
        what = "share less, for example sharing: {name: hard, split: -1}, or train them apart (none)"
    return f"What may mend it: {what}; as one of compare.variants it is compared beside. cotrain tune --auto searches weights and ways of sharing."
