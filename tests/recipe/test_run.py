"""The whole way from Python: fit, evaluate, predict, save, load, resume."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import cotrain
from cotrain.core.errors import ConfigError, DataError, RunError
from cotrain.recipe.run import DataWarning, train

QUICK = {"epochs": 4, "batch_size": 32, "early_stopping": None, "optimizer": {"name": "adamw", "lr": 0.02}}
SMALL = {"name": "mlp", "widths": [16, 8]}


def made(rows: int = 240, seed: int = 0) -> pl.DataFrame:
    """Two numbers and a category that decide a yes/no, a class and a number; some cells and labels are missing."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, rows))
    town = random.choice(["Rome", "Oslo", "Lima"], rows)
    shift = np.select([town == "Rome", town == "Oslo"], [1.0, -1.0], 0.0)
    frame = pl.DataFrame(
        {
            "a": np.where(random.random(rows) < 0.1, np.nan, a),
            "b": b,
            "town": town,
            "bought": np.where(a + shift > 0, "yes", "no"),
            "size": np.select([b < -0.5, b > 0.5], ["small", "large"], "middle"),
            "price": 100 + 20 * (a - b + shift),
        }
    ).with_columns(pl.col("a").fill_nan(None))
    return frame.with_columns(pl.when(pl.int_range(rows) % 7 == 3).then(None).otherwise(pl.col("size")).alias("size"))


TASKS = {"bought": "binary", "size": "multiclass", "price": "regression"}


@pytest.fixture(scope="module")
def run() -> cotrain.recipe.run.Run:  # type: ignore[name-defined]
    return cotrain.fit(made(), tasks=TASKS, encoder=SMALL, sharing="hard", train={**QUICK, "epochs": 25})


def test_a_fitted_run_scores_every_task_better_than_the_constant(run) -> None:
    scores = run.evaluate("test")
    constant = run.metrics["constant"]
    assert set(scores) == set(TASKS)
    assert scores["bought"]["auc"] > constant["bought"]["auc"] + 0.2
    assert scores["size"]["accuracy"] > constant["size"]["accuracy"] + 0.1
    assert scores["price"]["rmse"] < 0.7 * constant["price"]["rmse"]


def test_stored_scores_are_those_of_evaluate(run) -> None:
    for task, metrics in run.evaluate("test").items():
        for metric, value in metrics.items():
            assert run.metrics["splits"]["test"][task][metric] == pytest.approx(value, nan_ok=True)


def test_predictions_come_in_the_order_of_the_rows_with_chances_that_add_up(run) -> None:
    rows = made(50, seed=5)
    answers = run.predict(rows)
    assert answers.height == 50
    classes = answers.select(pl.col("^size_probability_.*$"))
    assert np.allclose(classes.to_numpy().sum(1), 1)
    assert set(answers["bought"].unique()) <= {"yes", "no"}
    backwards = run.predict(rows.reverse())
    assert np.allclose(backwards["price"].to_numpy()[::-1], answers["price"].to_numpy(), rtol=1e-5)


def test_targets_are_not_needed_and_new_columns_are_said_and_ignored(run) -> None:
    rows = made(5).select("a", "b", "town")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = run.predict(rows)
    with pytest.warns(DataWarning, match="colour"):
        more = run.predict(rows.with_columns(pl.lit("red").alias("colour")))
    assert more.equals(plain)


def test_missing_columns_are_named_with_the_nearest_one(run) -> None:
    with pytest.raises(DataError, match=r"'town'.*'twon'"):
        run.predict(made(5).select("a", "b", pl.col("town").alias("twon")))


def test_no_rows_give_no_answers_of_the_same_columns(run) -> None:
    some, none = run.predict(made(3)), run.predict(made(3).head(0))
    assert none.height == 0
    assert none.columns == some.columns


def test_a_saved_run_predicts_the_same_bits(run, tmp_path: Path) -> None:
    again = cotrain.load(run.save(tmp_path / "kept"))
    rows = made(40, seed=9)
    assert again.predict(rows).equals(run.predict(rows))
    assert again.metrics["splits"] == run.metrics["splits"]


def test_a_folder_in_use_is_never_overwritten(run, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="never overwritten"):
        run.save(tmp_path / "kept")
    assert (tmp_path / "kept" / "mine.txt").read_text() == "mine"


