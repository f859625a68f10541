"""A config as plain values, from which the same config can be read again."""

from __future__ import annotations

from typing import Any

from cotrain.recipe.balance_settings import Balance, EngineSettings
from cotrain.recipe.compare_settings import Variant
from cotrain.recipe.inputs import InputSettings
from cotrain.recipe.reader import Choice
from cotrain.recipe.source_section import SourceSettings
from cotrain.recipe.targets import Target
from cotrain.recipe.values import as_plain


def choice_dict(choice: Choice) -> Any:
    """A method: its bare name, or its name with settings."""
    settings = {
        key: choice_dict(one) if isinstance(one, Choice) else as_plain(one) for key, one in choice.settings.items()
    }
    plain: dict[str, Any] = {"name": choice.name, **settings}
    if isinstance(choice, Balance) and choice.engine != EngineSettings():
        plain["engine"] = as_plain(choice.engine)
    return plain if len(plain) > 1 else choice.name


def input_dict(given: InputSettings) -> dict[str, Any]:
    """A named input."""
    parts = {
        "columns": list(given.columns),
        "kind": given.kind,
        "encoder": given.encoder and choice_dict(given.encoder),
    }
    return {key: value for key, value in parts.items() if value is not None}


def source_dict(source: SourceSettings) -> dict[str, Any]:
    """One source of several."""
    inputs = {} if source.inputs is None else {"inputs": {key: input_dict(one) for key, one in source.inputs.items()}}
    encoder = {} if source.encoder is None else {"encoder": choice_dict(source.encoder)}
    return {**as_plain(source.data), **inputs, **encoder}


def target_dict(target: Target) -> dict[str, Any]:
    """A task."""
    columns = {"column": target.columns[0]} if len(target.columns) == 1 else {"columns": list(target.columns)}
    head = {"head": choice_dict(target.head)} if target.head else {}
    weights = {"weight_column": target.weight_column} if target.weight_column else {}
    reads: dict[str, Any] = {"inputs": list(target.inputs)} if target.inputs is not None else {}
    reads |= {"source": target.source} if target.source is not None else {}
    return {"kind": target.kind, **columns, **weights, **reads, **as_plain(target.settings), **head}


def variant_dict(variant: Variant) -> dict[str, Any]:
    """What a variant of a comparison changes."""
    parts: dict[str, Any] = {
        key: choice for key in ("encoder", "sharing", "balance") if (choice := getattr(variant, key))
    }
    plain = {key: choice_dict(choice) for key, choice in parts.items()}
    return plain | ({"train": as_plain(variant.train)} if variant.train else {})
