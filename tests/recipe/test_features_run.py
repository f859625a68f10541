"""Texts, hashed labels and target statistics go from a config to scores, and back from the run's folder to the same predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cotrain.recipe.config import config_from_dict
from cotrain.recipe.run import load, train

ROWS = 400


def reviews() -> pl.DataFrame:
    """Ratings that depend on the words of a review and on the shop it is about, of which there are many."""
    random = np.random.default_rng(0)
    good = random.random(ROWS) < 0.5
    shop = random.integers(0, 80, ROWS)
    rating = 2.0 * good + (shop % 4) + 0.1 * random.normal(size=ROWS)
    words = [
        f"it was {'good and clean' if one else 'bad and loud'} when we were there on day {place}"
        for place, one in enumerate(good)
    ]
    return pl.DataFrame({"review": words, "shop": [f"shop {one}" for one in shop], "rating": rating, "back": ["yes" if one else "no" for one in rating > 2.5]})  # fmt: skip


@pytest.mark.parametrize("encoding", ["hash", "target", "both"])
def test_a_run_learns_from_words_and_shops_and_predicts_the_same_from_its_folder(tmp_path: Path, encoding: str) -> None:
    frame = reviews()
    tree = {
        "data": {
            "categories": {"encoding": encoding, "buckets": 256},
            "kinds": {"shop": "category"},
            "text": {"features": 20},
        },
        "tasks": {"rating": "regression", "back": "binary"},
        "encoder": {"name": "mlp", "widths": [32]},
        "train": {"epochs": 25, "batch_size": 64, "optimizer": {"lr": 0.01}},
    }
    run = train(config_from_dict(tree, table=frame), folder=tmp_path / "run")
    scores = run.evaluate("test")
    assert scores["back"]["auc"] > 0.85
    constant = float(frame["rating"].std())  # type: ignore[arg-type]
    assert scores["rating"]["rmse"] < 0.75 * constant
    again = load(tmp_path / "run")
    assert run.predict(frame[:20]).equals(again.predict(frame[:20]))
