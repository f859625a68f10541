"""The JSON schema admits what the config admits and refuses what it refuses."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cotrain.recipe.config import config_from_dict
from cotrain.recipe.demos import CANCER
from cotrain.recipe.problems import ConfigProblems
from cotrain.recipe.schema import config_schema
from cotrain.recipe.tune_settings import TuneSettings
from cotrain.recipe.yaml_source import parse_yaml, read_yaml

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = config_schema()
KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list, tuple),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value fits a schema, for the words of JSON schema that ours is made of."""
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema and not any(fits(value, one) for one in schema["anyOf"]):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kind = schema.get("type")
    if kind and (not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return False
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return False
    if isinstance(value, int | float) and "minimum" in schema and value < schema["minimum"]:
        return False
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0) or len(value) > schema.get("maxItems", len(value)):
            return False
        first = schema.get("prefixItems", [])
        if not all(fits(item, one) for item, one in zip(value, first, strict=False)):
            return False
        return all(fits(item, schema.get("items", {})) for item in value[len(first) :])
    if isinstance(value, dict):
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        if len(value) < schema.get("minProperties", 0) or not set(schema.get("required", ())) <= set(value):
            return False
        for key, item in value.items():
            inner = properties.get(key, rest)
            if inner is False or (isinstance(inner, Mapping) and not fits(item, inner)):
                return False
    return True


DESIGN = """\
data: {path: census.csv, split: {method: stratified, fractions: [0.6, 0.1, 0.3]}}
inputs: {rest: {columns: ["*"], kind: number}}
tasks:
  income: {column: income, kind: binary, head: {name: mlp, widths: [8]}}
  age: regression
  rating: {kind: multiclass, columns: [rating], loss: cross_entropy, metric: accuracy}
encoder: {name: mlp, widths: [256, 256], dropout: 0.1, numbers: {name: piecewise_linear, bins: 48}}
sharing: {name: mmoe, experts: 8}
balance: {name: nash_mtl, engine: {mode: exact, length: norm}}
train: {epochs: 30, optimizer: {name: adamw, lr: 0.002}, schedule: cosine, early_stopping: {patience: 5}, precision: 32}
seed: 0
compare: {seeds: [0, 1], variants: {plain: {sharing: hard, train: {epochs: 3}}}}
"""


@pytest.mark.parametrize("text", [DESIGN, CANCER], ids=["design", "demo"])
def test_a_working_config_fits(text: str) -> None:
    assert fits(parse_yaml(text).tree, SCHEMA)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_fit(path: Path) -> None:
    assert fits(read_yaml(path).tree, SCHEMA)


def test_every_setting_of_a_search_is_there() -> None:
    assert set(SCHEMA["properties"]["tune"]["properties"]) == {one.name for one in dataclasses.fields(TuneSettings)}


def test_searches_fit_where_values_do() -> None:
    assert fits(
        parse_yaml(DESIGN.replace("lr: 0.002", "lr: {search: {low: 1e-4, high: 1e-2, log: true}}")).tree, SCHEMA
    )
    assert fits(parse_yaml(DESIGN.replace("{name: mmoe, experts: 8}", "{search: {choice: [hard, mmoe]}}")).tree, SCHEMA)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dropout", "drop_out"),
        ("experts: 8", "experts: many"),
        ("kind: binary", "kind: binry"),
        ("mode: exact", "mode: exakt"),
        ("epochs: 30", "epoch: 30"),
        ("seed: 0", "seed: -1"),
        ("[0.6, 0.1, 0.3]", "[0.6, 0.4]"),
        ("metric: accuracy", "metric: auk"),
        ("widths: [8]", "widths: 8"),
        ("kind: number", "kind: numbr"),
        ("age: regression", "age: {}"),
        ("bins: 48", "bin: 48"),
        ("name: piecewise_linear", "name: piecewise"),
    ],
)
def test_what_the_config_refuses_the_schema_refuses(old: str, new: str) -> None:
    tree = parse_yaml(DESIGN.replace(old, new, 1)).tree
    assert not fits(tree, SCHEMA)
    with pytest.raises(ConfigProblems):
        config_from_dict(tree, files=False)