def test_a_loaded_run_says_when_its_data_are_gone_or_changed(tmp_path: Path) -> None:
    made().write_csv(tmp_path / "t.csv")
    run = cotrain.fit(tmp_path / "t.csv", tasks=TASKS, encoder=SMALL, train=QUICK, folder=tmp_path / "run")
    loaded = cotrain.load(tmp_path / "run")
    for task, metrics in loaded.evaluate("valid").items():
        assert metrics == pytest.approx(run.evaluate("valid")[task], nan_ok=True)
    made(seed=4).write_csv(tmp_path / "t.csv")
    with pytest.raises(DataError, match="not those this run was trained on"):
        cotrain.load(tmp_path / "run").evaluate("valid")
    (tmp_path / "t.csv").unlink()
    with pytest.raises(DataError, match=r"t\.csv"):
        cotrain.load(tmp_path / "run").evaluate("valid")
    cotrain.fit(made(), tasks=TASKS, encoder=SMALL, train=QUICK, folder=tmp_path / "memory")
    with pytest.raises(DataError, match="came from memory"):
        cotrain.load(tmp_path / "memory").evaluate("valid")


def test_a_damaged_run_folder_is_refused_with_what_is_wrong(run, tmp_path: Path) -> None:
    path = run.save(tmp_path / "kept")
    (path / "encoders.json").write_text("{ not json")
    with pytest.raises(RunError, match=r"encoders\.json"):
        cotrain.load(path)
    (path / "structure.json").unlink()
    with pytest.raises(RunError, match="no finished run"):
        cotrain.load(path)
    with pytest.raises(RunError, match="no run folder"):
        cotrain.load(tmp_path / "nowhere")


def test_a_finished_run_is_resumed_into_itself_and_another_config_is_refused(tmp_path: Path) -> None:
    made().write_csv(tmp_path / "t.csv")
    config = tmp_path / "c.yaml"
    text = "data: t.csv\ntasks: {bought: binary, price: regression}\nencoder: {name: mlp, widths: [8]}\ntrain: {epochs: 2}\n"
    config.write_text(text)
    first = train(config, folder=tmp_path / "run")
    again = train(config, folder=tmp_path / "run", resume=True)
    assert again.metrics["splits"] == json.loads(json.dumps(first.metrics["splits"]))
    config.write_text(text.replace("epochs: 2", "epochs: 4"))
    more = train(config, folder=tmp_path / "run", resume=True)
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 4
    assert cotrain.load(tmp_path / "run").metrics["splits"] == json.loads(json.dumps(more.metrics["splits"]))
    config.write_text(text + "seed: 3\n")
    with pytest.raises(RunError, match="another 'seed'"):
        train(config, folder=tmp_path / "run", resume=True)


def test_tasks_with_other_settings_and_several_columns_go_the_whole_way(tmp_path: Path) -> None:
    frame = made().with_columns((pl.col("price") * 2).alias("double"))
    run = cotrain.fit(
        frame,
        inputs=["a", "b", "town"],
        tasks={
            "small": {"kind": "binary", "column": "size", "positive": ["small", "middle"], "metric": "f1"},
            "money": {"kind": "regression", "columns": ["price", "double"], "loss": "absolute", "head": "mlp"},
        },
        encoder=SMALL,
        sharing={"name": "mmoe", "experts": 3},
        balance={"name": "nash_mtl", "engine": {"length": "paper"}},
        train=QUICK,
    )
    loaded = cotrain.load(run.save(tmp_path / "kept"))
    assert loaded.predict(frame.head(2)).columns == ["small", "small_probability", "money_price", "money_double"]
    assert loaded.model.tasks["money"].metrics.primary == "rrmse"
    assert loaded.model.tasks["small"].codec.classes == ("large", "small or middle")


