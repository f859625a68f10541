"""Files prepared piece by piece: the same cells as in memory for the same fit, in splits told from each row alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Batch
from cotrain.data import shard_writer, text_pieces
from cotrain.data import survey as survey_room
from cotrain.data.column_settings import ColumnSettings, ImputeSettings, OutlierSettings
from cotrain.data.dealt import Dealer
from cotrain.data.pieces import large_table
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import Prepared, prepare
from cotrain.data.read import read_table
from cotrain.data.settings import DataSettings, SplitSettings
from cotrain.data.shards import ShardedData
from cotrain.data.split import SPLITS
from cotrain.data.stream import prepare_stream
from cotrain.data.survey import survey

COLUMN = DataSettings(split=SplitSettings("column", by="part"))


@pytest.fixture
def targets(toys: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return toys("y", "z")


def people(rows: int = 3000) -> pl.DataFrame:
    """Columns of every kind with missing cells, a group, a time, a split and two targets."""
    random = np.random.default_rng(0)
    x = random.normal(size=rows)
    holes = pl.Series(random.random(rows) < 0.1)
    city = random.choice(["Oslo", "Rome", " Lyon", "?"], rows)
    when = np.datetime64("2020-01-01") + random.integers(0, 900, rows).astype("timedelta64[D]")
    return pl.DataFrame(
        {
            "x": pl.Series(x.round(4)).set(holes, None),
            "size": random.integers(0, 90, rows),
            "city": city,
            "when": when.astype(str),
            "who": random.integers(0, rows // 5, rows),
            "part": [SPLITS[place] for place in random.choice(3, rows, p=[0.7, 0.1, 0.2])],
            "y": (2 * x + random.normal(size=rows)).round(3),
            "z": pl.Series(np.where(x > 0, "yes", "no")).set(pl.Series(random.random(rows) < 0.2), None),
        }
    )  # fmt: skip


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """3,000 rows as csv, read in pieces of 20 kB into shards of 256 rows."""
    monkeypatch.setattr(text_pieces, "PIECE", 20_000)
    monkeypatch.setattr(shard_writer, "SHARD_ROWS", 256)
    path = tmp_path / "people.csv"
    people().write_csv(path)
    return path


def all_rows(prepared: Prepared) -> tuple[Batch, dict[int, str]]:
    """(every row in the table's order, {row: split})."""
    parts = [(split, prepared.data.whole(split)) for split in prepared.data.counts]
    where = {row: split for split, batch in parts for row in batch.row.tolist()}  # type: ignore[union-attr]
    row = torch.cat([batch.row for _, batch in parts])  # type: ignore[misc]
    order = row.argsort()
    assert row[order].tolist() == list(range(len(row)))
    from cotrain.core.fields import Field

    def joined(get: Callable[[Batch], Any]) -> dict[str, Field]:
        return {name: Field.cat([get(batch)[name] for _, batch in parts]).select(order) for name in get(parts[0][1])}

    return Batch(joined(lambda one: one.inputs), joined(lambda one: one.targets), None, row[order]), where


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_pieces_are_encoded_as_the_whole_table_is(file: Path, ending: str, targets: dict[str, Any]) -> None:
    path = file.with_suffix(f".{ending}")
    if ending == "parquet":
        people().write_parquet(path, row_group_size=300)
    elif ending == "jsonl":
        people().write_ndjson(path)
    streamed = prepare_stream(large_table(path), Preparation(targets=targets, settings=COLUMN))
    memory = prepare(read_table(path), Preparation(targets=targets, settings=COLUMN))
    assert streamed.encoder.to_json() == memory.encoder.to_json()
    assert streamed.codecs == memory.codecs
    assert streamed.specs == memory.specs
    mine, where = all_rows(streamed)
    theirs, there = all_rows(memory)
    assert where == there
    for one, other in ((mine.inputs, theirs.inputs), (mine.targets, theirs.targets)):
        assert list(one) == list(other)
        for name, field in one.items():
            assert torch.equal(field.values, other[name].values)
            assert torch.equal(field.held(), other[name].held())
    same = ("rows", "columns", "splits", "method", "labels", "warnings")
    assert {key: streamed.report[key] for key in same} == {key: memory.report[key] for key in same}
    for step in memory.report["cleaning"]:
        if step["step"] != "repeated rows":
            assert step["count"] == next(
                one["count"] for one in streamed.report["cleaning"] if (one["step"], one["column"]) == (step["step"], step["column"])
            )  # fmt: skip


def test_a_second_run_reads_the_shards_only(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, targets: dict[str, Any]
) -> None:
    first = prepare_stream(large_table(file), Preparation(targets=targets, settings=COLUMN, cache=tmp_path / "cache"))
    monkeypatch.setattr("cotrain.data.stream.survey", lambda *_, **__: pytest.fail("the files were read again"))
    again = prepare_stream(large_table(file), Preparation(targets=targets, settings=COLUMN, cache=tmp_path / "cache"))
    assert again.report == first.report
    assert again.codecs == first.codecs
    assert again.encoder.to_json() == first.encoder.to_json()
    one, other = (list(each.data.batches("train", 100, seed=0, shuffle=True)) for each in (first, again))
    assert all(
        torch.equal(a.inputs["numbers"].values, b.inputs["numbers"].values) for a, b in zip(one, other, strict=True)
    )
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")] == []
    with pytest.raises(pytest.fail.Exception):
        prepare_stream(
            large_table(file), Preparation(targets=targets, settings=COLUMN, seed=1, cache=tmp_path / "cache")
        )


def test_without_a_cache_the_shards_go_with_the_rows(file: Path, targets: dict[str, Any]) -> None:
    prepared = prepare_stream(large_table(file), Preparation(targets=targets, settings=COLUMN))
    assert isinstance(prepared.data, ShardedData)
    folder = prepared.data.folder
    assert len(list(folder.iterdir())) > 5
    del prepared
    assert not folder.exists()


def test_an_error_leaves_no_half_written_entry(file: Path, tmp_path: Path, targets: dict[str, Any]) -> None:
    people().with_columns(pl.Series("size", [*["1"] * 2990, *["?"] * 9, "many"])).write_csv(file)
    settings = replace(COLUMN, kinds={"size": "number"})
    with pytest.raises(DataError, match=r"'size', row \d+: a number is expected, got 'many'"):
        prepare_stream(large_table(file), Preparation(targets=targets, settings=settings, cache=tmp_path / "cache"))
    assert not (tmp_path / "cache").exists() or list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("method", ["random", "stratified", "group", "time"])
def test_splits_have_their_shares_and_are_the_same_however_the_table_was_cut(
    file: Path, method: Any, monkeypatch: pytest.MonkeyPatch, targets: dict[str, Any]
) -> None:
    by = {"group": "who", "time": "when"}.get(method)
    settings = DataSettings(split=SplitSettings(method, (0.6, 0.1, 0.3), by=by))
    first = prepare_stream(large_table(file), Preparation(targets=targets, settings=settings))
    shares = {split: count / 3000 for split, count in first.data.counts.items()}
    assert shares == pytest.approx({"train": 0.6, "valid": 0.1, "test": 0.3}, abs=0.04)
    monkeypatch.setattr(text_pieces, "PIECE", 3_333)
    again = prepare_stream(large_table(file), Preparation(targets=targets, settings=settings))
    assert all_rows(first)[1] == all_rows(again)[1]
    frame, where = people(), all_rows(first)[1]
    split = pl.Series("split", [where[row] for row in range(3000)])
    if method == "group":
        assert frame.with_columns(split).group_by("who").agg(pl.col("split").n_unique())["split"].max() == 1
        assert "who" not in first.encoder.columns
    if method == "time":
        ends = (
            frame.with_columns(split)
            .group_by("split")
            .agg(pl.col("when").min().alias("low"), pl.col("when").max().alias("high"))
        )
        order = {name: (low, high) for name, low, high in ends.iter_rows()}
        assert order["train"][1] < order["valid"][0]
        assert order["valid"][1] < order["test"][0]
    assert sum(first.report["splits"].values()) == first.report["rows"] == 3000


def test_given_files_keep_their_splits_and_validation_is_drawn_where_none_is_given(
    file: Path, tmp_path: Path, targets: dict[str, Any]
) -> None:
    frame = people()
    frame[:2500].write_csv(file)
    frame[2500:].write_csv(tmp_path / "test.csv")
    table = large_table({"train": file, "test": tmp_path / "test.csv"})
    settings = DataSettings(split=SplitSettings("files", test=str(tmp_path / "test.csv")))
    prepared = prepare_stream(table, Preparation(targets=targets, settings=settings))
    assert prepared.data.count("test") == 500
    assert prepared.data.count("valid") == pytest.approx(2500 * 0.125, abs=60)
    assert all(row >= 2500 for row, split in all_rows(prepared)[1].items() if split == "test")
    assert any("no rows were given for validation" in note for note in prepared.report["notes"])


def test_a_sample_stands_for_what_is_fitted_and_every_label_is_in_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = people().with_columns(
        pl.Series("z", ["rare" if place == 1234 else "ab"[place % 2] for place in range(3000)])
    )
    frame = frame.with_columns(pl.Series("number", np.arange(3000)))
    frame = frame.with_columns(
        pl.Series("part", ["train" if place == 1234 else part for place, part in enumerate(frame["part"])])
    )
    frame.write_csv(file)
    whole = survey(large_table(file), COLUMN.split, seed=0, targets=["y", "z"])
    assert len(whole.sample) == 3000
    monkeypatch.setattr(survey_room, "HEAD", 500)
    some = survey(large_table(file), COLUMN.split, seed=0, targets=["y", "z"], size=200)
    assert 200 <= len(some.sample) <= 210
    assert some.rows == 3000
    assert "rare" in some.sample["z"].to_list()
    assert some.missing == whole.missing == {name: int(count) for name, count in zip(frame.columns, read_table(file).frame.null_count().row(0), strict=True)}  # fmt: skip
    assert some.steps == whole.steps
    assert some.counting == ("number",)
    assert abs(float(some.numbers.mean()) - 1500) < 5 * 3000 / 12**0.5 / 200**0.5
    monkeypatch.setattr(text_pieces, "PIECE", 7_777)
    again = survey(large_table(file), COLUMN.split, seed=0, targets=["y", "z"], size=200)
    assert again.numbers.tolist() == some.numbers.tolist()
    assert (
        survey(large_table(file), COLUMN.split, seed=1, targets=[], size=200).numbers.tolist() != some.numbers.tolist()
    )


def test_a_report_from_a_sample_says_so_and_counts_all_rows(
    file: Path, monkeypatch: pytest.MonkeyPatch, targets: dict[str, Any]
) -> None:
    real = survey
    monkeypatch.setattr("cotrain.data.stream.survey", lambda *given, **named: real(*given, **named, size=300))
    settings = replace(COLUMN, kinds={"who": "number", "when": "ignore"})
    streamed = prepare_stream(large_table(file), Preparation(targets=targets, settings=settings))
    memory = prepare(read_table(file), Preparation(targets=targets, settings=settings))
    assert any("of 3,000 rows drawn at random" in note for note in streamed.report["notes"])
    assert streamed.report["splits"] == memory.report["splits"]
    assert streamed.report["labels"]["z"] == memory.report["labels"]["z"]
    counted = ("train", "valid", "test")
    assert [streamed.report["labels"]["y"][key] for key in counted] == [
        memory.report["labels"]["y"][key] for key in counted
    ]
    assert [one["missing"] for one in streamed.report["columns"]] == [
        one["missing"] for one in memory.report["columns"]
    ]
    mine, theirs = all_rows(streamed)[0].inputs["numbers"].values, all_rows(memory)[0].inputs["numbers"].values
    assert streamed.specs["numbers"].names == memory.specs["numbers"].names
    assert mine.shape == theirs.shape
    assert abs(float(mine.mean(0)[0])) < 0.2


def test_weights_travel_with_their_rows(file: Path, targets: dict[str, Any]) -> None:
    people().with_columns(pl.Series("w", np.arange(3000) % 4)).write_csv(file)
    prepared = prepare_stream(large_table(file), Preparation(targets=targets, settings=replace(COLUMN, weight="w")))
    for batch in prepared.data.batches("train", 64, seed=0, shuffle=True):
        assert batch.row is not None
        assert batch.weight is not None
        assert torch.equal(batch.weight, (batch.row % 4).float())
        assert batch.targets["y"].weight is None


def test_a_tasks_own_weights_travel_with_their_rows(file: Path, targets: dict[str, Any]) -> None:
    people().with_columns(pl.Series("w", np.arange(3000) % 4)).write_csv(file)
    prepared = prepare_stream(large_table(file), Preparation(targets=targets, settings=COLUMN, task_weights={"y": "w"}))
    batch = prepared.data.whole("test")
    assert batch.row is not None
    assert batch.targets["y"].weight is not None
    assert torch.equal(batch.targets["y"].weight, (batch.row % 4).float())
    assert batch.targets["z"].weight is None
    assert "w" not in prepared.encoder.columns


def test_what_needs_all_rows_is_refused(file: Path, targets: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="drop_duplicates"):
        prepare_stream(large_table(file), Preparation(targets=targets, settings=replace(COLUMN, drop_duplicates=True)))


@pytest.mark.parametrize(
    ("dropping", "where"),
    [
        (DataSettings(impute=ImputeSettings("drop")), "data.impute"),
        (DataSettings(outliers=OutlierSettings("iqr", action="drop")), "data.outliers"),
        (DataSettings(per_column={"x": ColumnSettings(impute=ImputeSettings("drop"))}), "data.per_column.x.impute"),
    ],
)
def test_steps_that_drop_rows_are_refused(
    file: Path, targets: dict[str, Any], dropping: DataSettings, where: str
) -> None:
    with pytest.raises(ConfigError, match=f"{where}: rows are only dropped where all are in memory"):
        prepare_stream(large_table(file), Preparation(targets=targets, settings=dropping))


def test_a_wrong_word_for_a_split_is_found_with_its_place(file: Path, targets: dict[str, Any]) -> None:
    frame = people()
    frame.with_columns(pl.Series("part", [*frame["part"][:2000], "tset", *frame["part"][2001:]])).write_csv(file)
    with pytest.raises(DataError, match=r"got 'tset'.*rows counted from row \d+ of the table"):
        prepare_stream(large_table(file), Preparation(targets=targets, settings=COLUMN))


def test_too_few_rows_and_an_empty_split_are_refused(file: Path, targets: dict[str, Any]) -> None:
    people(8).write_csv(file)
    with pytest.raises(DataError, match="at least 10 rows"):
        prepare_stream(large_table(file), Preparation(targets=targets, settings=COLUMN))
    people(200).with_columns(pl.lit("all one").alias("who")).write_csv(file)
    with pytest.raises(DataError, match=r"the \w+ split would have no rows"):
        prepare_stream(
            large_table(file),
            Preparation(targets=targets, settings=DataSettings(split=SplitSettings("group", by="who"))),
        )


def test_a_row_is_dealt_by_itself_alone() -> None:
    dealer = Dealer(SplitSettings(fractions=(0.5, 0.0, 0.5)), 0)
    frame, rows = pl.DataFrame({"x": range(100)}), np.arange(100)
    where = dealer(frame, rows, None)
    assert set(where.tolist()) == {0, 2}
    assert dealer(frame[30:40], rows[30:40], None).tolist() == where[30:40].tolist()
    assert Dealer(dealer.settings, 1)(frame, rows, None).tolist() != where.tolist()


def test_what_encoders_do_to_cells_is_counted_in_all_rows(
    file: Path, monkeypatch: pytest.MonkeyPatch, targets: dict[str, Any]
) -> None:
    settings = replace(COLUMN, outliers=OutlierSettings("quantile", low=0.1, high=0.9), kinds={"who": "number"})

    def steps(prepared: Prepared) -> list[dict[str, Any]]:
        named = ("outlier clipped", "missing cell filled")
        return [one for one in prepared.report["cleaning"] if one["step"] in named]

    memory = steps(prepare(read_table(file), Preparation(targets=targets, settings=settings)))
    assert {(one["step"], one["column"]) for one in memory} >= {("missing cell filled", "x"), ("outlier clipped", "x")}
    assert steps(prepare_stream(large_table(file), Preparation(targets=targets, settings=settings))) == memory
    real = survey
    monkeypatch.setattr("cotrain.data.stream.survey", lambda *given, **named: real(*given, **named, size=300))
    sampled = steps(prepare_stream(large_table(file), Preparation(targets=targets, settings=settings)))
    assert [(one["column"], one["count"]) for one in sampled if one["step"] == "missing cell filled"] == [
        (one["column"], one["count"]) for one in memory if one["step"] == "missing cell filled"
    ]


def test_money_is_read_in_pieces_as_it_is_in_memory(tmp_path: Path, toys: Callable[..., dict[str, Any]]) -> None:
    lines = [f"{place % 7}.{place:03d},50 €;{place % 5}" for place in range(400)]
    (tmp_path / "money.csv").write_text("\n".join(["pay;y", *lines]), encoding="utf-8")
    settings = DataSettings(kinds={"y": "number"})
    streamed = prepare_stream(large_table(tmp_path / "money.csv"), Preparation(targets=toys("y"), settings=settings))
    assert dict(streamed.encoder.manners)["pay"] == "comma €"
    rows, _ = all_rows(streamed)
    memory = streamed.encoder.encode(read_table(tmp_path / "money.csv").frame)[0]["numbers"].values
    assert torch.equal(rows.inputs["numbers"].values, memory[rows.row])
