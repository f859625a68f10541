"""Categories, texts and dates go the whole way as a person chose: fitted on training rows, stored, said in the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from cotrain.data.column_settings import ColumnSettings
from cotrain.data.columns import Training
from cotrain.data.encode import TableEncoder
from cotrain.data.feature_settings import CategorySettings, DateSettings, TextSettings
from cotrain.data.infer import infer
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import Prepared, prepare
from cotrain.data.read import read_table
from cotrain.data.settings import DataSettings, SplitSettings

Toys = Callable[..., dict[str, Any]]
ROWS = 600


def shops() -> pl.DataFrame:
    """Labels without end, two texts, a date and two targets, of which one is missing in half of the rows."""
    random = np.random.default_rng(0)
    shop = random.integers(0, 150, ROWS)
    good = random.random(ROWS) < 0.5
    spent = 0.1 * shop + random.normal(size=ROWS)
    return pl.DataFrame(
        {
            "shop": [None if place % 40 == 3 else f"shop {one}" for place, one in enumerate(shop)],
            "size": random.normal(size=ROWS),
            "review": [f"it was a {'good' if one else 'bad'} day to go there, number {place}" for place, one in enumerate(good)],
            "note": [None if place % 3 else f"the man at desk {place % 7} was there again today" for place in range(ROWS)],
            "when": [f"2024-{1 + place % 12:02d}-{1 + place % 28:02d}" for place in range(ROWS)],
            "spent": spent,
            "visits": [None if place % 2 else float(one) for place, one in enumerate(shop % 5 + random.normal(size=ROWS))],
        }
    )  # fmt: skip


FRAME = shops()


def ready(toys: Toys, *, frame: pl.DataFrame = FRAME, **settings: Any) -> Prepared:
    settings = {"kinds": {"shop": "category", "note": "text"}} | settings
    return prepare(read_table(frame), Preparation(targets=toys("spent", "visits"), settings=DataSettings(**settings)))


@pytest.mark.parametrize(
    ("encoding", "codes", "statistics"),
    [
        ("auto", True, False),
        ("codes", True, False),
        ("hash", True, False),
        ("target", False, True),
        ("both", True, True),
    ],
)
def test_labels_become_what_was_chosen(toys: Toys, encoding: Any, codes: bool, statistics: bool) -> None:
    made = ready(toys, categories=CategorySettings(encoding=encoding, buckets=64))
    found = "categories" in made.specs and "shop" in made.specs["categories"].names
    assert found is codes
    names = [name for name in made.specs["numbers"].names if name.startswith("shop")]
    assert names == (["shop: mean of spent", "shop: mean of visits", "shop is missing"] if statistics else [])
    if encoding == "hash":
        assert made.specs["categories"].cardinalities == (65,)
    for field in made.data.inputs.values():
        field.check("x")
        assert torch.isfinite(field.values.float()).all()
    again = TableEncoder.from_json(json.loads(json.dumps(made.encoder.to_json(), allow_nan=False)))
    assert again == made.encoder


def test_training_rows_have_statistics_out_of_fold_and_later_ones_those_of_all(toys: Toys) -> None:
    made = ready(toys, categories=CategorySettings(encoding="target"))
    place = made.specs["numbers"].names.index("shop: mean of spent")
    later, _ = made.encoder.encode(FRAME)
    own, new = made.data.inputs["numbers"].values[:, place], later["numbers"].values[:, place]
    train, test = made.data.rows("train"), made.data.rows("test")
    assert torch.equal(own[test], new[test])
    held = torch.from_numpy(FRAME["shop"].is_not_null().to_numpy())[train]
    assert float((own[train] != new[train])[held].float().mean()) > 0.9
    truth = torch.from_numpy(FRAME["spent"].to_numpy().copy()).float()
    mine, naive = (float(np.corrcoef(x[train], truth[train])[0, 1]) for x in (own, new))
    unseen = float(np.corrcoef(own[test], truth[test])[0, 1])
    assert naive > mine > 0.5
    assert abs(mine - unseen) < abs(naive - unseen)


def test_statistics_know_nothing_of_rows_outside_training(toys: Toys) -> None:
    parts = pl.Series("part", ["train"] * 400 + ["valid"] * 50 + ["test"] * 150)
    frame = FRAME.with_columns(parts)
    spoiled = frame.with_columns(pl.when(pl.col("part") == "train").then(pl.col("spent")).otherwise(1e6).alias("spent"))
    how = {"split": SplitSettings("column", by="part"), "categories": CategorySettings(encoding="both")}
    one, other = (ready(toys, frame=table, **how) for table in (frame, spoiled))
    assert one.encoder == other.encoder
    assert torch.equal(one.data.inputs["numbers"].values, other.data.inputs["numbers"].values)


def test_of_labels_without_end_the_most_frequent_have_codes(toys: Toys) -> None:
    made = ready(toys, categories=CategorySettings(most=10, rare=1))
    (encoder,) = [one for one in made.encoder.encoders if one.columns == ("shop",)]
    counts = (
        FRAME["shop"][made.data.rows("train").numpy()]
        .drop_nulls()
        .value_counts(name="n")
        .sort(["n", "shop"], descending=[True, False])
    )
    assert encoder.labels == tuple(counts["shop"].head(10))  # type: ignore[attr-defined]
    assert encoder.cardinalities == (13,)
    everyone = ready(toys, categories=CategorySettings(encoding="codes", most=10, rare=1))
    assert everyone.specs["categories"].cardinalities[0] > 100


def test_texts_stand_side_by_side_with_marks_for_missing_ones(toys: Toys) -> None:
    made = ready(toys, text=TextSettings(features=30))
    words = made.specs["words"]
    assert words.kind == "bag"
    assert "review: good" in words.names
    assert words.names[-1] == "note is missing"
    values = made.data.inputs["words"].values
    missing = torch.from_numpy(FRAME["note"].is_null().to_numpy())
    note = [place for place, name in enumerate(words.names) if name.startswith("note: ")]
    assert values[missing][:, note].abs().sum() == 0
    assert torch.equal(values[:, -1].bool(), missing)
    lengths = values[:, : note[0]].norm(dim=1)
    assert torch.allclose(lengths, torch.ones(ROWS), atol=1e-5)
    said = {column["name"]: column["note"] for column in made.report["columns"]}
    assert said["review"] == "TF-IDF of 20 words in a row up to 2"  # every other word stands in one text
    assert not any("free text" in warning for warning in made.warnings)


def test_one_column_may_be_taken_otherwise_than_the_rest(toys: Toys) -> None:
    frame = FRAME.with_columns(pl.Series("town", [f"town {place % 4}" for place in range(ROWS)]))
    own = {
        "shop": ColumnSettings(categories=CategorySettings(encoding="hash", buckets=16)),
        "note": ColumnSettings(text=TextSettings(features=5, analyzer="char", ngrams=(3, 3))),
        "when": ColumnSettings(dates=DateSettings(parts=("weekend", "elapsed"))),
    }
    made = ready(toys, frame=frame, per_column=own)
    assert dict(zip(made.specs["categories"].names, made.specs["categories"].cardinalities, strict=True)) == {
        "shop": 17,
        "town": 7,
    }
    assert [name for name in made.specs["numbers"].names if name.startswith("when")] == ["when weekend", "when elapsed"]
    assert sum(name.startswith("note: ") for name in made.specs["words"].names) == 5
    assert all(len(name) == len("note: ") + 3 for name in made.specs["words"].names if name.startswith("note: "))


def test_every_setting_of_features_has_a_cache_entry_of_its_own(toys: Toys, tmp_path: Path) -> None:
    path, cache = tmp_path / "shops.csv", tmp_path / "cache"
    FRAME.write_csv(path)
    changes: list[dict[str, Any]] = [
        {}, {"categories": CategorySettings(encoding="both")}, {"categories": CategorySettings(encoding="both", smoothing=3.0)},
        {"text": TextSettings(features=9)}, {"dates": DateSettings(parts=("year",))},
    ]  # fmt: skip
    for change in changes:
        settings = DataSettings(kinds={"shop": "category"}, **change)
        ways = [
            prepare(read_table(path), Preparation(targets=toys("spent"), settings=settings, cache=cache))
            for _ in range(2)
        ]
        for name, field in ways[0].data.inputs.items():
            assert torch.equal(field.values, ways[1].data.inputs[name].values)
        assert ways[0].encoder == ways[1].encoder
    assert len(list(cache.iterdir())) == len(changes)


def test_statistics_need_a_target_that_is_classes_or_numbers() -> None:
    from cotrain.core.errors import DataError

    columns = list(infer(FRAME[["shop"]], {"shop": "category"}).values())
    settings = DataSettings(categories=CategorySettings(encoding="target"))
    with pytest.raises(DataError, match="column 'shop': statistics of targets need a target"):
        TableEncoder.fit(FRAME, columns, settings, training=Training())


def test_truth_values_are_the_same_label_however_they_are_written(toys: Toys) -> None:
    frame = FRAME.with_columns(pl.Series("open", [place % 3 == 0 for place in range(ROWS)]))
    for encoding in ("codes", "hash", "target"):
        made = ready(toys, frame=frame, categories=CategorySettings(encoding=encoding))  # type: ignore[arg-type]
        words = frame.with_columns(pl.col("open").cast(pl.String).str.to_titlecase())
        for name, field in made.encoder.encode(frame)[0].items():
            assert torch.equal(field.values, made.encoder.encode(words)[0][name].values)


def test_leaks_between_rows_are_among_the_warnings(toys: Toys) -> None:
    random = np.random.default_rng(1)
    a, b = random.normal(size=(2, ROWS))
    frame = pl.DataFrame(
        {"patient": np.arange(ROWS) // 12, "a": a, "b": b, "spent": a - 2 * b, "visits": random.normal(size=ROWS)}
    )
    said = "\n".join(ready(toys, frame=frame, kinds={}).warnings)
    assert "columns 'a' and 'b' together give the target 'spent'" in said
    assert "split: {method: group, by: patient}" in said
