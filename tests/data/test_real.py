"""Real files with their real oddities; skipped, with the reason, where they are not at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cotrain.data.column_settings import ScalingSettings
from cotrain.data.infer import infer
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import Prepared, prepare
from cotrain.data.read import Table, read_table
from cotrain.data.settings import DataSettings, ReadSettings, SplitSettings

Find = Callable[[str], Path]
Toys = Callable[..., dict[str, Any]]


def kinds(table: Table) -> dict[str, str]:
    return {column.name: column.kind for column in infer(table.frame).values()}


def counted(ready: Prepared) -> dict[str, int]:
    """Cells per cleaning step."""
    total: dict[str, int] = {}
    for step in ready.report["cleaning"]:
        total[step["step"]] = total.get(step["step"], 0) + step["count"]
    return total


def whole(ready: Prepared) -> None:
    """Every row is in one split, every field is sound and finite."""
    rows = torch.cat(list(ready.data.splits.values()))
    assert rows.sort().values.tolist() == list(range(len(ready.data)))
    batch = ready.data.batch(rows)
    batch.check()
    if "numbers" in batch.inputs:
        assert torch.isfinite(batch.inputs["numbers"].values).all()


def test_census_has_no_header_and_blanks_before_every_word(real_data: Find, toys: Toys, tmp_path: Path) -> None:
    path, names = (
        real_data("census_income_kdd/census-income.test.gz"),
        real_data("census_income_kdd/loader_columns.txt"),
    )
    table = read_table(path, ReadSettings(columns=str(names)))
    assert table.frame.shape == (99_762, 42)
    assert set(table.frame["income_50k"].unique()) == {"- 50000.", "50000+."}
    found = kinds(table)
    assert (found["age"], found["det_ind_code"], found["education"], found["sex"]) == (
        "number",
        "category",
        "category",
        "binary",
    )
    ready = prepare(
        table,
        Preparation(
            targets=toys("income_50k", "marital_stat"),
            inputs=["*", "-education"],
            settings=DataSettings(weight="instance_weight", split=SplitSettings("stratified", (0.6, 0.1, 0.3))),
            cache=tmp_path,
        ),
    )
    whole(ready)
    assert "instance_weight" not in ready.encoder.columns
    assert len(ready.encoder.columns) == 38
    rich = (table.frame["income_50k"] == "50000+.").to_numpy()
    shares = [rich[rows.numpy()].mean() for rows in ready.data.splits.values()]
    assert max(shares) - min(shares) < 2e-4
    assert counted(ready)["whitespace stripped"] > 99_762 * 25


def test_heart_disease_keeps_its_missing_cells(real_data: Find, toys: Toys) -> None:
    table = read_table(real_data("heart_disease/heart.csv"))
    assert sum(table.frame.null_count().row(0)) == 1753
    ready = prepare(
        table, Preparation(targets=toys("num", "chol"), settings=DataSettings(split=SplitSettings("group", by="site")))
    )
    whole(ready)
    sites = [set(table.frame["site"][rows.numpy()].to_list()) for rows in ready.data.splits.values()]
    assert sum(len(one) for one in sites) == 4
    assert int((~ready.data.targets["chol"].present).sum()) == 30
    assert "trestbps is missing" in ready.specs["numbers"].names


def test_credit_default_is_read_from_parquet_without_its_id(real_data: Find, toys: Toys) -> None:
    table = read_table(real_data("credit_default/credit_default.parquet"))
    assert table.frame.shape == (30_000, 25)
    ready = prepare(
        table, Preparation(targets=toys("Default"), settings=DataSettings(scaling=ScalingSettings("quantile")))
    )
    whole(ready)
    assert "ID" not in ready.encoder.columns
    assert any("ID" in warning for warning in ready.warnings)
    assert ready.data.inputs["numbers"].values.abs().max() < 5


def test_occupancy_has_an_unnamed_index_that_shifts_the_header(real_data: Find, toys: Toys) -> None:
    folder = real_data("occupancy/datatest.txt").parent
    table = read_table(str(folder / "data*.txt"))
    assert table.frame.shape == (20_560, 8)
    assert table.frame["Temperature"].min() > 15  # type: ignore[operator]
    assert kinds(table)["(index)"] == "identifier"
    ready = prepare(
        table, Preparation(targets=toys("Occupancy"), settings=DataSettings(split=SplitSettings("time", by="date")))
    )
    whole(ready)
    dates = [table.frame["date"][rows.numpy()] for rows in ready.data.splits.values()]
    assert dates[0].max() < dates[1].min()  # type: ignore[operator]
    assert dates[1].max() < dates[2].min()  # type: ignore[operator]


def test_restaurants_are_separated_by_semicolons_and_mark_missing_cells(real_data: Find, toys: Toys) -> None:
    table = read_table(real_data("restaurant_ratings/rating_final.csv"))
    assert table.frame.shape == (1161, 5)
    whole(prepare(table, Preparation(targets=toys("rating", "food_rating", "service_rating"))))
    users = read_table(real_data("restaurant_ratings/userprofile.csv"))
    assert users.frame["smoker"].null_count() == 3
    assert {step.step for step in users.steps} == {"word for missing"}
    places = read_table(real_data("restaurant_ratings/geoplaces.csv"))
    assert places.frame.shape == (130, 21)
    assert kinds(places)["zip"] != "number"


def test_drug_reviews_hold_lines_inside_quotes_and_words_for_missing(real_data: Find, toys: Toys) -> None:
    table = read_table(real_data("druglib/drugLibTrain_raw.tsv.gz"))
    assert table.frame.height == 4143
    found = kinds(table)
    assert [found[name] for name in ("(index)", "benefitsReview", "rating", "effectiveness")] == [
        "identifier", "text", "category", "category",
    ]  # fmt: skip
    assert table.frame["sideEffectsReview"].null_count() == 98
    ready = prepare(table, Preparation(targets=toys("rating")))
    whole(ready)
    texts = ("benefitsReview", "sideEffectsReview", "commentsReview")
    assert set(ready.encoder.columns) == {"urlDrugName", "effectiveness", "sideEffects", "condition", *texts}
    names = ready.specs["words"].names
    assert [sum(name.startswith(f"{text}: ") for name in names) for text in texts] == [512] * 3
    assert "sideEffectsReview is missing" in names
    assert ready.data.inputs["words"].values.shape == (4143, len(names))


def test_the_smart_home_numbers_its_columns_in_a_commented_header(real_data: Find) -> None:
    table = read_table(real_data("sml2010/NEW-DATA-1.T15.txt"))
    assert table.frame.shape == (2764, 24)
    found = kinds(table)
    assert (found["Date"], found["CO2_Comedor_Sensor"], found["Exterior_Entalpic_1"]) == ("date", "number", "constant")


def test_a_bicycle_hour_knows_month_before_day(real_data: Find, toys: Toys) -> None:
    table = read_table(real_data("bike_sharing/hour.csv"))
    assert infer(table.frame)["dteday"].form == "%m/%d/%Y"
    ready = prepare(table, Preparation(targets=toys("casual"), inputs=["*", "-registered"]))
    whole(ready)
    assert "instant" not in ready.encoder.columns


def test_speech_of_one_subject_stays_in_one_split(real_data: Find, toys: Toys) -> None:
    table = read_table(real_data("parkinsons_tele/parkinsons_updrs.csv"))
    ready = prepare(
        table,
        Preparation(
            targets=toys("motor_UPDRS", "total_UPDRS"),
            settings=DataSettings(split=SplitSettings("group", by="subject#")),
        ),
    )
    whole(ready)
    subjects = [set(table.frame["subject#"][rows.numpy()].to_list()) for rows in ready.data.splits.values()]
    assert sum(len(one) for one in subjects) == len(set.union(*subjects)) == 42
    assert abs(ready.report["splits"]["train"] / 5875 - 0.7) < 0.03
