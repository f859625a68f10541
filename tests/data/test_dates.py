"""Dates become the parts a person chose, or those that vary; what comes round again lies on a circle."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotrain.core.errors import DataError
from cotrain.data.date_parts import CYCLES, ENOUGH, FINER, PARTS, USUAL, DateEncoder
from cotrain.data.dates import as_dates, date_form, epoch_form

MOMENTS = st.one_of(st.none(), st.datetimes(datetime(1970, 1, 2), datetime(2099, 12, 31)))


def column(encoder: DateEncoder, series: pl.Series, feature: str) -> list[float]:
    return encoder.encode(series)[encoder.features.index(feature)].tolist()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(MOMENTS, min_size=1, max_size=12), st.lists(st.sampled_from(PARTS), min_size=1, unique=True), st.randoms()
)
def test_every_part_of_any_date_is_finite_and_fitting_does_not_depend_on_the_order(
    moments: list[datetime | None], parts: list[str], random: object
) -> None:
    series = pl.Series("t", moments, dtype=pl.Datetime("us"))
    encoder = DateEncoder.fit(series, None, parts=parts)
    assert encoder.parts == tuple(part for part in PARTS if part in parts)
    mixed = list(moments)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert DateEncoder.fit(pl.Series("t", mixed, dtype=pl.Datetime("us")), None, parts=parts) == encoder
    assert DateEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False))) == encoder
    columns = encoder.encode(series)
    assert len(columns) == len(encoder.features) == len(encoder.quantiles)
    for one, name in zip(columns, encoder.features, strict=True):
        assert one.dtype == np.float32
        assert np.isfinite(one).all()
        if name.endswith((" sin", " cos")):
            assert np.abs(one).max() <= 1


@settings(deadline=None, max_examples=60)
@given(st.datetimes(datetime(1970, 1, 2), datetime(2099, 12, 31)), st.sampled_from(sorted(CYCLES)))
def test_a_cycle_stands_where_the_calendar_of_python_says(moment: datetime, part: str) -> None:
    place = {
        "month": moment.month - 1, "day": moment.day - 1, "weekday": moment.weekday(), "hour": moment.hour, "minute": moment.minute,
        "dayofyear": moment.timetuple().tm_yday - 1,
    }[part]  # fmt: skip
    series = pl.Series("t", [moment])
    encoder = DateEncoder.fit(series, None, parts=[part])
    turn = 2 * np.pi * place / CYCLES[part]
    assert [one[0] for one in encoder.encode(series)] == pytest.approx([np.sin(turn), np.cos(turn)], abs=1e-6)


def test_year_and_elapsed_are_standardised_by_the_training_rows() -> None:
    days = pl.Series("t", [datetime(2020, 1, 1), datetime(2020, 1, 3), datetime(2021, 1, 1, 12)])
    encoder = DateEncoder.fit(days, None, parts=["year", "elapsed"])
    assert encoder.features == ("t year", "t elapsed")
    for values, truth in zip(encoder.encode(days), ([2020, 2020, 2021], [0.0, 2.0, 366.5]), strict=True):
        truth = np.array(truth, dtype=np.float64)
        assert values.tolist() == pytest.approx(((truth - truth.mean()) / truth.std()).tolist(), abs=1e-6)


def test_finer_parts_come_unasked_with_enough_rows_in_which_they_vary() -> None:
    few = pl.Series("t", pl.datetime_range(datetime(2020, 1, 1), datetime(2021, 6, 1), "1d", eager=True))
    many = pl.Series("t", pl.datetime_range(datetime(2018, 1, 1), datetime(2021, 6, 1), "1d", eager=True))
    assert len(few) < ENOUGH <= len(many)
    assert DateEncoder.fit(few, None).parts == ("year", "month", "weekday")
    assert DateEncoder.fit(many, None).parts == ("year", "month", "day", "weekday", "dayofyear")
    assert set(USUAL) | set(FINER) | {"weekend", "elapsed"} == set(PARTS)


def test_a_missing_date_has_nothing_but_its_mark() -> None:
    series = pl.Series("t", ["2020-02-01", None, "2021-03-05"])
    encoder = DateEncoder.fit(series, "%Y-%m-%d", parts=["year", "weekend", "day"])
    part = encoder.part(series.to_frame())
    assert [one[1] for one in part.values] == [0.0, 0.0, 0.0, 0.0, 1.0]
    assert [None if one is None else one.tolist() for one in part.valid] == [[True, False, True]] * 4 + [None]
    nothing = DateEncoder.fit(pl.Series("t", [None], dtype=pl.Datetime), None)
    assert nothing.parts == ("year",)


def test_clocks_of_a_zone_show_their_own_hour() -> None:
    words = pl.Series("t", ["2021-07-01T23:30:00+02:00", "2021-12-31T12:00:00+00:00"])
    form, _ = date_form(words)
    assert form == "%Y-%m-%dT%H:%M:%S%z"
    assert as_dates(words, form).to_list() == [datetime(2021, 7, 1, 21, 30), datetime(2021, 12, 31, 12)]
    tokyo = as_dates(words, form, "Asia/Tokyo").to_list()
    outside = [datetime.fromisoformat(word).astimezone(ZoneInfo("Asia/Tokyo")).replace(tzinfo=None) for word in words]
    assert tokyo == outside
    ends_in_z = pl.Series("t", ["2021-07-01T12:00:00Z"])
    assert as_dates(ends_in_z, date_form(ends_in_z)[0], "Europe/Rome").to_list() == [datetime(2021, 7, 1, 14)]
    aware = pl.Series("t", [datetime(2021, 7, 1, 12, tzinfo=UTC)])
    assert as_dates(aware, None, "Europe/Rome").to_list() == [datetime(2021, 7, 1, 14)]
    assert as_dates(pl.Series("t", ["2021-07-01 12:00:00"]), None, "Europe/Rome").to_list() == [
        datetime(2021, 7, 1, 12)
    ]


@pytest.mark.parametrize(
    ("form", "size"), [("epoch_s", 1), ("epoch_ms", 10**3), ("epoch_us", 10**6), ("epoch_ns", 10**9)]
)
def test_numbers_since_1970_are_dates_in_any_unit(form: str, size: int) -> None:
    moment = datetime(2021, 7, 1, 12, 30, tzinfo=UTC)
    series = pl.Series("unix_time", [int(moment.timestamp()) * size, None])
    assert epoch_form(series, "unix_time") == form
    assert as_dates(series, form).to_list() == [datetime(2021, 7, 1, 12, 30), None]
    assert as_dates(series.cast(pl.Float64), form, "Asia/Tokyo")[0] == datetime(2021, 7, 1, 21, 30)
    encoder = DateEncoder.fit(series, form, parts=["hour"])
    assert column(encoder, series, "unix_time hour cos")[0] == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("timestamp", [1.6e9], "epoch_s"),
        ("eventTimestamp", [1_600_000_000], "epoch_s"),
        ("unix", [1_600_000_000_000], "epoch_ms"),
        ("price", [1_600_000_000], None),
        ("timestamp", [12, 13], None),
        ("results", [1_600_000_000], None),
        ("timestamp", [1_600_000_000, 5], None),
        ("timestamp", [], None),
    ],
)
def test_only_what_is_named_and_counts_like_a_time_stamp_is_one(
    name: str, values: list[float], found: str | None
) -> None:
    assert epoch_form(pl.Series(name, values), name) == found


def test_a_cell_that_is_no_number_since_1970_is_named() -> None:
    with pytest.raises(DataError, match="column 't', row 2: a number since 1970"):
        as_dates(pl.Series("t", ["1600000000", "soon"]), "epoch_s")
