"""The `balance:` of a config: a balancing method, and how the engine runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cotrain.balance.gallery import BALANCERS
from cotrain.core.errors import ConfigError
from cotrain.recipe.problems import Keys
from cotrain.recipe.reader import Choice, Reader


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How gradients are had and applied.

    mode: "exact" (gradients of the shared parameters) or "features" (of the shared representation: cheaper, approximate).
    length: "norm" keeps sum |w_k| |g_k| = sum |g_k|, so that one learning rate serves all methods; "paper" leaves weights as they are.
    every: steps between two askings of the method; its weights are held in between. chunk: tasks whose gradients are held at once,
    None for all. Methods that look at losses alone have no use for mode, length and chunk, and with them these are refused.
    """

    mode: Literal["exact", "features"] = "exact"
    length: Literal["norm", "paper"] = "norm"
    every: int = 1
    chunk: int | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(f"expected every to be at least 1, got {self.every}; 1 solves at each step")
        if self.chunk is not None and self.chunk < 1:
            raise ConfigError(
                f"expected chunk to be at least 1 or null, got {self.chunk}; null holds all tasks at once"
            )


@dataclass(frozen=True)
class Balance(Choice):
    """A balancing method and the engine's settings."""

    engine: EngineSettings = field(default_factory=EngineSettings)


def read_balance(reader: Reader, tree: Any, keys: Keys) -> Balance | None:
    """The balancing method that a word, a mapping {name, its settings, engine} or an object stands for."""
    if isinstance(tree, Balance):
        return tree
    engine: EngineSettings | None = EngineSettings()
    if isinstance(tree, Mapping) and "engine" in tree:
        engine = reader.section(EngineSettings, tree["engine"], (*keys, "engine"), word="mode")
    choice = reader.choice(BALANCERS, tree, keys, skip=("engine",))
    if choice is None or engine is None:
        return None
    cls = BALANCERS[choice.name] if choice.made is None else type(choice.made)
    if getattr(cls, "needs", None) == {"losses"}:
        for key in ("mode", "length", "chunk"):
            if getattr(engine, key) != getattr(EngineSettings(), key):
                reader.found(
                    (*keys, "engine", key),
                    f"expected a method that looks at gradients, got '{choice.name}', which looks at losses alone: {key} would change "
                    "nothing; take it out, or choose another method",
                    at_key=True,
                )
    return Balance(choice.name, choice.settings, choice.made, engine)
