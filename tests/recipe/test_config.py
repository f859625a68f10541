"""A config is read as YAML 1.2, checked in one go, and frozen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cotrain.balance.engine import Engine
from cotrain.balance.nash_mtl import NashMTL
from cotrain.core.gallery import settings_of
from cotrain.data.column_settings import OutlierSettings, ScalingSettings
from cotrain.encoders.mlp import MLP
from cotrain.recipe.balance_settings import EngineSettings
from cotrain.recipe.config import Config, config_from_dict, load_config
from cotrain.recipe.problems import ConfigProblems
from cotrain.recipe.yaml_source import parse_yaml
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression

CENSUS = """\
data:
  path: census.csv
  split: {method: stratified, fractions: [0.6, 0.1, 0.3]}
inputs: ["*"]
tasks:
  income:  {column: income, kind: binary}
  married: {column: marital, kind: binary}
  age: regression
encoder: {name: mlp, widths: [256, 256], dropout: 0.1}
sharing: {name: mmoe, experts: 8}
balance: {name: nash_mtl, engine: {mode: exact, length: norm}}
train: {epochs: 30, batch_size: 512, optimizer: {name: adamw, lr: 2e-3}, early_stopping: {patience: 5}, device: auto, precision: 32, workers: 0}
seed: 0
"""


@pytest.fixture
def census(tmp_path: Path) -> Path:
    (tmp_path / "census.csv").write_text("income,marital,age\nyes,no,3\n")
    path = tmp_path / "census.yaml"
    path.write_text(CENSUS)
    return path


def minimal(**keys: object) -> Config:
    return config_from_dict({"tasks": {"y": "regression"}, **keys}, table={"x": [1], "y": [2]})


def problems(**keys: object) -> dict[str, str]:
    with pytest.raises(ConfigProblems) as caught:
        minimal(**keys)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_the_design_example_is_read_key_by_key(census: Path) -> None:
    config = load_config(census)
    assert config.name == "census"
    assert config.data.path == str(census.with_suffix(".csv"))
    assert config.data.split.fractions == (0.6, 0.1, 0.3)
    assert config.inputs["table"].columns == ("*",)
    assert [target.columns for target in config.tasks.values()] == [("income",), ("marital",), ("age",)]
    assert config.tasks["age"].kind == "regression"
    assert config.encoder.settings["widths"] == (256, 256)
    assert config.sharing.name == "mmoe"
    assert config.balance.engine == EngineSettings(mode="exact", length="norm")
    assert config.train.optimizer.lr == 0.002
    assert config.train.early_stopping is not None
    assert config.train.early_stopping.patience == 5


def test_yaml_is_1_2() -> None:
    tree = parse_yaml("a: 1e-4\nb: no\nc: 010\nd: 2024-01-31\ne: 12:30\nf: on\n").tree
    assert tree == {"a": 0.0001, "b": "no", "c": 10, "d": "2024-01-31", "e": "12:30", "f": "on"}


def test_places_count_from_one() -> None:
    origin = parse_yaml("a:\n  b: [1, x]\n").origin
    assert origin.values["a", "b", 1].line == 2
    assert origin.values["a", "b", 1].column == 10
    assert origin.keys["a", "b"].column == 3


def test_anchors_and_merges_are_followed() -> None:
    assert parse_yaml("x: &base {p: 1, q: 2}\ny:\n  <<: *base\n  q: 3\n").tree["y"] == {"q": 3, "p": 1}


def test_what_is_written_out_is_read_back_equal(census: Path, tmp_path: Path) -> None:
    config = load_config(census)
    path = tmp_path / "again" / "config.yaml"
    path.parent.mkdir()
    path.write_text(config.to_yaml())
    assert load_config(path) == config
    assert config_from_dict(config.as_dict()) == config


def test_numbers_survive_the_round_trip(tmp_path: Path) -> None:
    config = minimal(train={"optimizer": {"lr": 1e-10, "eps": 1e-16}})
    assert parse_yaml(config.to_yaml()).tree["train"]["optimizer"]["lr"] == 1e-10


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        minimal().seed = 1  # type: ignore[misc]


def test_objects_stand_wherever_names_do() -> None:
    config = config_from_dict(
        {
            "tasks": [Binary("income", threshold=0.3), Regression("age")],
            "encoder": MLP(widths=(8,)),
            "sharing": MMoE(experts=3),
            "balance": NashMTL(),
        },
        table={"income": [0]},
    )
    assert config.tasks["income"].made == Binary("income", threshold=0.3)
    assert config.encoder.made == MLP(widths=(8,))
    assert config.sharing.name == "mmoe"
    assert config.sharing.settings["experts"] == 3
    assert isinstance(config.balance.made, NashMTL)
    assert config.as_dict()["encoder"]["widths"] == [8]


def test_data_may_be_a_bare_path(census: Path) -> None:
    config = config_from_dict({"data": "census.csv", "tasks": {"age": "regression"}}, folder=census.parent)
    assert config.data.path == str(census.with_suffix(".csv"))


def test_rows_handed_in_need_no_path() -> None:
    rows = {"x": [1.0], "y": [2.0]}
    assert config_from_dict({"data": rows, "tasks": {"y": "regression"}}).table is rows


def test_the_engine_takes_every_engine_setting() -> None:
    assert {part.name for part in dataclasses.fields(EngineSettings)} <= set(settings_of(Engine))


def test_engine_settings_that_would_change_nothing_are_refused() -> None:
    found = problems(balance={"name": "dwa", "engine": {"mode": "features", "length": "paper", "chunk": 2, "every": 2}})
    assert set(found) == {"balance.engine.mode", "balance.engine.length", "balance.engine.chunk"}
    assert "'dwa', which looks at losses alone" in found["balance.engine.mode"]
    assert minimal(balance={"name": "dwa", "engine": {"mode": "exact", "every": 2}}).balance.engine.every == 2
    assert minimal(balance={"name": "gradnorm", "engine": {"chunk": 2}}).balance.engine.chunk == 2


def test_variants_are_laid_over_the_config() -> None:
    config = minimal(
        train={"epochs": 7, "optimizer": {"lr": 0.1}},
        compare={"seeds": 2, "variants": {"gated": {"sharing": "mmoe", "train": {"optimizer": {"name": "sgd"}}}}},
    )
    variant = config.variant("gated")
    assert config.compare.seeds == (0, 1)
    assert variant.sharing.name == "mmoe"
    assert variant.train.epochs == 7
    assert variant.train.optimizer.lr == 0.1
    assert variant.train.optimizer.name == "sgd"
    assert config.train.optimizer.name == "adamw"


def test_a_problem_of_the_base_is_not_repeated_in_every_variant() -> None:
    found = problems(train={"epochs": "many"}, compare={"variants": {"a": {"train": {"workers": 2}}}})
    assert list(found) == ["train.epochs"]


def test_tasks_named_in_other_sections_must_be_there() -> None:
    assert minimal(train={"monitor": "y"}, balance={"name": "static", "weights": {"y": 2}}).train.monitor == "y"
    assert "Known: gain, loss, y" in problems(train={"monitor": "z"})["train.monitor"]
    assert "unknown task 'z'" in problems(balance={"name": "static", "weights": {"z": 2}})["balance.weights.z"]
    assert list(problems(tasks={"y": "regression", "z": "binry"}, train={"monitor": "z"})) == ["tasks.z"]
    variants = {"a": {"balance": {"name": "static", "weights": {"x": 1}}}, "b": {"train": {"monitor": "gian"}}}
    found = problems(compare={"variants": variants}, train={"epochs": 2})
    assert set(found) == {"compare.variants.a.balance.weights.x", "compare.variants.b.train.monitor"}
    assert "did you mean 'gain'?" in found["compare.variants.b.train.monitor"]


def test_a_variant_may_not_be_called_as_another_row() -> None:
    assert "choose another name" in problems(compare={"variants": {"boosting": {}}})["compare.variants.boosting"]


@pytest.mark.parametrize("seeds", [0, -1, 10**9, [], [1, 1], [-1], [2**70], True, "five"])
def test_seeds_that_cannot_be_are_refused(seeds: object) -> None:
    assert any(path.startswith("compare.seeds") for path in problems(compare={"seeds": seeds}))


def test_all_problems_come_at_once_and_in_order(census: Path) -> None:
    census.write_text(
        CENSUS.replace("binary}", "binry}").replace("dropout", "drop_out").replace("epochs: 30", "epochs: many")
    )
    with pytest.raises(ConfigProblems) as caught:
        load_config(census)
    found = caught.value.problems
    assert [problem.path for problem in found] == [
        "tasks.income.kind",
        "tasks.married.kind",
        "encoder.drop_out",
        "train.epochs",
    ]
    assert [problem.line for problem in found] == [6, 7, 9, 12]
    assert "did you mean 'binary'?" in found[0].message
    assert "did you mean 'dropout'?" in found[2].message
    assert found[3].message == "expected a whole number, got the text 'many'"


def test_a_refusal_of_a_constructor_lands_on_its_key_beside_other_problems() -> None:
    found = problems(train={"optimizer": {"lr": -1, "weight_decay": -1, "betas": "x"}})
    assert set(found) == {"train.optimizer.lr", "train.optimizer.weight_decay", "train.optimizer.betas"}


def test_keys_in_the_wrong_place_are_shown_the_right_one() -> None:
    assert "'train.optimizer.lr'" in problems(train={"lr": 0.1})["train.lr"]
    assert "'balance.engine.mode'" in problems(balance={"name": "sum", "mode": "exact"})["balance.mode"]
    assert "'train.epochs'" in problems(epochs=3)["epochs"]


def test_open_values_are_refused_with_the_command_that_resolves_them() -> None:
    found = problems(
        train={"optimizer": {"lr": {"search": {"low": 1e-4, "high": 1e-2}}}}, sharing={"search": {"choice": ["hard"]}}
    )
    assert set(found) == {"train.optimizer.lr", "sharing"}
    assert all("cotrain tune" in message for message in found.values())


@pytest.mark.parametrize("key", ["compress", "export"])
def test_words_kept_for_later_say_so(key: str) -> None:
    assert "comes later" in problems(**{key: {}})[key]


def test_own_classes_are_imported_and_their_faults_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_good.py").write_text(
        "class Mine:\n    name = 'mine'\n    def __init__(self, *, width: int = 3): ...\n"
        "class Old:\n    def __init__(self, width=3): ...\n"
    )
    (tmp_path / "mine_broken.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert minimal(encoder={"name": "mine_good:Mine", "width": 4}).encoder.settings == {"width": 4}
    assert (
        "unknown setting 'widht'; did you mean 'width'?"
        in problems(encoder={"name": "mine_good:Mine", "widht": 4})["encoder.widht"]
    )
    assert "did you mean 'Mine'?" in problems(encoder="mine_good:Mien")["encoder"]
    assert "keyword-only" in problems(encoder={"name": "mine_good:Old", "width": 4})["encoder.width"]
    assert "cannot be imported" in problems(encoder="no_such_module:Net")["encoder"]
    assert "SyntaxError" in problems(encoder="mine_broken:Net")["encoder"]


def test_what_holds_for_one_column_is_read_and_written_out_again() -> None:
    tree = {
        "data": {
            "scaling": "robust",
            "impute": "mean",
            "outliers": {"name": "iqr", "action": "flag", "factor": 3},
            "per_column": {
                "pay": {"scaling": {"name": "quantile"}, "outliers": "none"},
                "city": {"categories": {"rare": 5}, "impute": {"categories": "constant", "label": "unknown"}},
            },
        },
        "tasks": {"age": "regression"},
    }
    config = config_from_dict(tree, files=False)
    assert config.data.scaling == ScalingSettings("robust")
    assert config.data.of("pay").scaling == ScalingSettings("quantile")
    assert config.data.of("pay").outliers == OutlierSettings()
    assert config.data.of("age").outliers == OutlierSettings("iqr", "flag", factor=3.0)
    city = config.data.of("city")
    assert (city.labels, city.impute.label, city.categories.rare, city.scaling) == (
        "constant",
        "unknown",
        5,
        ScalingSettings("robust"),
    )
    assert config.data.of("age").labels == "code"
    assert config_from_dict(config.as_dict(), files=False) == config
