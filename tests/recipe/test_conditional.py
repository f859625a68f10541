"""Bought given clicked, from a table to answers and back; and what the entire space is worth where clicks are few and chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

import cotrain
from cotrain.core.fields import Batch, Field
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.recipe.compare import compare
from cotrain.recipe.config import config_from_dict
from cotrain.tasks.binary import Binary
from cotrain.tasks.conditional import Conditional
from cotrain.tasks.conditional_codec import joint_target
from cotrain.training.loop import Trainer

QUICK = {"epochs": 8, "batch_size": 64, "early_stopping": None, "optimizer": {"name": "adamw", "lr": 0.02}}
SMALL = {"name": "mlp", "widths": [16]}
TASKS: dict[str, Any] = {
    "bought": {"kind": "conditional", "given": "cart", "column": "purchase"},
    "cart": {"kind": "conditional", "given": "clicked"},
    "clicked": "binary",
}


def made(rows: int = 800, seed: int = 0) -> pl.DataFrame:
    """A funnel: click, cart, purchase; each is recorded only where the one before holds, some clicks are not known."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, rows))

    def draw(logit: np.ndarray) -> np.ndarray:
        return random.random(rows) < 1 / (1 + np.exp(-logit))

    clicked = draw(a)
    cart, bought = draw(b + 0.5 * a), draw(a - b)
    click = [None if row % 10 == 3 else "yes" if one else "no" for row, one in enumerate(clicked)]
    return pl.DataFrame(
        {
            "a": a,
            "b": b,
            "clicked": click,
            "cart": [("in" if one else "out") if c else None for one, c in zip(cart, clicked, strict=True)],
            "purchase": [int(one) if c and k else None for one, c, k in zip(bought, clicked, cart, strict=True)],
        }
    )


TASKS["cart"]["positive"] = "in"


def test_a_chain_is_trained_scored_stored_and_answers_as_before(tmp_path: Path) -> None:
    run = cotrain.fit(made(), tasks=TASKS, encoder=SMALL, train=QUICK)
    scores = run.evaluate("test")
    assert scores["cart"]["auc"] > 0.6
    assert scores["bought"]["auc"] > 0.55
    assert all(np.isfinite(scores[task]["joint_log_loss"]) for task in ("cart", "bought"))
    assert run.metrics["constant"]["bought"]["joint_log_loss"] > scores["bought"]["joint_log_loss"]
    assert set(run._rows.encoder.columns) == {"a", "b"}
    again = cotrain.load(run.save(tmp_path / "run"))
    rows = made(50, seed=7)[["a", "b"]]
    answers = run.predict(rows)
    assert again.predict(rows).equals(answers)
    product = answers["clicked_probability"] * answers["cart_probability"]
    assert np.allclose(answers["cart_joint_probability"], product)
    assert np.allclose(answers["bought_joint_probability"], product * answers["bought_probability"])
    assert set(answers["cart"].unique()) <= {"in", "out"}


def test_labels_of_the_joint_event_come_from_both_columns() -> None:
    frame = made()
    run = cotrain.fit(frame, tasks=TASKS, encoder=SMALL, train={**QUICK, "epochs": 1})
    field = run._rows.data.targets["cart"]
    clicked, cart = frame["clicked"].to_list(), frame["cart"].to_list()
    for row in range(100):
        known = clicked[row] == "no" or cart[row] is not None
        assert bool(field.present[row]) == known
        if known:
            assert field.values[row].tolist() == [
                float(cart[row] == "in"),
                float(clicked[row] == "yes" or cart[row] == "in"),
            ]
    assert {one["name"]: one["note"] for one in run._documents["data.json"]["columns"]}[
        "clicked"
    ] == "of task 'clicked'"


def test_rows_at_odds_with_the_parent_are_counted_and_said() -> None:
    frame = made().with_columns(
        pl.when(pl.col("clicked") == "no").then(pl.lit("in")).otherwise(pl.col("cart")).alias("cart")
    )
    tasks = {name: TASKS[name] for name in ("cart", "clicked")}
    run = cotrain.fit(frame, tasks=tasks, inputs=["a", "b"], encoder=SMALL, train={**QUICK, "epochs": 1})
    count = int((frame["clicked"] == "no").sum())
    assert any(f"{count} rows say yes although 'clicked'" in note for note in run._documents["data.json"]["notes"])


