"""Target statistics tell a network what a label's rows have in common, and never what a training row's own target is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import TargetEncoder as Outside

from cotrain.core.fields import Field
from cotrain.data.target_statistics import CLASSES, TargetEncoder, fold_of, target_values

RANDOM = np.random.default_rng(0)
ROWS = 2000
CODES = np.where(np.arange(ROWS) % 50 == 7, -1, RANDOM.integers(0, 40, ROWS))
WORDS = pl.Series("city", [None if one < 0 else f"c{one}" for one in CODES.tolist()])
AGE = 40.0 + 0.5 * CODES + RANDOM.normal(size=ROWS)


def later(encoder: TargetEncoder, series: pl.Series) -> list[np.ndarray]:
    return list(encoder.part(series.alias(encoder.name).to_frame()).values)


def own(encoder: TargetEncoder, series: pl.Series) -> list[np.ndarray]:
    return list(encoder.training_part(series.to_frame(), np.arange(len(series))).values)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return 0.0 if np.std(a) == 0 else float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("smoothing", [0.0, 1.0, 10.0, 200.0])
def test_statistics_of_later_rows_agree_with_scikit_learn(smoothing: float) -> None:
    held = CODES >= 0
    words, ages = WORDS.filter(pl.Series(held)), AGE[held]
    encoder = TargetEncoder.fit(words, {"mean of age": ages}, smoothing=smoothing)
    outside = Outside(smooth=smoothing, target_type="continuous").fit(words.to_numpy().reshape(-1, 1), ages)
    labels = ["c0", "c7", "c39", "never"]
    theirs = outside.transform(np.array(labels, dtype=object).reshape(-1, 1)).ravel()
    assert [encoder.statistic(label)[0] for label in labels] == pytest.approx(theirs.tolist(), rel=1e-12)
    column = later(encoder, pl.Series(labels))[0] * encoder.scale[0] + encoder.prior[0]
    assert column.tolist() == pytest.approx(theirs.tolist(), rel=1e-6)


def test_shares_of_classes_agree_with_scikit_learn() -> None:
    grade = RANDOM.choice(3, ROWS, p=[0.5, 0.3, 0.2])
    words = WORDS.fill_null("none")
    columns = target_values({"grade": Field.dense(torch.from_numpy(grade))})
    assert list(columns) == ["share of grade 1", "share of grade 2"]
    encoder = TargetEncoder.fit(words, columns, smoothing=5.0)
    outside = Outside(smooth=5.0, target_type="multiclass").fit(words.to_numpy().reshape(-1, 1), grade)
    theirs = outside.transform(np.array([["c3"]], dtype=object))[0]
    assert encoder.statistic("c3") == pytest.approx(theirs[1:].tolist(), rel=1e-12)


def test_a_training_row_has_the_statistics_of_the_other_folds() -> None:
    encoder = TargetEncoder.fit(WORDS, {"mean of age": AGE}, smoothing=4.0, folds=3, seed=9)
    fold = fold_of(np.arange(ROWS), 3, 9)
    mean = AGE.mean()
    for row in (0, 1, 50, 1999):
        others = AGE[(CODES[row] == CODES) & (fold != fold[row])]
        by_hand = (others.sum() + 4.0 * mean) / (len(others) + 4.0)
        assert own(encoder, WORDS)[0][row] == pytest.approx((by_hand - mean) / encoder.scale[0], rel=1e-5)


@pytest.mark.parametrize("labels", [ROWS, ROWS // 2, ROWS // 4])
def test_a_column_of_noise_says_nothing_out_of_fold_where_naive_statistics_would(labels: int) -> None:
    found, naive = [], []
    for seed in range(20):
        random = np.random.default_rng(seed)
        words = pl.Series("noise", [f"w{one}" for one in random.integers(0, labels, ROWS)])
        target = random.normal(size=ROWS)
        encoder = TargetEncoder.fit(words, {"mean of y": target}, smoothing=1.0, seed=seed)
        found.append(correlation(own(encoder, words)[0], target))
        naive.append(correlation(later(encoder, words)[0], target))
    assert min(naive) > 0.3
    assert abs(np.mean(found)) < 0.02  # 20 draws of a correlation with standard error 1/sqrt(2000): 0.005
    assert np.max(np.abs(found)) < 0.1


def test_a_label_that_no_other_row_has_tells_nothing_at_all() -> None:
    words = pl.Series("id", [f"w{one}" for one in range(ROWS)])
    encoder = TargetEncoder.fit(words, {"mean of y": RANDOM.normal(size=ROWS)})
    assert np.unique(own(encoder, words)[0]).tolist() == pytest.approx([0.0], abs=1e-12)


def test_a_label_that_matters_is_told_out_of_fold_at_unit_spread() -> None:
    encoder = TargetEncoder.fit(WORDS, {"mean of age": AGE})
    held = CODES >= 0
    column = own(encoder, WORDS)[0]
    assert correlation(column[held], AGE[held]) > 0.95
    assert column.std() == pytest.approx(1.0, rel=0.05)
    assert encoder.features == ("city: mean of age", "city is missing")
    assert encoder.quantiles[0][0] == column.min()
    assert encoder.quantiles[0][-1] == column.max()
    assert encoder.quantiles[1] == (0.0, 1.0)


ROW = st.tuples(st.sampled_from(["a", "b", "c", "ü", None]), st.one_of(st.none(), st.floats(-1e6, 1e6)))


@settings(deadline=None, max_examples=50)
@given(st.lists(ROW, min_size=1, max_size=25), st.sampled_from([0.0, 0.5, 10.0]), st.randoms())
def test_rows_in_any_order_have_the_same_statistics_and_json_keeps_every_bit(
    rows: list[Any], smoothing: float, random: Any
) -> None:
    def fitted(lines: list[Any]) -> TargetEncoder:
        series = pl.Series("x", [line[0] for line in lines], dtype=pl.String)
        values = np.array([np.nan if line[1] is None else line[1] for line in lines], dtype=np.float64)
        return TargetEncoder.fit(series, {"mean of y": values}, smoothing=smoothing)

    encoder, mixed = fitted(rows), list(rows)
    random.shuffle(mixed)
    other = fitted(mixed)
    assert (other.table, other.prior) == (encoder.table, encoder.prior)
    series = pl.Series("x", [line[0] for line in rows], dtype=pl.String)
    for column in (*own(encoder, series), *later(encoder, series)):
        assert column.dtype == np.float32
        assert np.isfinite(column).all()
    assert TargetEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False))) == encoder


@pytest.mark.parametrize("size", [1, 7, 500])
def test_training_rows_come_out_the_same_in_any_pieces(size: int) -> None:
    encoder = TargetEncoder.fit(WORDS, {"mean of age": AGE}, seed=3)
    whole = own(encoder, WORDS)[0]
    order = np.random.default_rng(0).permutation(ROWS)[:50]
    for start in range(0, len(order), size):
        places = order[start : start + size]
        piece = encoder.training_part(WORDS.gather(places).to_frame(), places).values[0]
        assert np.array_equal(piece, whole[places])


def test_unseen_labels_and_missing_cells_have_the_mean_of_all() -> None:
    encoder = TargetEncoder.fit(WORDS, {"mean of age": AGE})
    part = encoder.part(pl.Series("city", ["never", None, "c39"]).to_frame())
    column, missing = part.values
    assert list(part.notes) == ["column 'city': 1 cells never seen in training ('never')"]
    assert column[:2].tolist() == [0.0, 0.0]
    assert column[2] > 1
    assert missing.tolist() == [0.0, 1.0, 0.0]
    assert [None if one is None else one.tolist() for one in part.valid] == [[True, False, True], None]


def test_several_tasks_are_missing_in_rows_of_their_own() -> None:
    even = np.arange(ROWS) % 2 == 0
    age = Field(torch.from_numpy(AGE).unsqueeze(1), torch.from_numpy(even))
    old = Field(torch.from_numpy(AGE > 50).float(), torch.from_numpy(np.arange(ROWS) % 3 != 0))
    targets = target_values({"age": age, "old": old})
    encoder = TargetEncoder.fit(WORDS, targets, smoothing=3.0)
    assert encoder.features[:2] == ("city: mean of age", "city: share of old")
    alone = TargetEncoder.fit(WORDS.filter(pl.Series(even)), {"mean of age": AGE[even]}, smoothing=3.0)
    assert encoder.statistic("c5")[0] == alone.statistic("c5")[0]
    assert all(np.isfinite(column).all() for column in own(encoder, WORDS))
    nothing = TargetEncoder.fit(WORDS, {"mean of age": np.full(ROWS, np.nan)})
    assert later(nothing, WORDS)[0].tolist() == [0.0] * ROWS


def test_several_numbers_of_one_task_have_a_mean_each_and_ragged_targets_none() -> None:
    pair = Field.dense(torch.tensor([[1.5, 0.0], [2.5, 1.0]]), torch.tensor([[True, True], [False, True]]))
    ragged = Field(torch.arange(3), torch.ones(2, dtype=torch.bool), offsets=torch.tensor([0, 1, 3]))
    found = target_values({"size": pair, "boxes": ragged})
    assert {name: values.tolist() for name, values in found.items()} == {
        "mean of size 1": [1.5, pytest.approx(float("nan"), nan_ok=True)],
        "share of size 2": [0.0, 1.0],
    }


def test_of_many_classes_the_most_frequent_have_a_share_each() -> None:
    codes = torch.from_numpy(np.repeat(np.arange(20), np.arange(20, 0, -1)))
    columns = target_values({"kind": Field.dense(codes)})
    assert list(columns) == [f"share of kind {code}" for code in range(1, CLASSES + 1)]
    one = Field(torch.tensor([4, 4, 0]), torch.tensor([True, True, False]))
    assert target_values({"kind": one}) == {}


def test_folds_are_near_even_and_another_seed_deals_them_otherwise() -> None:
    counts = np.bincount(fold_of(np.arange(100_000), 5, 1), minlength=5)
    assert np.abs(counts - 20_000).max() < 5 * (100_000 * 0.2 * 0.8) ** 0.5
    same = (fold_of(np.arange(100_000), 5, 1) == fold_of(np.arange(100_000), 5, 2)).mean()
    assert same == pytest.approx(0.2, abs=0.01)
