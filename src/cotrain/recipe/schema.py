"""The JSON schema of the config, made from the same classes that judge it, for editors that complete and check YAML."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter
from pydantic.errors import PydanticUserError

from cotrain.balance.gallery import BALANCERS
from cotrain.core.gallery import Gallery
from cotrain.data.augment import AugmentSettings
from cotrain.data.infer import ENCODED
from cotrain.data.settings import DataSettings
from cotrain.encoders.gallery import ENCODERS
from cotrain.heads.gallery import HEADS
from cotrain.model.fusion import Fusion
from cotrain.recipe.affinity_settings import AffinitySettings
from cotrain.recipe.balance_settings import EngineSettings
from cotrain.recipe.config import LATER
from cotrain.recipe.nested import NESTED, default_words, is_nested
from cotrain.recipe.presets import PRESETS
from cotrain.recipe.reader import public_settings, section_by_name
from cotrain.search.gallery import PRUNERS, SAMPLERS
from cotrain.sharing.gallery import SHARINGS
from cotrain.tasks.gallery import TASKS
from cotrain.training.settings import TrainSettings

Schema = dict[str, Any]

_WORDS: Schema = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_OWN: Schema = {"type": "string", "pattern": ":", "description": "a class of your own: package.module:Class"}
_SEEDS: Schema = {
    "anyOf": [{"type": "integer", "minimum": 1}, {"type": "array", "items": {"type": "integer"}, "minItems": 1}]
}
_TIME: Schema = {
    "anyOf": [{"type": "number"}, {"type": "string", "description": "such as 90s, 20m, 1h"}, {"type": "null"}]
}
_SEARCH: Schema = {
    "type": "object",
    "description": "a value that `cotrain tune` chooses",
    "properties": {
        "search": {
            "type": "object",
            "properties": {
                "low": {"type": "number"},
                "high": {"type": "number"},
                "log": {"type": "boolean"},
                "choice": {"type": "array"},
                "default": {},
            },
        }
    },
    "required": ["search"],
    "additionalProperties": False,
}


def config_schema() -> Schema:
    """The schema, draft 2020-12.

    >>> schema = config_schema()
    >>> schema["required"], schema["properties"]["seed"]["anyOf"][0]
    (['tasks'], {'type': 'integer', 'minimum': 0})
    """
    sharing, balance = _choice(SHARINGS), _choice(BALANCERS, {"engine": section(EngineSettings, word="mode")})
    encoder, train = _choice(ENCODERS), section(TrainSettings)
    varied = {"encoder": encoder, "sharing": sharing, "balance": balance, "train": train}
    properties: Schema = {
        "name": {"type": "string", "pattern": r"^\w[\w.-]*$", "description": "of the run, and of its folder"},
        "preset": {"enum": list(PRESETS), "description": "fills in what the config does not say"},
        "data": {
            "anyOf": [section(DataSettings, word="path"), {"type": "string", "description": "the path of a table"}]
        },
        "sources": {"type": "object", "minProperties": 1, "additionalProperties": _source(encoder)},
        "inputs": _inputs(encoder),
        "tasks": {"type": "object", "minProperties": 1, "additionalProperties": _task()},
        "encoder": encoder,
        "sharing": sharing,
        "head": _choice(HEADS),
        "fusion": section(Fusion),
        "balance": balance,
        "train": train,
        "augment": {"type": "object", "additionalProperties": section(AugmentSettings)},
        "seed": _open({"type": "integer", "minimum": 0}),
        "compare": _object(
            {
                "seeds": _SEEDS,
                "single": {"type": "boolean"},
                "single_time": {"enum": ["each", "shared"]},
                "single_steps": {"enum": ["own", "joint"]},
                "boosting": {"type": "boolean"},
                "variants": {"type": "object", "additionalProperties": _object(varied)},
            }
        ),
        "affinity": section(AffinitySettings),
        "tune": _tune(),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "cotrain config",
        "description": f"Kept for what comes: {', '.join(LATER)}.",
        **_object(properties),
        "required": ["tasks"],
        "anyOf": [{"required": ["data"]}, {"required": ["sources"]}],
        "$defs": {"search": _SEARCH},
    }


def _tune() -> Schema:
    whole = {"type": "integer", "minimum": 1}
    bound = _object({"at_most": {"type": "number"}, "at_least": {"type": "number"}})
    properties: Schema = {
        "sampler": _choice(SAMPLERS),
        "pruner": {"anyOf": [_choice(PRUNERS), {"type": "null"}]},
        "trials": whole,
        "time": _TIME,
        "rows": {"anyOf": [whole, {"type": "null"}]},
        "objectives": {"anyOf": [{"type": "string"}, _WORDS]},
        "constraints": {"type": "object", "additionalProperties": {"anyOf": [{"type": "number"}, bound]}},
        "pick": {"type": "string", "description": "knee, task=NAME or budget=NAME:MOST"},
        "seeds": _SEEDS,
        "single": {"type": "boolean"},
        "storage": {"type": "string", "description": "a file or the URL of a database"},
        "lease": _TIME,
        "seed": {"type": "integer", "minimum": 0},
    }
    return _object(properties) | {"description": "what `cotrain tune` tries, how long, and what it picks"}


def section(cls: type, *, word: str = "name") -> Schema:
    """A dataclass as an object of its fields; where it has a field called `word`, a bare word stands for it."""
    hints = typing.get_type_hints(cls)
    properties: Schema = {}
    for part in dataclasses.fields(cls):
        if part.init:
            properties[part.name] = _value(hints[part.name]) | _default(part.default)
    made = _object(properties) | {"description": (inspect.getdoc(cls) or "").split("\n")[0]}
    if word not in properties:
        return made
    bare = {key: value for key, value in properties[word].items() if key != "default"}
    return {"anyOf": [made, bare]}


def _value(annotation: Any) -> Schema:
    """One setting: its type, a section where it is a dataclass, several by name, or a search."""
    named = section_by_name(annotation)
    if named is not None:
        return _open({"type": "object", "additionalProperties": section(named)})
    kinds = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    sections = [kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    if sections:
        null: list[Schema] = [{"type": "null"}] if type(None) in kinds else []
        return {"anyOf": [*map(section, sections), *null, {"$ref": "#/$defs/search"}]}
    listed = [
        one for kind in kinds for one in get_args(kind) if isinstance(one, type) and dataclasses.is_dataclass(one)
    ]
    if listed:
        return _open({"type": "array", "items": section(listed[0])})
    try:
        schema = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).json_schema()
    except (PydanticUserError, TypeError):
        return {}
    return _open({key: value for key, value in schema.items() if key != "title"})


def _choice(gallery: Gallery, beside: Mapping[str, Schema] | None = None) -> Schema:
    """A method: its bare name, its name with settings, or a class of one's own."""
    methods: list[Schema] = []
    for name, cls in gallery.items():
        settings = {
            key: _nested(setting.annotation, gallery) | _default(default_words(setting.default))
            for key, setting in public_settings(cls).items()
        }
        one = _object({"name": {"const": name}, **settings, **(beside or {})})
        methods.append(one | {"required": ["name"], "description": (inspect.getdoc(cls) or "").split("\n")[0]})
    own: Schema = {"type": "object", "properties": {"name": _OWN, **(beside or {})}, "required": ["name"]}
    return {"anyOf": [{"enum": list(gallery)}, *methods, _OWN, own, {"$ref": "#/$defs/search"}]}


