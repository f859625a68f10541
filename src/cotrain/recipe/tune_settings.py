"""The `tune:` of a config: how its open values are searched, for what, within which bounds, and what becomes of the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cotrain.core.errors import ConfigError
from cotrain.recipe.compare_settings import read_seeds
from cotrain.recipe.problems import Keys
from cotrain.recipe.reader import Choice, Reader
from cotrain.search.gallery import PRUNERS, SAMPLERS
from cotrain.search.problem import Constraint
from cotrain.training.durations import seconds_in

COSTS = ("parameters", "flops_per_row", "seconds", "peak_memory_mib", "latency_ms")
"""What a trial's network costs: its weights, operations a row, the training's seconds and memory, one row's answer in milliseconds."""

KNOWN_BEFORE = ("parameters", "flops_per_row", "latency_ms")
"""Of these, what the untrained network tells."""

GAIN = "gain"
KEYS = (
    "sampler",
    "pruner",
    "trials",
    "time",
    "rows",
    "objectives",
    "constraints",
    "pick",
    "seeds",
    "single",
    "storage",
    "lease",
    "seed",
)


@dataclass(frozen=True)
class TuneSettings:
    """sampler, pruner: how. trials: so many at most. time: seconds for all trials together, or None. rows: training rows that a trial learns
    from, of every source at most so many, drawn by the config's seed; None: all of them, as the winner always does. objectives: `gain`, tasks (their
    primary error), costs; several give a front. constraints: on the same names. pick: which point of the front is taken: knee, task=NAME
    or budget=NAME:MOST. seeds: with which the winner is trained again before it meets the test rows. single: whether single-task networks
    are tuned with as many trials too, so that the gain is one over a baseline that had the same chance. storage: a file or URL that workers
    share; None: a file in the tuning's folder. lease: seconds after which the trial of a worker that fell silent is begun again. seed: of the sampler.
    """

    sampler: Choice = field(default_factory=lambda: Choice("tpe"))
    pruner: Choice | None = None
    trials: int = 40
    time: float | None = None
    rows: int | None = None
    objectives: tuple[str, ...] = (GAIN,)
    constraints: tuple[Constraint, ...] = ()
    pick: str = "knee"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    single: bool = True
    storage: str | None = None
    lease: float = 60.0
    seed: int = 0


def read_tune(reader: Reader, tree: Any, keys: Keys) -> TuneSettings | None:
    """The settings of a search."""
    if isinstance(tree, TuneSettings):
        return tree
    given = reader.mapping(
        tree, keys, "a mapping with keys such as sampler, trials", "tune: {sampler: tpe, trials: 40}"
    )
    if given is None:
        return None
    reader.known(given, keys, KEYS)
    parts: dict[str, Any] = {}
    for key, gallery in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        if given.get(key) is not None:
            parts[key] = reader.choice(gallery, given[key], (*keys, key))
    for key, kind in (("trials", int), ("rows", int), ("single", bool), ("pick", str), ("storage", str), ("seed", int)):
        if given.get(key) is not None:
            parts[key] = reader.value(kind, given[key], (*keys, key))
    if isinstance(parts.get("trials"), int) and parts["trials"] < 1:
        reader.found((*keys, "trials"), f"expected at least one trial, got {parts['trials']}; 40 is the default")
    if isinstance(parts.get("rows"), int) and parts["rows"] < 1:
        reader.found(
            (*keys, "rows"), f"expected at least one training row, got {parts['rows']}; leave it out for all rows"
        )
    for key in ("time", "lease"):
        if given.get(key) is not None:
            try:
                parts[key] = seconds_in(f"tune.{key}", given[key])
            except ConfigError as error:
                reader.found((*keys, key), str(error))
    if "objectives" in given:
        parts["objectives"] = _objectives(reader, given["objectives"], (*keys, "objectives"))
    if "seeds" in given:
        parts["seeds"] = read_seeds(reader, given["seeds"], (*keys, "seeds"))
    parts["constraints"] = _constraints(reader, given.get("constraints", {}), (*keys, "constraints"))
    return TuneSettings(**{key: value for key, value in parts.items() if value is not None})


def _objectives(reader: Reader, tree: Any, keys: Keys) -> tuple[str, ...]:
    if isinstance(tree, str):
        return (tree,)
    if tree is None or tree == []:
        reader.found(keys, "expected at least one objective, got none; write gain, a task or a cost")
        return ()
    names = reader.value(tuple[str, ...], tree, keys) or ()
    for place, name in enumerate(names):
        if name in names[:place]:
            reader.found((*keys, place), f"expected each objective once, got '{name}' twice; take one out")
    return tuple(names)


def _constraints(reader: Reader, tree: Any, keys: Keys) -> tuple[Constraint, ...]:
    given = (
        reader.mapping(tree, keys, "a mapping from names to bounds", "constraints: {parameters: {at_most: 1e6}}") or {}
    )
    found = []
    for name, bound in given.items():
        settings = bound if isinstance(bound, Mapping) else {"at_most": bound}
        before = len(reader.problems)
        reader.known(settings, (*keys, name), ("at_most", "at_least"))
        if len(reader.problems) > before:
            continue
        try:
            found.append(Constraint(name, settings.get("at_most"), settings.get("at_least")))
        except ConfigError as error:
            reader.found((*keys, name), str(error))
    return tuple(found)
