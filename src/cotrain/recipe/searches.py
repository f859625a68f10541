"""Values of a config that are still open: `{search: {low: 1e-4, high: 1e-2, log: true}}` or `{search: {choice: [a, b]}}`.

Searches live on the raw tree and are resolved before validation, so that every sampled config is an ordinary one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cotrain.core.errors import ConfigError
from cotrain.recipe.problems import Keys, dotted


def searches(tree: Any, keys: Keys = ()) -> dict[Keys, Any]:
    """Where the tree holds an open value, and what is asked for there.

    >>> searches({"train": {"lr": {"search": {"low": 1e-4, "high": 1e-2}}}})
    {('train', 'lr'): {'low': 0.0001, 'high': 0.01}}
    """
    if isinstance(tree, Mapping):
        if set(tree) == {"search"}:
            return {keys: tree["search"]}
        parts = [searches(value, (*keys, str(key))) for key, value in tree.items()]
    elif isinstance(tree, list | tuple):
        parts = [searches(value, (*keys, index)) for index, value in enumerate(tree)]
    else:
        parts = []
    return {key: value for part in parts for key, value in part.items()}


def resolved(tree: Any, values: Mapping[Keys, Any], keys: Keys = ()) -> Any:
    """The tree with every open value replaced by the one in `values`. Raises ConfigError for one that is not there.

    >>> resolved({"lr": {"search": {"choice": [1, 2]}}}, {("lr",): 2})
    {'lr': 2}
    """
    if isinstance(tree, Mapping):
        if set(tree) == {"search"}:
            if keys not in values:
                raise ConfigError(
                    f"{dotted(keys)}: expected a value for this search, got none; known: {[dotted(key) for key in values]}"
                )
            return values[keys]
        return {key: resolved(value, values, (*keys, str(key))) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [resolved(value, values, (*keys, index)) for index, value in enumerate(tree)]
    return tree


def without_searches(tree: Any) -> Any:
    """The tree with open values left out, so that the rest can be judged.

    >>> without_searches({"epochs": 3, "lr": {"search": {}}})
    {'epochs': 3}
    """
    if isinstance(tree, Mapping):
        return {key: without_searches(value) for key, value in tree.items() if not _is_search(value)}
    if isinstance(tree, list | tuple):
        return [without_searches(value) for value in tree if not _is_search(value)]
    return tree


def _is_search(tree: Any) -> bool:
    return isinstance(tree, Mapping) and set(tree) == {"search"}