class Wide(nn.Module):
    """A user's own network that knows nothing of cotrain."""

    def __init__(self, width: int, *, hidden: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def test_a_users_own_network_is_named_in_the_config_and_loads_again(tmp_path: Path, monkeypatch) -> None:
    module = tmp_path / "mynets.py"
    module.write_text(
        "from torch import nn\n\n\nclass Wide(nn.Module):\n    def __init__(self, width: int, *, hidden: int = 4) -> None:\n"
        "        super().__init__()\n        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.Tanh())\n\n"
        "    def forward(self, x):\n        return self.layers(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = cotrain.fit(
        made(),
        tasks=TASKS,
        encoder={"name": "mynets:Wide", "hidden": 7},
        sharing={"name": "mmoe", "experts": 2},
        train=QUICK,
    )
    assert any(
        parameter.shape == (7, run.model.parts[0].shapes["price"][0].width) for parameter in run.model.parameters()
    )
    again = cotrain.load(run.save(tmp_path / "kept"))
    assert again.predict(made(9)).equals(run.predict(made(9)))


def test_no_sharing_gives_every_task_the_network_it_would_have_alone() -> None:
    run = cotrain.fit(made(), tasks=TASKS, encoder=SMALL, sharing="none", train=QUICK)
    assert len(run.model.parts) == 3
    with pytest.raises(ConfigError, match=r"mmoe\.split"):
        cotrain.fit(made(), tasks=TASKS, encoder=SMALL, sharing={"name": "mmoe", "split": 9}, train=QUICK)


def test_a_decision_threshold_can_be_chosen_when_predicting(run) -> None:
    rows = made(60, seed=2)
    chance = run.predict(rows)["bought_probability"].to_numpy()
    for threshold in (0.1, 0.9):
        said = run.predict(rows, thresholds={"bought": threshold})["bought"].to_list()
        assert said == ["yes" if one >= threshold else "no" for one in chance]
    with pytest.raises(ConfigError, match="decides by no threshold"):
        run.predict(rows, thresholds={"price": 0.5})
    with pytest.raises(ConfigError, match="did you mean 'bought'"):
        run.predict(rows, thresholds={"bougth": 0.5})


def test_a_method_that_wraps_another_is_named_in_the_config_and_loads_again(tmp_path: Path) -> None:
    balance = {"name": "cr_mogm", "weigher": {"name": "cagrad", "c": 0.3}, "momentum": 0.5}
    run = cotrain.fit(made(), tasks=TASKS, encoder=SMALL, balance=balance, train={**QUICK, "epochs": 1})
    assert cotrain.load(run.save(tmp_path / "kept")).config.as_dict()["balance"] == balance
    with pytest.raises(ConfigError, match="did you mean 'cagrad'"):
        cotrain.fit(made(), tasks=TASKS, balance={"name": "cr_mogm", "weigher": "cagradd"})


@pytest.mark.parametrize(
    "encoder",
    [
        {"name": "tabm", "members": 3, "widths": [8], "numbers": {"name": "piecewise_linear", "width": 4, "bins": 8}},
        {"name": "tabm", "members": 2, "arch": "mini", "widths": [8, 8], "category_width": 3},
        {"name": "resnet", "width": 8, "numbers": {"name": "periodic", "width": 4, "frequencies": 5, "sigma": 0.3}},
        {"name": "ft_transformer", "width": 8, "heads": 2, "blocks": 1, "numbers": "piecewise_linear"},
        {"name": "mlp", "widths": [8], "numbers": "periodic", "category_width": "auto"},
    ],
    ids=lambda encoder: f"{encoder['name']} {encoder.get('numbers')}",
)
@pytest.mark.parametrize("missing", [False, True])
def test_every_encoder_of_tables_is_trained_saved_and_loaded_again(
    tmp_path: Path, encoder: dict[str, object], missing: bool
) -> None:
    frame = made()
    if missing:
        frame = frame.with_columns(
            pl.when(pl.int_range(pl.len()) % 5 == 0).then(None).otherwise(pl.col("a")).alias("a")
        )
    run = cotrain.fit(frame, tasks=TASKS, encoder=encoder, train={**QUICK, "epochs": 2})
    again = cotrain.load(run.save(tmp_path / "kept"))
    assert again.config.as_dict()["encoder"] == encoder
    assert again.predict(frame).equals(run.predict(frame))


def test_an_encoder_given_as_an_object_is_written_down_with_its_number_embedding(tmp_path: Path) -> None:
    made_of = cotrain.TabM(members=2, widths=[8], numbers=cotrain.PiecewiseLinear(bins=4))
    run = cotrain.fit(made(), tasks=TASKS, encoder=made_of, train={**QUICK, "epochs": 1})
    written = run.config.as_dict()["encoder"]
    assert written["numbers"] == {"name": "piecewise_linear", "width": None, "bins": 4}
    again = cotrain.load(run.save(tmp_path / "kept"))
    assert again.predict(made(9)).equals(run.predict(made(9)))


def test_the_star_means_every_column_even_where_one_bears_that_name() -> None:
    frame = made().rename({"b": "*"})
    run = cotrain.fit(frame, inputs=["*"], tasks={"bought": "binary"}, encoder=SMALL, train={**QUICK, "epochs": 1})
    assert set(run._encoder.columns) == {"a", "*", "town", "size", "price"}


def test_data_may_be_told_as_a_config_tells_it(tmp_path: Path) -> None:
    made().write_csv(tmp_path / "t.csv", separator=";")
    about = {"path": tmp_path / "t.csv", "kinds": {"b": "category"}, "split": {"fractions": [0.5, 0.2, 0.3]}}
    run = cotrain.fit(about, tasks={"bought": "binary"}, encoder=SMALL, train={**QUICK, "epochs": 1})
    assert run.config.data.kinds == {"b": "category"}
    assert run._documents["data.json"]["splits"] == {"train": 120, "valid": 48, "test": 72}
    named = {"path": ["north", "south"] * 30, "x": [1.0, 2.0] * 30, "y": [0.0, 1.0] * 30}  # columns, one of that name
    assert (
        "path"
        in cotrain.fit(named, tasks={"y": "binary"}, encoder=SMALL, train={**QUICK, "epochs": 1})._encoder.columns
    )