def test_a_tuned_threshold_and_a_task_made_in_python_are_stored(tmp_path: Path) -> None:
    tasks = [Conditional("cart", given="clicked", threshold="tuned", positive="in"), Binary("clicked")]
    run = cotrain.fit(made(), tasks=tasks, inputs=["a", "b"], encoder=SMALL, train=QUICK)
    learnt = run.metrics["learnt"]["cart"]["threshold"]
    answers = cotrain.load(run.save(tmp_path / "run")).predict(made(50, seed=3)[["a", "b"]])
    assert ((answers["cart_probability"] >= learnt) == (answers["cart"] == "in")).all()


@pytest.mark.parametrize("balance", ["nash_mtl", "uncertainty"])
def test_a_comparison_has_the_naive_network_and_boosting_beside_the_entire_space(tmp_path: Path, balance: str) -> None:
    tree = {
        "tasks": {name: TASKS[name] for name in ("cart", "clicked")}, "inputs": ["a", "b"], "encoder": SMALL,
        "balance": balance, "train": {**QUICK, "epochs": 3}, "compare": {"seeds": [0], "boosting": True}, "data": {"cache": None},
    }  # fmt: skip
    folder = compare(config_from_dict(tree, table=made()), folder=tmp_path / "compare")
    document = json.loads((folder / "compare.json").read_text())
    found = {one["name"]: one["all_scores"]["cart"][0] for one in document["variants"] if one["name"] != "constant"}
    joint = next(name for name in found if name.startswith("joint"))
    assert all(0.5 < found[name]["auc"] < 1 for name in ("single-task", "boosting", joint))
    assert found["single-task"]["joint_auc"] is None
    assert found[joint]["joint_auc"] > 0.5
    assert {one["task"] for one in document["gains"]} == {"cart", "clicked"}


def funnel(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Few rows are clicked, and those with the features that also decide the purchase; (x, clicked, bought if clicked, chance)."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(4000, 20, generator=random)
    taste = torch.tanh(x[:, 0] * x[:, 1]) + 0.7 * x[:, 2]
    clicked = torch.rand(4000, generator=random) < torch.sigmoid(2.0 * taste - 4.0)
    chance = torch.sigmoid(2.0 * taste - 1.0)
    return x, clicked.float(), (torch.rand(4000, generator=random) < chance).float(), chance


def test_the_entire_space_estimates_better_than_the_clicked_rows_alone() -> None:
    """P(bought | clicked) for all rows of new data, judged against what each row would have done."""
    areas: dict[str, list[float]] = {"entire": [], "naive": []}
    settings = {"epochs": 12, "batch_size": 256, "early_stopping": None, "optimizer": {"name": "adamw", "lr": 0.01}}
    for seed in range(3):
        x, clicked, bought, _ = funnel(seed)
        target = joint_target(torch.where(clicked > 0, bought, torch.nan), clicked)
        fresh, _, would, _ = funnel(100 + seed)
        rows = Batch({"x": Field.dense(x)}, {"clicked": Field.dense(clicked), "bought": target}, row=torch.arange(4000))
        child = Conditional("bought", given="clicked")
        here = target.values[:, 1].nonzero().squeeze(1)
        only = Batch(rows.inputs, {"bought": target}, row=rows.row).select(here)
        for name, tasks, part in (("entire", [child, Binary("clicked")], rows), ("naive", [child.by_itself()], only)):
            torch.manual_seed(seed)
            model = Model(encoder=MLP(widths=[32], dropout=0.0), tasks=tasks)
            epochs = (
                settings if name == "entire" else {**settings, "epochs": 12 * len(rows) // len(only), "batch_size": 256}
            )
            Trainer(model, train=epochs, seed=seed).fit(part)
            output = model.predict(Batch({"x": Field.dense(fresh)}))["bought"]
            areas[name].append(float(roc_auc_score(would, output[:, 0].detach())))
    assert np.mean(areas["entire"]) > np.mean(areas["naive"]) + 0.02, areas
