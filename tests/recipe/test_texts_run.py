"""Runs on texts as tokens: trained, stored, asked about new rows, gone on with after an interruption, refused where they cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import cotrain
from cotrain.core.errors import ConfigError, DataError
from cotrain.recipe.check import check
from cotrain.recipe.config import config_from_dict
from cotrain.recipe.rows import load_rows

GOOD, BAD = ["good", "lovely", "fine"], ["bad", "awful", "poor"]
FILL = ["the", "food", "was", "a", "very", "place", "and", "we", "came"]
SMALL = {"name": "text_conv", "embedding": 8, "widths": [1, 2], "filters": 8, "dropout": 0.0}
TRAIN = {"epochs": 6, "batch_size": 16, "device": "cpu", "optimizer": {"name": "adamw", "lr": 0.02}}


def reviews(rows: int = 160) -> pl.DataFrame:
    """Texts with one word that says whether it was liked, in a first or a second column; some cells of the second are missing."""
    draw = np.random.default_rng(0)
    liked = draw.random(rows) < 0.5
    lines: list[list[str]] = [list(draw.choice(FILL, draw.integers(4, 9))) for _ in range(rows)]
    for line, one in zip(lines, liked, strict=True):
        line[draw.integers(len(line))] = draw.choice(GOOD if one else BAD)
    notes = [" ".join(draw.choice(FILL, 5)) if place % 4 else None for place in range(rows)]
    table = {
        "review": [" ".join(line) for line in lines],
        "note": notes,
        "liked": liked,
        "words": [float(len(line)) for line in lines],
    }
    return pl.DataFrame(table)


def fitted(frame: pl.DataFrame, **more: Any) -> cotrain.Run:
    settings: dict[str, Any] = {
        "tasks": {"liked": "binary", "words": "regression"}, "encoder": SMALL, "train": TRAIN,
        "prepare": {"kinds": {"review": "text", "note": "text"}},
    }  # fmt: skip
    return cotrain.fit(frame, **(settings | more))


def test_texts_are_learnt_from_stored_and_asked_about_again(tmp_path: Path) -> None:
    frame = reviews()
    run = fitted(frame, sharing={"name": "mmoe", "experts": 2}, balance="upgrad")
    assert run.metrics["splits"]["test"]["liked"]["auc"] > 0.95
    again = cotrain.load(run.save(tmp_path / "run"))
    new = pl.DataFrame({"review": ["we came and the food was awful", None, "", "never met words"], "note": [None] * 4}, schema={"review": pl.String, "note": pl.String})  # fmt: skip
    assert_frame_equal(again.predict(new), run.predict(new))
    assert_frame_equal(run.predict(frame[:40]), pl.concat([run.predict(frame[:13]), run.predict(frame[13:40])]))
    inputs = {one["name"]: one for one in run._documents["data.json"]["columns"] if one["role"] == "input"}
    assert "words" in inputs["review"]["note"]
    assert "codes, at most 256 a text" in inputs["note"]["note"]


def test_a_training_on_texts_goes_on_bit_for_bit(tmp_path: Path) -> None:
    frame = reviews(80)
    frame.write_parquet(tmp_path / "reviews.parquet")
    tree = {
        "data": {"path": str(tmp_path / "reviews.parquet"), "kinds": {"review": "text"}, "cache": str(tmp_path / "cache")},
        "inputs": ["review"], "tasks": {"liked": "binary", "words": "regression"}, "encoder": {**SMALL, "dropout": 0.3},
    }  # fmt: skip
    from cotrain.recipe.network import train_network

    def trained(epochs: int, folder: Path, resume: bool = False) -> dict[str, Any]:
        config = config_from_dict(
            {**tree, "train": {**TRAIN, "epochs": epochs, "schedule": "constant", "early_stopping": None}}
        )
        rows = load_rows(config)  # the second time from the cache
        done = train_network(config, rows.data, rows.specs, rows.tasks, seed=0, folder=folder, resume=resume)
        return dict(done.model.state_dict())

    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = trained(3, tmp_path / "whole")
    trained(2, tmp_path / "parts")
    parts = trained(3, tmp_path / "parts", resume=True)
    assert all(bool((whole[name] == parts[name]).all()) for name in whole if not name.endswith("extra_state"))


def test_cells_of_bytes_are_texts_and_broken_ones_are_named_or_made_missing() -> None:
    frame = reviews(60).with_columns(pl.col("review").cast(pl.Binary))
    cells = frame["review"].to_list()
    cells[7] = b"\xff\xfe\x01"
    broken = frame.with_columns(pl.Series("review", cells, dtype=pl.Binary))
    with pytest.raises(DataError, match="column 'review', row 8: text written in UTF-8 is expected"):
        fitted(broken, inputs=["review"], prepare={"kinds": {"review": "text"}})
    config = config_from_dict(
        {"inputs": ["review"], "tasks": {"liked": "binary"}, "encoder": SMALL, "data": {"kinds": {"review": "text"}, "text": {"broken": "missing", "length": 5}}},
        table=broken,
    )  # fmt: skip
    rows = load_rows(config)
    steps = {step["step"]: step for step in rows.report["cleaning"]}
    assert steps["text not decoded"] == {"step": "text not decoded", "column": "review", "count": 1, "detail": "made missing; the first in row 8"}  # fmt: skip
    assert steps["text cut off"]["count"] == int((reviews(60)["words"] > 5).sum()) - (
        1 if reviews(60)["words"][7] > 5 else 0
    )
    assert not bool(rows.data.inputs["review"].present[7])  # type: ignore[attr-defined]
    bag = config_from_dict(
        {"inputs": ["review"], "tasks": {"liked": "binary"}, "encoder": "mlp", "data": {"kinds": {"review": "text"}, "text": {"broken": "missing"}}},
        table=broken,
    )  # fmt: skip
    assert list(load_rows(bag).specs["main"]) == ["words"]


def test_each_input_has_the_form_its_encoder_reads() -> None:
    config = config_from_dict(
        {
            "inputs": {"said": {"columns": ["review"], "encoder": SMALL}, "rest": {"columns": ["note", "words"]}},
            "tasks": {"liked": "binary"}, "encoder": {"name": "mlp", "widths": [8]},
            "data": {"kinds": {"review": "text", "note": "text", "words": "number"}},
        },
        table=reviews(),
    )  # fmt: skip
    assert {name: spec.kind for name, spec in load_rows(config).specs["main"].items()} == {
        "rest.numbers": "number", "rest.words": "bag", "review": "tokens",
    }  # fmt: skip
    found = check(config)
    assert not found.problems
    mixed = {"kinds": {"review": "text", "note": "text", "words": "number"}, "text": {"length": 3, "features": 4}}
    both = config_from_dict({**config.as_dict(), "data": mixed}, table=reviews())  # each form takes what it reads
    specs = load_rows(both).specs["main"]
    assert len(specs["rest.words"].names) == 5  # missing notes are marked
    assert int(load_rows(both).data.inputs["review"].lengths().max()) == 3  # type: ignore[attr-defined]
    alone = {"inputs": ["review"], "tasks": {"liked": "binary"}, "encoder": "mlp", "data": {"text": {"length": 3}}}
    with pytest.raises(ConfigError, match=r"data.text.length: encoding 'bag' does not read it, got 3"):
        load_rows(config_from_dict(alone, table=reviews()))
    assert found.plan["network"]["parameters"] > 0


def test_tokens_are_refused_where_rows_are_read_piece_by_piece(tmp_path: Path) -> None:
    reviews().write_csv(tmp_path / "reviews.csv")
    config = config_from_dict(
        {
            "data": {"path": str(tmp_path / "reviews.csv"), "stream": True, "kinds": {"review": "text"}, "cache": None},
            "inputs": ["review"], "tasks": {"liked": "binary"}, "encoder": SMALL,
        }
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"data.stream: texts as tokens .*column 'review'.* set data.stream to false"):
        load_rows(config)
