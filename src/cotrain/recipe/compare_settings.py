"""The `compare:` of a config: which variants stand side by side, and over which seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cotrain.encoders.gallery import ENCODERS
from cotrain.recipe.balance_settings import Balance, read_balance
from cotrain.recipe.problems import Keys
from cotrain.recipe.reader import Choice, Reader
from cotrain.sharing.gallery import SHARINGS
from cotrain.training.settings import TrainSettings

VARIES = ("encoder", "sharing", "balance", "train")
"""What a variant may change; all else stays as the config has it."""

ROWS = ("single-task", "boosting", "constant")
"""Names of rows that every comparison may have."""

SingleTime = Literal["each", "shared"]
SingleSteps = Literal["own", "joint"]

MOST = 1000
"""So many seeds at most: each trains every variant once."""


@dataclass(frozen=True)
class Variant:
    """A joint network beside the config's own. What is None stays as it is there; `train` holds the whole merged settings."""

    encoder: Choice | None = None
    sharing: Choice | None = None
    balance: Balance | None = None
    train: TrainSettings | None = None


@dataclass(frozen=True)
class CompareSettings:
    """seeds: one training of every variant each; a verdict needs five. single, boosting: train these beside. variants: further ones.

    single_time: under a time limit, each single-task network may take as long as the joint one ("each"), or all of them together may
    ("shared": the limit divided by the number of tasks, equal time in all). single_steps: as many epochs over the rows with its task's
    labels ("own"), or as many steps as the joint network makes ("joint": more epochs, and more patience, where labels are few).
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    single: bool = True
    single_time: SingleTime = "each"
    single_steps: SingleSteps = "own"
    boosting: bool = True
    variants: Mapping[str, Variant] = field(default_factory=dict)


def read_compare(reader: Reader, tree: Any, keys: Keys, train: Any) -> CompareSettings | None:
    """The settings of a comparison. `train`: the config's own `train:` as written, which a variant's is laid over."""
    if isinstance(tree, CompareSettings):
        return tree
    given = reader.mapping(tree, keys, "a mapping with keys such as seeds, variants", "compare: {seeds: 5}")
    if given is None:
        return None
    reader.known(given, keys, ("seeds", "single", "single_time", "single_steps", "boosting", "variants"))
    kinds = {"single": bool, "boosting": bool, "single_time": SingleTime, "single_steps": SingleSteps}
    flags = {key: reader.value(kind, given[key], (*keys, key)) for key, kind in kinds.items() if key in given}
    seeds = read_seeds(reader, given.get("seeds", 5), (*keys, "seeds"))
    variants: dict[str, Variant] = {}
    named = reader.mapping(
        given.get("variants", {}),
        (*keys, "variants"),
        "a mapping from names to what changes",
        "variants: {mmoe: {sharing: mmoe}}",
    )
    for name, part in (named or {}).items():
        if name in ROWS:
            message = f"'{name}' is what another row of the comparison is called; choose another name"
            reader.found((*keys, "variants", name), message, at_key=True)
        variants[name] = _variant(reader, part, (*keys, "variants", name), train)
    return CompareSettings(seeds, variants=variants, **flags)


def read_seeds(reader: Reader, tree: Any, keys: Keys) -> tuple[int, ...]:
    """Different seeds, written out or as their number (5: 0 to 4)."""
    if isinstance(tree, int) and not isinstance(tree, bool):
        if not 1 <= tree <= MOST:
            reader.found(keys, f"expected 1 to {MOST} seeds, got {tree}; a verdict needs 5")
        return tuple(range(min(tree, MOST)))
    seeds = reader.value(tuple[int, ...], tree, keys)
    if isinstance(tree, list | tuple) and (not tree or len(set(map(str, tree))) < len(tree)):
        reader.found(
            keys, f"expected different seeds, at least one, got {list(tree)}; write for example 5, or [0, 1, 2, 3, 4]"
        )
    if isinstance(seeds, tuple) and not all(isinstance(seed, int) and 0 <= seed < 2**63 for seed in seeds):
        reader.found(
            keys, f"expected seeds of at least 0 and below 2^63, got {list(seeds)}; write for example [0, 1, 2, 3, 4]"
        )
    return seeds if isinstance(seeds, tuple) else ()


def _variant(reader: Reader, tree: Any, keys: Keys, train: Any) -> Variant:
    if isinstance(tree, Variant):
        return tree
    given = reader.mapping(tree, keys, "a mapping of what changes", "{sharing: mmoe, balance: nash_mtl}") or {}
    reader.known(given, keys, VARIES)
    merged = _over(train, given["train"]) if "train" in given else None
    return Variant(
        reader.choice(ENCODERS, given["encoder"], (*keys, "encoder")) if "encoder" in given else None,
        reader.choice(SHARINGS, given["sharing"], (*keys, "sharing")) if "sharing" in given else None,
        read_balance(reader, given["balance"], (*keys, "balance")) if "balance" in given else None,
        reader.section(TrainSettings, merged, (*keys, "train")) if "train" in given else None,
    )


def _over(below: Any, above: Any) -> Any:
    """`above` laid over `below`, mapping by mapping."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{key: _over(below.get(key), value) for key, value in above.items()}}
