"""Six ways to split: together the splits are all rows, none is empty in silence, and the same seed gives the same rows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cotrain.core.errors import ConfigError, DataError
from cotrain.data.settings import SplitSettings
from cotrain.data.split import split_rows
from cotrain.data.stratify import strata, stratified

ROWS = 300


@pytest.fixture
def frame() -> pl.DataFrame:
    random = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "who": random.integers(0, 25, ROWS),
            "when": random.integers(0, 80, ROWS),
            "part": random.choice(["Train", "val", "test"], ROWS, p=[0.6, 0.2, 0.2]),
            "rare": (random.random(ROWS) < 0.04).astype(int),
            "site": random.choice(["a", "b", "c"], ROWS),
            "value": random.normal(size=ROWS),
        }
    )


METHODS = [
    SplitSettings(),
    SplitSettings("stratified"),
    SplitSettings("group", by="who"),
    SplitSettings("time", by="when"),
    SplitSettings("column", by="part"),
]


@pytest.mark.parametrize("how", METHODS, ids=lambda how: how.method)
def test_the_splits_are_all_rows_once(frame: pl.DataFrame, how: SplitSettings) -> None:
    splits = split_rows(frame, how, seed=3, targets=["rare", "value"])
    rows = torch.cat(list(splits.rows.values()))
    assert rows.sort().values.tolist() == list(range(ROWS))
    assert all(len(one) for one in splits.rows.values())
    assert all((one[1:] > one[:-1]).all() for one in splits.rows.values())
    again = split_rows(frame, how, seed=3, targets=["rare", "value"])
    assert all(torch.equal(one, again.rows[name]) for name, one in splits.rows.items())


@settings(deadline=None, max_examples=60)
@given(
    st.integers(10, 60),
    st.integers(0, 5),
    st.sampled_from([(0.7, 0.1, 0.2), (0.98, 0.01, 0.01), (0.5, 0.0, 0.5), (0.34, 0.33, 0.33)]),
)
def test_tiny_tables_leave_no_wanted_split_empty(rows: int, seed: int, fractions: tuple[float, float, float]) -> None:
    frame = pl.DataFrame({"x": range(rows), "y": [place % 3 for place in range(rows)]})
    for how in (
        SplitSettings(fractions=fractions),
        SplitSettings("time", fractions, by="x"),
        SplitSettings("group", fractions, by="x"),
    ):
        sizes = {name: len(one) for name, one in split_rows(frame, how, seed=seed).rows.items()}
        assert sum(sizes.values()) == rows
        assert set(sizes) == {name for name, share in zip(("train", "valid", "test"), fractions, strict=True) if share}


def test_random_splits_keep_the_fractions_and_follow_the_seed(frame: pl.DataFrame) -> None:
    first = split_rows(frame, SplitSettings(fractions=(0.6, 0.1, 0.3)), seed=0)
    assert [len(rows) for rows in first.rows.values()] == [180, 30, 90]
    assert not torch.equal(
        first.rows["test"], split_rows(frame, SplitSettings(fractions=(0.6, 0.1, 0.3)), seed=1).rows["test"]
    )


def test_a_stratified_split_keeps_the_shares_of_all_targets_at_once(frame: pl.DataFrame) -> None:
    frame = frame.with_columns(pl.when(pl.col("who") < 8).then(None).otherwise(pl.col("site")).alias("holed"))
    targets = ["rare", "site", "value", "holed"]
    splits = split_rows(frame, SplitSettings("stratified"), seed=0, targets=targets)
    for target in targets:
        labels = strata(frame[target])
        for name, share in (("train", 0.7), ("valid", 0.1), ("test", 0.2)):
            got = np.bincount(labels[splits.rows[name].numpy()], minlength=labels.max() + 1)
            assert np.abs(got - np.bincount(labels) * share).max() <= 2.0, (target, name)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=80), st.integers(0, 3))
def test_every_row_gets_a_split_and_combinations_keep_their_share(rows: list[tuple[int, int]], seed: int) -> None:
    labels = [np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)]
    share = np.array([0.5, 0.2, 0.3])
    where = stratified(labels, share, np.random.default_rng(seed))
    assert set(where.tolist()) <= {0, 1, 2}
    key = labels[0] * 3 + labels[1]
    for one in np.unique(key):
        got = np.bincount(where[key == one], minlength=3)
        assert (got >= np.floor((key == one).sum() * share + 1e-9)).all()


def test_groups_stay_together_and_sizes_stay_near(frame: pl.DataFrame) -> None:
    splits = split_rows(frame, SplitSettings("group", by="who"), seed=0)
    groups = [set(frame["who"][rows.numpy()].to_list()) for rows in splits.rows.values()]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    assert abs(len(splits.rows["train"]) / ROWS - 0.7) < 0.05
    with pytest.raises(DataError, match="needs at least 3 groups, column 'rare' has 2"):
        split_rows(frame, SplitSettings("group", by="rare"))


def test_time_splits_never_look_back(frame: pl.DataFrame) -> None:
    splits = split_rows(frame, SplitSettings("time", by="when"))
    train, valid, test = (frame["when"][rows.numpy()] for rows in splits.rows.values())
    assert train.max() < valid.min()  # type: ignore[operator]
    assert valid.max() < test.min()  # type: ignore[operator]


def test_time_splits_read_dates_and_not_letters() -> None:
    days = [f"{1 + place % 28:02d}/{1 + place // 28:02d}/2020" for place in range(100)]
    mixed = np.random.default_rng(0).permutation(100)
    splits = split_rows(pl.DataFrame({"day": [days[place] for place in mixed]}), SplitSettings("time", by="day"))
    assert sorted(mixed[splits.rows["train"].numpy()]) == list(range(70))
    with pytest.raises(DataError, match="a date is expected, got 'x'"):
        split_rows(pl.DataFrame({"day": ["x"] * 20}), SplitSettings("time", by="day"))


def test_rows_without_a_time_train_and_that_is_said() -> None:
    frame = pl.DataFrame({"t": [None, None, *range(18)]})
    splits = split_rows(frame, SplitSettings("time", by="t"))
    assert {0, 1} <= set(splits.rows["train"].tolist())
    assert "2 rows without 't'" in splits.notes[0]


def test_a_column_can_say_the_split_in_its_own_words(frame: pl.DataFrame) -> None:
    splits = split_rows(frame, SplitSettings("column", by="site", train="a", valid=("b",), test="c"))
    assert frame["site"][splits.rows["valid"].numpy()].unique().to_list() == ["b"]
    with pytest.raises(DataError, match=r"column 'site', row 1: a split's name .* is expected, got"):
        split_rows(frame, SplitSettings("column", by="site"))
    with pytest.raises(DataError, match="got 'c'"):
        split_rows(frame, SplitSettings("column", by="site", train="a", valid="b"))


def test_a_column_without_validation_rows_has_some_drawn_and_said(frame: pl.DataFrame) -> None:
    splits = split_rows(frame, SplitSettings("column", by="site", train=("a", "b"), test="c"), seed=0)
    assert len(splits.rows["valid"]) == round((frame["site"] != "c").sum() / 8)
    assert "drawn from training" in splits.notes[0]


def test_given_files_keep_their_rows() -> None:
    frame = pl.DataFrame({"x": range(20)})
    splits = split_rows(frame, SplitSettings("files", valid="v.csv"), parts={"train": 12, "valid": 3, "test": 5})
    assert [rows.tolist()[0] for rows in splits.rows.values()] == [0, 12, 15]
    with pytest.raises(DataError, match="split by split"):
        split_rows(frame, SplitSettings("files", valid="v.csv"), parts={})


def test_too_few_rows_are_refused() -> None:
    for rows in (0, 1, 5):
        with pytest.raises(DataError, match=f"at least 10 rows are needed .* got {rows}"):
            split_rows(pl.DataFrame({"x": list(range(rows))}))


@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        ({"method": "randm"}, "did you mean 'random'"),
        ({"fractions": (0.5, 0.5, 0.5)}, "add up to 1"),
        ({"fractions": (0.0, 0.5, 0.5)}, "rows for training"),
        ({"fractions": (0.5, 0.5)}, "three shares"),
        ({"method": "group"}, "needs to know the column"),
        ({"method": "random", "by": "x"}, "does not look at a column"),
        ({"method": "files"}, "at least one of `valid` and `test`"),
        ({"method": "random", "test": "test.csv"}, "does not read `test`"),
        ({"method": "files", "train": "a.csv", "test": "b.csv"}, "does not read `train`"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(settings_: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SplitSettings(**settings_)  # type: ignore[arg-type]


def test_an_unknown_column_is_answered_with_the_nearest(frame: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="did you mean 'when'"):
        split_rows(frame, SplitSettings("time", by="whne"))


@settings(deadline=None, max_examples=100)
@given(st.integers(10, 24), st.integers(0, 2**20), st.integers(2, 6), st.booleans())
def test_a_stratified_split_of_a_dozen_rows_leaves_no_wanted_split_empty(
    rows: int, seed: int, classes: int, third: bool
) -> None:
    random = np.random.default_rng(seed)
    frame = pl.DataFrame({name: random.integers(0, classes, rows) for name in "ab"}).with_columns(
        pl.Series("c", random.normal(size=rows))
    )
    fractions = (0.7, 0.1, 0.2) if third else (0.85, 0.0, 0.15)
    found = split_rows(frame, SplitSettings("stratified", fractions), seed=seed, targets=["a", "b", "c"]).rows
    assert set(found) == ({"train", "valid", "test"} if third else {"train", "test"})
    assert sorted(torch.cat(list(found.values())).tolist()) == list(range(rows))