def _nested(annotation: Any, within: Gallery) -> Schema:
    """A setting of a method; one that is a method itself as such, but for a method of the same gallery (that would have no end)."""
    if not is_nested(annotation):
        return _value(annotation)
    return {} if NESTED[annotation] is within else _choice(NESTED[annotation])


def _inputs(encoder: Schema) -> Schema:
    kind = {"type": "string", "pattern": rf"^({'|'.join(ENCODED)})(\(.*\))?$"}
    columns = {"anyOf": [{"type": "string"}, _WORDS]}
    named = {"anyOf": [columns, _object({"columns": columns, "kind": kind, "encoder": encoder})]}
    return {"anyOf": [columns, {"type": "object", "minProperties": 1, "additionalProperties": named}]}


def _source(encoder: Schema) -> Schema:
    """A table among several: its path, or the keys of `data` with inputs and an encoder of its own."""
    data = section(DataSettings)
    properties = {**data["properties"], "inputs": _inputs(encoder), "encoder": encoder}
    return {"anyOf": [data | {"properties": properties}, {"type": "string", "description": "the path of a table"}]}


def _task() -> Schema:
    shared = {
        "column": {"type": "string"},
        "columns": _WORDS,
        "weight_column": {"type": "string"},
        "head": _choice(HEADS),
        "inputs": {"anyOf": [{"type": "string"}, _WORDS]},
        "source": {"type": "string"},
    }
    kinds: list[Schema] = []
    for name, cls in TASKS.items():
        settings = {
            key: _value(setting.annotation) | _default(setting.default)
            for key, setting in public_settings(cls).items()
            if key not in (*shared, "loss")
        }
        if losses := getattr(cls, "losses", None):
            settings["loss"] = {"enum": list(losses)}
        if metrics := getattr(cls, "metric_names", None):
            settings["metric"] = _open({"enum": list(metrics)})
        kinds.append(_object({"kind": {"const": name}, **shared, **settings}) | {"required": ["kind"]})
    own: Schema = {"type": "object", "properties": {"kind": _OWN, **shared}, "required": ["kind"]}
    return {"anyOf": [{"enum": list(TASKS)}, *kinds, _OWN, own]}


def _object(properties: Mapping[str, Any]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _open(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"$ref": "#/$defs/search"}]}


def _default(value: Any) -> Schema:
    if isinstance(value, str | int | float | bool):
        return {"default": value}
    if isinstance(value, tuple) and all(isinstance(item, str | int | float) for item in value):
        return {"default": list(value)}
    return {}
