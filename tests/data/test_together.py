"""Sources that go through one encoder: fitted on the training rows of all, absent columns missing, each source's targets its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from cotrain.core.errors import DataError
from cotrain.data.column_settings import ColumnSettings, ScalingSettings
from cotrain.data.encode import TableEncoder
from cotrain.data.feature_settings import CategorySettings
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import Prepared, preparing
from cotrain.data.read import read_table
from cotrain.data.settings import DataSettings
from cotrain.data.together import prepare_together
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression

CODECS = {"one": {"big": Binary("big", columns=("label",)).codec}, "two": {"size": Regression("size", columns=("label",)).codec}}  # fmt: skip


def tables() -> dict[str, pl.DataFrame]:
    draw = np.random.default_rng(0)
    one = {
        "x": draw.normal(0, 1, 80).round(3),
        "city": draw.choice(["Oslo", "Rome"], 80),
        "z": draw.normal(5, 1, 80).round(3),
        "label": draw.choice(["yes", "no"], 80),
    }
    two = {
        "x": draw.normal(10, 3, 40).round(3),
        "city": draw.choice(["Rome", "Lyon"], 40),
        "label": draw.normal(0, 1, 40).round(3),
    }
    return {"one": pl.DataFrame(one), "two": pl.DataFrame(two)}


def made(
    frames: dict[str, Any] | None = None, settings: dict[str, DataSettings] | None = None, cache: Path | None = None
) -> dict[str, Prepared]:
    frames = tables() if frames is None else frames
    return prepare_together(
        {
            name: preparing(
                read_table(frames[name]),
                Preparation(
                    targets=CODECS[name], settings=(settings or {}).get(name, DataSettings()), source=name, cache=cache
                ),
                beside="both",
            )
            for name in frames
        }
    )


def test_numbers_are_scaled_by_the_training_rows_of_all_sources_together() -> None:
    frames, ready = tables(), made()
    parts = [frames[name]["x"].to_numpy()[ready[name].data.rows("train").numpy()] for name in frames]  # type: ignore[attr-defined]
    x = np.concatenate(parts)
    place = ready["two"].specs["numbers"].names.index("x")
    values = ready["two"].data.inputs["numbers"].values[:, place]  # type: ignore[attr-defined]
    expected = (frames["two"]["x"].to_numpy() - x.mean()) / x.std()
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_all_sources_have_the_same_fields_and_labels_of_any_have_a_code() -> None:
    ready = made()
    assert ready["one"].specs == ready["two"].specs
    assert ready["one"].specs["categories"].cardinalities[0] >= 4  # Oslo, Rome, Lyon and the unknown
    codes = [ready[name].data.inputs["categories"].values for name in ready]  # type: ignore[attr-defined]
    cities = [tables()[name]["city"].to_list() for name in ready]
    rome = {int(code) for found, names in zip(codes, cities, strict=True) for code, city in zip(found[:, 0], names, strict=True) if city == "Rome"}  # fmt: skip
    assert len(rome) == 1


def test_a_column_that_a_source_lacks_is_missing_in_all_its_rows_and_new_rows_need_not_have_it() -> None:
    ready = made()
    place = ready["two"].specs["numbers"].names.index("z")
    valid = ready["two"].data.inputs["numbers"].valid  # type: ignore[attr-defined]
    assert not valid[:, place].any()
    assert ready["two"].encoder.absent == ("z",)
    again = TableEncoder.from_json(json.loads(json.dumps(ready["two"].encoder.to_json())))
    assert again == ready["two"].encoder
    fields, notes = again.encode(tables()["two"].drop("label"))
    assert torch.equal(fields["numbers"].values, ready["two"].data.inputs["numbers"].values)  # type: ignore[attr-defined, union-attr]
    assert notes == []
    with pytest.raises(DataError, match="missing: 'z'"):
        ready["one"].encoder.encode(tables()["one"].drop("z"))


def test_a_source_never_sees_its_own_target_though_another_reads_a_column_of_that_name() -> None:
    frames = tables()
    frames["two"] = frames["two"].rename({"label": "other"})
    frames["one"] = frames["one"].rename({"label": "other"}).with_columns(label=pl.Series(np.arange(80) % 2 == 0).cast(pl.String))  # fmt: skip
    codecs = {"one": {"big": Binary("big", columns=("label",)).codec}, "two": {"size": Regression("size", columns=("other",)).codec}}  # fmt: skip
    steps = {
        name: preparing(read_table(frames[name]), Preparation(targets=codecs[name], source=name)) for name in frames
    }
    ready = prepare_together(steps)
    assert "other" in ready["one"].encoder.columns
    assert "other" in ready["two"].encoder.absent
    shaken = frames["two"].with_columns(other=pl.lit("yes"))
    fields, _ = ready["two"].encoder.encode(shaken)
    assert torch.equal(fields["categories"].values, ready["two"].data.inputs["categories"].values)  # type: ignore[attr-defined, union-attr]


def test_statistics_of_targets_are_of_the_sources_that_have_them_and_out_of_fold_for_every_source() -> None:
    said = DataSettings(categories=CategorySettings(encoding="target"))
    ready = made(settings={"one": said, "two": said})
    place = next(name for name, spec in ready["two"].specs.items() if spec.kind == "number")
    names = ready["two"].specs[place].names
    where = next(index for index, name in enumerate(names) if "size" in name)
    own = ready["two"].data.inputs[place].values[:, where]  # type: ignore[attr-defined]
    later = ready["two"].encoder.encode(tables()["two"])[0][place].values[:, where]  # type: ignore[union-attr]
    train = ready["two"].data.rows("train")  # type: ignore[attr-defined]
    assert len(own[train].unique()) > len(
        later[train].unique()
    )  # rows of one label differ by the fold they are left out of
    rest = torch.ones(40, dtype=torch.bool)
    rest[train] = False
    assert torch.equal(own[rest], later[rest])


def test_a_second_preparation_comes_from_the_cache_and_a_damaged_entry_is_made_again(tmp_path: Path) -> None:
    paths = {}
    for name, frame in tables().items():
        paths[name] = str(tmp_path / f"{name}.csv")
        frame.write_csv(paths[name])
    first = made(paths, cache=tmp_path / "cache")
    entries = sorted((tmp_path / "cache").iterdir())
    assert len(entries) == 2
    second = made(paths, cache=tmp_path / "cache")
    victim = next(one for one in entries if json.loads((one / "meta.json").read_text())["source"] == "two")
    (victim / "meta.json").write_text("{}")
    third = made(paths, cache=tmp_path / "cache")
    for again in (second, third):
        for name in first:
            assert again[name].encoder.to_json() == first[name].encoder.to_json()
            for field, one in first[name].data.inputs.items():  # type: ignore[attr-defined]
                assert torch.equal(one.values, again[name].data.inputs[field].values)  # type: ignore[attr-defined]


def test_sources_that_take_a_column_for_different_kinds_or_say_other_things_are_refused() -> None:
    frames = tables()
    frames["two"] = frames["two"].with_columns(x=pl.Series(["low", "high"] * 20))
    with pytest.raises(
        DataError, match="column 'x' is taken for number in source 'one' and for binary in source 'two'; say which"
    ):
        made(frames)
    robust = DataSettings(scaling=ScalingSettings("robust"))
    with pytest.raises(
        DataError, match="share one encoder, but say other things of `scaling`; say it once under `data`"
    ):
        made(settings={"two": robust})
    column = DataSettings(per_column={"x": ColumnSettings(scaling=ScalingSettings("robust"))})
    plain = DataSettings(per_column={"x": ColumnSettings(scaling=ScalingSettings("min_max"))})
    with pytest.raises(DataError, match=r"other things of column 'x' \(per_column\)"):
        made(settings={"one": column, "two": plain})
    frames = {**tables(), "two": tables()["two"].select(pl.lit("same").alias("city"), "label")}
    with pytest.raises(DataError, match="at least one input column"):
        made({"two": frames["two"]})
