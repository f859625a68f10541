"""What a config can name, as plain values for `cotrain methods`: name, first line of its docstring, settings, family, cost, source."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from cotrain.balance.gallery import BALANCERS
from cotrain.core.gallery import Gallery
from cotrain.encoders.gallery import ENCODERS, NUMBERS
from cotrain.heads.gallery import HEADS
from cotrain.recipe.nested import default_words, expected
from cotrain.recipe.reader import public_settings
from cotrain.search.gallery import PRUNERS, SAMPLERS
from cotrain.sharing.gallery import SHARINGS
from cotrain.tasks.gallery import TASKS

ROOMS: dict[str, Gallery] = {
    "balance": BALANCERS,
    "sharing": SHARINGS,
    "encoders": ENCODERS,
    "numbers": NUMBERS,
    "heads": HEADS,
    "tasks": TASKS,
    "tuners": SAMPLERS,
    "pruners": PRUNERS,
}


def catalogue() -> dict[str, list[dict[str, Any]]]:
    """{room: [method]}, each method with plain values only.

    >>> [method["name"] for method in catalogue()["sharing"] if method["family"] == "features"]
    ['mtan', 'film', 'feature_selection']
    """
    return {room: [_entry(name, cls) for name, cls in gallery.items()] for room, gallery in ROOMS.items()}


def _entry(name: str, cls: type) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": name,
        "class": f"{cls.__module__}:{cls.__qualname__}",
        "summary": _summary(cls),
        "settings": {
            setting.name: {"expects": expected(setting.annotation), "default": _plain(setting.default)}
            for setting in public_settings(cls).values()
        },
        "family": getattr(cls, "family", None),
        "cost": getattr(cls, "cost", None),
        "source": getattr(cls, "source", None),
    }
    needs = getattr(cls, "needs", None)
    if isinstance(needs, frozenset):
        entry["needs"] = sorted(needs)
    if isinstance(can := getattr(cls, "can", None), frozenset):
        entry["can"] = sorted(can)
        entry["objectives"] = list(cls.objectives)  # type: ignore[attr-defined]
    if metrics := getattr(cls, "metric_names", None):
        entry["metrics"] = list(metrics)
    if losses := getattr(cls, "losses", None):
        entry["losses"] = list(losses)
    return entry


def _summary(cls: type) -> str:
    """What a method is, in a line: of its own file where it has one, else of the class."""
    module = sys.modules.get(cls.__module__)
    text = inspect.getdoc(module) if module is not None and cls.__module__.startswith("cotrain.") else None
    return (text or inspect.getdoc(cls) or "").split("\n")[0]


def _plain(value: Any) -> Any:
    plain = default_words(value)
    if isinstance(value, Callable):  # type: ignore[arg-type]
        return getattr(value, "__name__", type(value).__name__)
    return plain if isinstance(plain, str | int | float | bool | list | dict | None) else str(value)
