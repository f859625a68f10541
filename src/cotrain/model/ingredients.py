"""What a Model is made from, looked at before anything is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cotrain.core.errors import ConfigError


def check_ingredients(given: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raises ConfigError for both or none of encoder and trunk, stages without a trunk, words where objects belong, no task, a name twice."""
    if (given["encoder"] is None) == (given["trunk"] is None):
        raise ConfigError("a model needs either encoder= or trunk=, and not both")
    if len(given["stages"]) and given["trunk"] is None:
        raise ConfigError("stages= names modules inside an own trunk; give trunk= as well, an encoder brings its own")
    for what in ("encoder", "sharing", "head"):
        one = given[what]
        if isinstance(one, str) or (isinstance(one, Mapping) and isinstance(one.get("name"), str)):
            raise ConfigError(
                f"{what}= of a Model is an object, such as MMoE(experts=8), got {one!r}; words belong in a config or in cotrain.fit"
            )
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"a model needs at least one task and every name once, got {list(names)}")
