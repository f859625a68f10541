"""A picture, a text and numbers in one row, each of which may be missing: three encoders, fused, for tasks that read some of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import cotrain
from cotrain.core.naming import slot

WORDS = {"warm": ("sunny", "hot", "beach"), "cold": ("snow", "ice", "frost")}
INPUTS: dict[str, Any] = {
    "photo": {"columns": ["photo"], "encoder": {"name": "convnet", "widths": [8, 8]}},
    "note": {"columns": ["note"], "encoder": {"name": "text_conv", "embedding": 8, "filters": 8}},
    "rest": ["size"],
}
TASKS: dict[str, Any] = {
    "bar": {"kind": "binary", "inputs": ["photo"]},
    "season": {"kind": "binary", "inputs": ["note", "rest"]},
    "price": "regression",
}
TRAIN = {"epochs": 5, "batch_size": 16, "optimizer": {"lr": 0.01}, "early_stopping": None}


def table(rows: int = 160, seed: int = 0) -> pl.DataFrame:
    """Bars that stand or lie, notes of a season, and a price made of both; a fifth of pictures and of notes is missing."""
    draw = np.random.default_rng(seed)
    cells = draw.integers(0, 60, (rows, 8, 8), dtype=np.uint8)
    stands, season = draw.random(rows) < 0.5, draw.choice(["warm", "cold"], rows)
    for place in range(rows):
        where = draw.integers(1, 7)
        cells[(place, slice(None), where) if stands[place] else (place, where)] = 220
    notes = ["it is " + " ".join(draw.choice(WORDS[one], 3)) + " today" for one in season]
    size = draw.normal(0, 1, rows).round(2)
    price = (stands * 2 + (season == "warm") * 2 + size + draw.normal(0, 0.1, rows)).round(2)
    photos = pl.Series(list(cells), dtype=pl.Array(pl.UInt8, (8, 8)))
    frame = pl.DataFrame({"photo": photos, "note": notes, "size": size, "bar": stands.astype(int), "season": season, "price": price})  # fmt: skip
    gone = pl.Series(draw.random(rows) < 0.2), pl.Series(draw.random(rows) < 0.2)
    return frame.with_columns(photo=pl.when(~gone[0]).then("photo"), note=pl.when(~gone[1]).then("note"))


def fitted(**more: Any) -> Any:
    options = {"inputs": INPUTS, "tasks": TASKS, "train": TRAIN, "prepare": {"kinds": {"note": "text"}}, **more}
    return cotrain.fit(table(), encoder={"name": "mlp", "widths": [16]}, fusion={"name": "gate", "width": 16, "dropout": 0.2}, **options)  # fmt: skip


@pytest.fixture(scope="module")
def run() -> Any:
    return fitted()


def test_every_task_learns_from_the_inputs_it_reads(run: Any) -> None:
    scores = run.metrics["splits"]["test"]
    assert scores["bar"]["auc"] > 0.8
    assert scores["season"]["auc"] > 0.8
    assert scores["price"]["rmse"] < run.metrics["constant"]["price"]["rmse"]


def test_a_missing_picture_or_text_changes_only_what_reads_it(run: Any, tmp_path: Path) -> None:
    rows = table(40, seed=1).drop("bar", "season", "price")
    whole = run.predict(rows)
    blind = run.predict(rows.with_columns(photo=pl.lit(None, rows["photo"].dtype)))
    mute = run.predict(rows.with_columns(note=pl.lit(None, pl.String)))
    assert blind["season_probability"].equals(whole["season_probability"])
    assert mute["bar_probability"].equals(whole["bar_probability"])
    assert blind["bar_probability"].n_unique() == 1  # nothing is left that it reads
    assert not blind["price"].equals(whole["price"])
    assert not mute["price"].equals(whole["price"])
    assert blind["price"].is_finite().all()
    run.save(tmp_path / "run")
    assert cotrain.load(tmp_path / "run").predict(rows).equals(whole)


def test_every_parameter_of_the_three_encoders_is_reached() -> None:
    run = fitted(train={"epochs": 1, "batch_size": 32})
    batch = run._rows.data.first("train", 64)
    run.model.train()
    torch.stack(list(run.model.losses([batch]).values())).sum().backward()
    part: Any = run.model.parts[0]
    paths = part.encoders[slot("main")].paths
    assert list(paths) == [slot("photo"), slot("note"), slot("rest")]
    assert [name for name, one in paths.named_parameters() if one.grad is None] == []


def test_a_trainable_mix_of_sharing_and_balance(run: Any) -> None:
    other = fitted(sharing={"name": "mmoe", "experts": 2}, balance="upgrad", train={**TRAIN, "epochs": 1})
    assert set(other.metrics["splits"]["test"]) == {"bar", "season", "price"}
