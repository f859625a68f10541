"""Gains: the interval covers the truth as often as it says, signs are right, and the verdict claims no more than it knows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cotrain.training.gain import Gain, delta_m, gain, half_width, row_weights, verdict

SEEDS = 5


def one_study(
    generator: np.random.Generator,
    *,
    rows: int,
    row_noise: float,
    seed_noise: float,
    truth: float,
    both: float = 0.0,
) -> Gain:
    """A comparison of known truth: single-task has mean error 1 over all rows there could be, joint 1 - truth.

    Each row is as hard as it is for both; every seed of either moves by noise of its own, and by `both` on each row alone.
    """
    hard = generator.gamma(2.0, 0.5, rows)
    helped = generator.normal(truth, row_noise, rows)
    single, joint = (
        [base * (1 + generator.normal(0, seed_noise)) + generator.normal(0, both, rows) for _ in range(SEEDS)]
        for base in (hard, hard - helped)
    )
    weights = row_weights(rows, generator, 60)
    under = [[weights @ one / rows for one in side] for side in (joint, single)]
    return gain([one.mean() for one in joint], [one.mean() for one in single], *under)


@pytest.mark.parametrize(
    ("rows", "row_noise", "seed_noise"),
    [(400, 0.05, 0.03), (60, 0.6, 0.002), (80, 0.3, 0.02)],
    ids=["seeds differ most", "rows differ most", "both alike"],
)
def test_the_interval_covers_the_truth_about_ninety_five_times_in_a_hundred(
    rows: int, row_noise: float, seed_noise: float
) -> None:
    generator = np.random.default_rng(7)
    studies = [
        one_study(generator, rows=rows, row_noise=row_noise, seed_noise=seed_noise, truth=0.1) for _ in range(600)
    ]
    covered = np.mean([one.low <= 0.1 <= one.high for one in studies])
    assert 0.92 <= covered <= 0.98
    assert np.mean([one.value for one in studies]) == pytest.approx(0.1, abs=0.01)


def test_noise_of_seed_and_row_together_is_counted_twice_and_never_too_little() -> None:
    generator = np.random.default_rng(9)
    studies = [one_study(generator, rows=80, row_noise=0.05, seed_noise=0.0, truth=0.1, both=0.6) for _ in range(400)]
    assert np.mean([one.low <= 0.1 <= one.high for one in studies]) >= 0.95


def test_where_nothing_is_gained_a_verdict_is_rarely_drawn() -> None:
    generator = np.random.default_rng(8)
    studies = [one_study(generator, rows=100, row_noise=0.1, seed_noise=0.02, truth=0.0) for _ in range(600)]
    assert np.mean([one.helped or one.harmed for one in studies]) < 0.08
    assert not any(one.helped and one.harmed for one in studies)


def rows_of(errors: list[float]) -> list[np.ndarray]:
    """The same error under three resamplings of the rows."""
    return [np.full(3, error) for error in errors]


def simple(joint: list[float], single: list[float]) -> Gain:
    return gain(joint, single, rows_of(joint), rows_of(single))


def test_a_smaller_error_is_a_gain_and_a_larger_one_is_harm() -> None:
    better, worse = (
        simple([0.08, 0.09, 0.085, 0.08, 0.09], [0.1] * 5),
        simple([0.12, 0.13, 0.12, 0.125, 0.13], [0.1] * 5),
    )
    assert better.per_seed == pytest.approx((0.2, 0.1, 0.15, 0.2, 0.1))
    assert better.value == pytest.approx(0.15)
    assert better.high < 1
    assert (better.helped, better.harmed) == (True, False)
    assert (worse.helped, worse.harmed) == (False, True)


def test_the_interval_of_seeds_alone_is_students() -> None:
    joint = [0.08, 0.09, 0.085, 0.08, 0.09]
    found = simple(joint, [0.1] * 5)
    se = np.std(np.array(joint) / np.mean(joint), ddof=1) / math.sqrt(5)
    assert math.log(1 - found.low) - math.log(1 - found.value) == pytest.approx(2.7764451 * se, rel=1e-5)
    assert math.log(1 - found.value) - math.log(1 - found.high) == pytest.approx(2.7764451 * se, rel=1e-5)


def test_a_halved_error_lies_as_far_from_none_as_a_doubled_one() -> None:
    joint, single = [0.1, 0.12, 0.11, 0.1, 0.12], [0.2, 0.21, 0.19, 0.2, 0.22]
    one, other = simple(joint, single), simple(single, joint)
    assert math.log(1 - one.low) == pytest.approx(-math.log(1 - other.high))
    wild = simple([0.01, 0.2, 0.01, 0.02, 0.3], single)
    assert wild.high < 1


def test_the_width_falls_to_the_normal_quantile_as_rows_dominate() -> None:
    assert half_width(1.0, 0.0, 5) == pytest.approx(2.7764451, rel=1e-6)
    assert half_width(1.0, 1.0, 5) == pytest.approx(math.sqrt(2) * 2.1199053, rel=1e-6)  # 16 degrees of freedom
    assert half_width(0.0, 1.0, 5) == pytest.approx(half_width(1e-9, 1.0, 5)) == pytest.approx(1.959964, rel=1e-6)
    assert half_width(0.0, 0.0, 5) == 0.0


def test_zero_errors() -> None:
    both = simple([0.0] * 5, [0.0] * 5)
    assert (both.value, both.low, both.high) == (0.0, 0.0, 0.0)
    perfect = simple([0.0] * 5, [0.1] * 5)
    assert (perfect.value, perfect.helped) == (1.0, False)
    some = simple([0.1] * 5, [0.0] + [0.1] * 4)
    assert some.value == pytest.approx(-0.25)
    assert some.low < some.value < some.high
    lost = simple([0.1] * 5, [0.0] * 5)
    assert lost.value == -math.inf
    assert math.isnan(lost.low)
    assert not lost.helped
    assert not lost.harmed


def test_an_error_that_cannot_be_told_gives_no_interval() -> None:
    found = simple([math.nan] * 5, [0.1] * 5)
    assert math.isnan(found.value)
    assert math.isnan(found.low)


def test_resamplings_without_an_error_are_left_out_and_the_shorter_series_counts() -> None:
    joint, single = [0.08, 0.09], [0.1, 0.1]
    noisy = [np.array([0.08, 0.09, np.nan, 0.07]), np.array([0.09, 0.1, 0.1, 0.08])]
    clean = [np.array([0.08, 0.09, 0.07]), np.array([0.09, 0.1, 0.08])]
    steady = rows_of(single)
    found = gain(joint, single, noisy, [np.full(9, 0.1)] * 2)
    expected = gain(joint, single, clean, steady)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_one_seed_has_a_value_and_no_interval() -> None:
    found = simple([0.09], [0.1])
    assert found.value == pytest.approx(0.1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_rows_are_drawn_with_replacement() -> None:
    weights = row_weights(50, np.random.default_rng(0), 300)
    assert weights.shape == (300, 50)
    assert set(weights.sum(1)) == {50.0}
    assert weights.mean() == 1.0
    assert weights.var() == pytest.approx(0.98, abs=0.05)


def test_delta_m_by_hand() -> None:
    higher = {"auc": True, "rmse": False, "zero": True}
    assert delta_m({"auc": 0.9, "rmse": 11.0}, {"auc": 0.8, "rmse": 10.0}, higher) == pytest.approx(50 * (0.125 - 0.1))
    assert delta_m({"auc": 0.9, "zero": 1.0}, {"auc": 0.8, "zero": 0.0}, higher) == pytest.approx(12.5)
    assert delta_m({"rmse": -1.0}, {"rmse": -2.0}, {"rmse": True}) == pytest.approx(50.0)
    assert math.isnan(delta_m({"zero": 1.0}, {"zero": 0.0}, higher))


UP, DOWN, NOISE = Gain(0.1, 0.05, 0.15, ()), Gain(-0.1, -0.15, -0.05, ()), Gain(0.01, -0.02, 0.04, ())
UNKNOWN = Gain(-math.inf, math.nan, math.nan, ())


@pytest.mark.parametrize(
    ("gains", "begins"),
    [
        ({"a": UP, "b": UP}, "Sharing helped on a and b: joint"),
        ({"a": UP, "b": NOISE}, "Sharing helped on a; on the others the difference is within the noise: joint"),
        ({"a": DOWN, "b": NOISE}, "Sharing harmed a; on the others the difference is within the noise: joint"),
        ({"a": UP, "b": DOWN}, "Sharing helped on a and harmed b: joint"),
        ({"a": NOISE, "b": NOISE}, "Sharing made no difference beyond the noise: joint"),
        ({"a": UP, "b": UNKNOWN}, "On b nothing can be said: the single-task error is zero or cannot be told on these test rows. "
         "Sharing helped on a: joint"),
    ],
)  # fmt: skip
def test_the_verdict_says_what_its_intervals_hold(gains: dict[str, Gain], begins: str) -> None:
    said = verdict("joint", gains, 5, [])
    assert said.startswith(begins)
    assert ("inf" in said, "nan" in said) == (False, False)
    for task, one in gains.items():
        if one is not UNKNOWN:
            assert f"{task} {100 * one.value:+.1f} % ({100 * one.low:+.1f} to {100 * one.high:+.1f})" in said


def test_no_verdict_from_fewer_than_five_seeds_nor_without_an_error() -> None:
    said = verdict("joint", {"a": UP}, 4, [])
    assert said.startswith("Too few seeds for a verdict (4 of 5)")
    assert "Sharing" not in said
    said = verdict("joint", {"a": UNKNOWN}, 5, [])
    assert said.startswith("On a nothing can be said")
    assert "Sharing" not in said


def test_networks_that_do_not_beat_a_constant_are_said_first() -> None:
    assert verdict("joint", {"a": UP, "b": UP}, 5, ["a"]).startswith(
        "No network beats the best constant prediction on a:"
    )
    assert verdict("joint", {"a": UP, "b": UP}, 5, ["a", "b"]).startswith(
        "No network beats the best constant prediction on any task"
    )


def test_rows_of_one_group_make_the_interval_wider_than_independent_rows() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 50)
    error = np.abs(random.normal(size=20))[groups] + 0.1
    apart, together = (row_weights(1000, np.random.default_rng(1), groups=one) for one in (None, groups))
    spread = [float((weights @ error / weights.sum(1)).std()) for weights in (apart, together)]
    assert 5 < spread[1] / spread[0] < 10
    assert spread[1] == pytest.approx(error[::50].std() / 20**0.5, rel=0.15)
