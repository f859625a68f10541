"""Encoders learn from training rows only, forget nothing in JSON, and give finite numbers for any row that comes."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from cotrain.core.errors import DataError
from cotrain.data.categories import KNOWN, MISSING, RARE, UNSEEN, CategoryEncoder
from cotrain.data.column_settings import ColumnSettings, ScalingName, ScalingSettings
from cotrain.data.columns import Part
from cotrain.data.date_parts import DateEncoder
from cotrain.data.encode import TableEncoder
from cotrain.data.feature_settings import CategorySettings
from cotrain.data.infer import infer
from cotrain.data.numbers import NumberEncoder
from cotrain.data.scaling import CLIP, UNSCALED, Scaler
from cotrain.data.settings import DataSettings

FLOATS = st.floats(-1e12, 1e12, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-9)
ANY = st.one_of(st.floats(), st.just(float("nan")))
SCALINGS = get_args(ScalingName)


def fitted(frame: pl.DataFrame, **settings: object) -> TableEncoder:
    return TableEncoder.fit(frame, list(infer(frame).values()), DataSettings(**settings))  # type: ignore[arg-type]


@settings(deadline=None, max_examples=100)
@given(st.lists(FLOATS, min_size=3, max_size=30, unique=True), st.sampled_from(SCALINGS))
def test_a_scaler_undoes_itself(values: list[float], scaling: str) -> None:
    array = np.array(values)
    scaler = Scaler.fit(np.sort(array), scaling)  # type: ignore[arg-type]
    scaled = scaler.scaled(array)
    inside = np.abs(scaled) < (4.2 if scaling == "quantile" else UNSCALED if scaling == "none" else CLIP)
    size = float(np.abs(array).max()) or 1.0
    assert np.allclose(scaler.inverse(scaled)[inside] / size, array[inside] / size, atol=1e-7)
    assert (np.diff(scaled[np.argsort(array)]) >= -1e-12).all()


@settings(deadline=None, max_examples=100)
@given(st.lists(ANY, max_size=12), st.lists(ANY, max_size=12), st.sampled_from(SCALINGS))
def test_any_cell_becomes_a_finite_number(train: list[float], later: list[float], scaling: str) -> None:
    clean = [x if math.isfinite(x) else math.nan for x in train]
    encoder = NumberEncoder.fit("x", np.array(clean, dtype=np.float64), ScalingSettings(scaling))  # type: ignore[arg-type]
    for column in encoder.encode(np.array(later, dtype=np.float64)):
        assert column.dtype == np.float32
        assert np.isfinite(column).all()


@settings(deadline=None, max_examples=60)
@given(st.lists(ANY.map(lambda x: x if math.isfinite(x) else math.nan), max_size=12), st.sampled_from(SCALINGS))
def test_numbers_survive_json_to_the_last_bit(values: list[float], scaling: str) -> None:
    encoder = NumberEncoder.fit("x", np.array(values, dtype=np.float64), ScalingSettings(scaling))  # type: ignore[arg-type]
    assert NumberEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False))) == encoder


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.one_of(st.none(), st.sampled_from("abcdefg"), st.text(max_size=3)), max_size=20),
    st.integers(1, 4),
    st.randoms(),
)
def test_categories_do_not_depend_on_the_order_of_rows(words: list[str | None], rare: int, random: object) -> None:
    series = pl.Series("x", words, dtype=pl.String)
    encoder = CategoryEncoder.fit(series, rare=rare)
    mixed = list(words)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert CategoryEncoder.fit(pl.Series("x", mixed, dtype=pl.String), rare=rare) == encoder
    assert CategoryEncoder.from_json(json.loads(json.dumps(encoder.to_json()))) == encoder
    codes = encoder.encode(series)
    assert ((codes >= MISSING) & (codes < encoder.cardinality)).all()
    for word, code, label in zip(words, codes.tolist(), encoder.decode(codes), strict=True):
        if word is None:
            assert code == MISSING
        elif words.count(word) < rare:
            assert code == RARE
        else:
            assert code >= KNOWN
            assert label == word


def test_unseen_missing_and_rare_have_codes_of_their_own() -> None:
    encoder = CategoryEncoder.fit(pl.Series("x", ["a", "a", "b", "b", "b", "c", None]), rare=2)
    assert encoder.labels == ("b", "a")
    assert encoder.encode(pl.Series(["b", "a", "c", None, "new"])).tolist() == [3, 4, RARE, MISSING, UNSEEN]
    whole = CategoryEncoder.fit(pl.Series("x", ["a", "b"]), rare=1)
    assert whole.encode(pl.Series([None], dtype=pl.String)).tolist() == [UNSEEN]


def test_a_label_is_the_same_as_word_whole_number_and_float() -> None:
    encoder = CategoryEncoder.fit(pl.Series("x", [1, 2, 2, 1]))
    for cells in ([1.0, 2.0], ["1", "2"], [1, 2]):
        assert encoder.encode(pl.Series(cells)).tolist() == [3, 4]


@pytest.mark.parametrize(
    ("scaling", "outside", "within"),
    [
        ("standard", StandardScaler(), 1e-9),
        ("robust", RobustScaler(), 1e-9),
        ("quantile", QuantileTransformer(n_quantiles=1000, output_distribution="normal"), 2e-2),
    ],
)
def test_scalers_agree_with_scikit_learn(scaling: str, outside: object, within: float) -> None:
    values = np.random.default_rng(0).lognormal(size=1000)
    theirs = outside.fit_transform(values.reshape(-1, 1)).ravel()  # type: ignore[attr-defined]
    ours = Scaler.fit(np.sort(values), scaling).scaled(values)  # type: ignore[arg-type]
    middle = np.abs(theirs) < 2.5
    assert np.abs(ours - theirs)[middle].max() < within


def test_a_missing_number_is_the_training_median_with_a_mark() -> None:
    encoder = NumberEncoder.fit("x", np.array([1.0, 2.0, 9.0, np.nan]))
    assert encoder.features == ("x", "x is missing")
    filled, mark = encoder.encode(np.array([np.nan, 2.0]))
    assert filled[0] == filled[1]
    assert mark.tolist() == [1.0, 0.0]
    assert NumberEncoder.fit("x", np.array([1.0, 2.0])).features == ("x",)


def test_dates_become_cycles_in_which_december_lies_beside_january() -> None:
    words = pl.Series("when", ["2020-01-15", "2020-12-15", "2021-07-15", None])
    encoder = DateEncoder.fit(words, "%Y-%m-%d")
    assert encoder.parts == ("year", "month", "weekday")
    assert encoder.features[-1] == "when is missing"
    parts = dict(zip(encoder.features, encoder.encode(words), strict=True))
    month = np.stack([parts["when month sin"], parts["when month cos"]], 1)
    assert np.linalg.norm(month[0] - month[1]) < 0.6 < 1.9 < np.linalg.norm(month[0] - month[2])
    assert month[3].tolist() == [0.0, 0.0]
    assert parts["when is missing"].tolist() == [0, 0, 0, 1]
    assert DateEncoder.from_json(json.loads(json.dumps(encoder.to_json()))) == encoder
    hours = DateEncoder.fit(pl.Series("t", ["2020-01-01 06:00:00", "2020-01-01 18:00:00"]), "%Y-%m-%d %H:%M:%S")
    assert hours.parts == ("hour",)
    assert [round(float(x), 6) for x in hours.encode(pl.Series(["2020-01-01 06:00:00"]))[0]] == [1.0]


def test_a_table_encoder_gives_the_fields_its_specs_promise(people: pl.DataFrame) -> None:
    encoder = fitted(people)
    fields, notes = encoder.encode(people)
    specs = encoder.specs
    assert notes == []
    assert set(fields) == set(specs) == {"numbers", "categories"}
    for name, one in fields.items():
        one.check(name)
        assert one.values.shape == (len(people), *specs[name].shape)
        assert one.values.shape[1] == len(specs[name].names)
    assert fields["numbers"].values.dtype == torch.float32
    assert fields["categories"].values.dtype == torch.int64
    assert (fields["categories"].values < torch.tensor(specs["categories"].cardinalities)).all()


def test_a_table_encoder_survives_json_and_encodes_alike(people: pl.DataFrame) -> None:
    for scaling in SCALINGS:
        encoder = fitted(people, scaling=ScalingSettings(scaling))  # type: ignore[arg-type]
        again = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
        assert again == encoder
        for name, one in encoder.encode(people)[0].items():
            assert torch.equal(one.values, again.encode(people)[0][name].values)
    with pytest.raises(DataError, match="format 0"):
        TableEncoder.from_json(encoder.to_json() | {"format": 0})


def test_each_row_is_encoded_by_itself(people: pl.DataFrame) -> None:
    encoder = fitted(people)
    whole, _ = encoder.encode(people)
    order = torch.randperm(len(people))
    mixed, _ = encoder.encode(people[order.numpy()])
    one, _ = encoder.encode(people[:1])
    none, _ = encoder.encode(people[:0])
    for name, field in whole.items():
        assert torch.equal(mixed[name].values, field.values[order])
        assert torch.equal(one[name].values, field.values[:1])
        assert none[name].values.shape == (0, field.values.shape[1])


def test_fitting_does_not_depend_on_the_order_of_rows(people: pl.DataFrame) -> None:
    for scaling in SCALINGS:
        encoder = fitted(people, scaling=ScalingSettings(scaling))  # type: ignore[arg-type]
        mixed = people[np.random.default_rng(1).permutation(len(people))]
        assert fitted(mixed, scaling=ScalingSettings(scaling)) == encoder  # type: ignore[arg-type]


def test_new_columns_are_ignored_and_said_and_missing_ones_named(people: pl.DataFrame) -> None:
    encoder = fitted(people)
    _, notes = encoder.encode(people.with_columns(pl.lit(1).alias("extra")))
    assert notes == ["columns not met in training are ignored: extra"]
    with pytest.raises(DataError, match=r"missing: 'age' \(is 'aage' meant\?\), 'pay'"):
        encoder.encode(people.rename({"age": "aage"}).drop("pay"))


def test_new_labels_are_counted_and_wrong_cells_of_all_columns_named(people: pl.DataFrame) -> None:
    encoder = fitted(people)
    _, notes = encoder.encode(people.with_columns(pl.Series("city", ["Paris"] * 59 + [" Rom"])))
    assert notes == ["column 'city': 59 cells never seen in training ('Paris')"]
    wrong = people.with_columns(pl.Series("age", ["old"] * 60), pl.Series("when", ["soon"] * 60))
    with pytest.raises(DataError) as caught:
        encoder.encode(wrong)
    assert "column 'age', row 1: a number is expected, got 'old'" in str(caught.value)
    assert "column 'when', row 1: a date" in str(caught.value)


def test_new_rows_may_come_as_words(people: pl.DataFrame) -> None:
    encoder = fitted(people)
    words = people.with_columns(pl.col("age").cast(pl.String).fill_null(" ? "), pl.col("city").fill_null("NA"))
    for name, one in encoder.encode(words)[0].items():
        assert torch.equal(one.values, encoder.encode(people)[0][name].values)


def test_a_table_without_a_usable_column_is_refused() -> None:
    frame = pl.DataFrame({"one": [1] * 30, "n": list(range(30))})
    with pytest.raises(DataError, match=r"one \(constant\), n \(identifier\)"):
        fitted(frame)


def test_truth_values_are_one_label_however_they_are_written() -> None:
    for cells in ([True, False, True], ["TRUE", "FALSE", "TRUE"], ["True", "False", "True"]):
        encoder = CategoryEncoder.fit(pl.Series("x", cells))
        for later in ([True, False], ["True", "false"], ["TRUE", "FALSE"]):
            assert encoder.encode(pl.Series(later)).tolist() == [3, RARE]


def test_a_column_constant_in_training_stays_small_later() -> None:
    encoder = NumberEncoder.fit("x", np.full(10, 5e6))
    assert encoder.encode(np.array([5e6, 6e6, 0.0]))[0].tolist() == pytest.approx([0.0, 0.2, -1.0])


def test_a_small_spread_far_from_zero_keeps_its_digits() -> None:
    values = 1.7e9 + np.array([0.0, 1.0, 2.0, 3.0])
    scaled = Scaler.fit(values, "standard").scaled(values)
    assert scaled.tolist() == pytest.approx(
        [-1.3416407864998738, -0.4472135954999579, 0.4472135954999579, 1.3416407864998738], abs=1e-6
    )
    huge = np.array([-1.7e308, 1.7e308, 0.0])
    assert np.isfinite(Scaler.fit(np.sort(huge), "standard").scaled(huge)).all()


def test_cells_that_hold_a_filler_are_marked_and_only_these(people: pl.DataFrame) -> None:
    encoder = fitted(people)
    field = encoder.encode(people)[0]["numbers"]
    place = encoder.specs["numbers"].names.index("age")
    assert field.valid is not None
    assert field.valid[:, place].tolist() == people["age"].is_not_null().to_list()
    rest = [one for one in range(field.values.shape[1]) if one != place]
    assert field.valid[:, rest].all()
    assert encoder.encode(people.filter(pl.col("age").is_not_null()))[0]["numbers"].valid is None
    late = people.with_columns(pl.lit(None, dtype=pl.String).alias("when"))
    valid = encoder.encode(late)[0]["numbers"].valid
    assert valid is not None
    assert [name for name, held in zip(encoder.specs["numbers"].names, valid.T, strict=True) if not held.any()] == [
        name for name in encoder.specs["numbers"].names if name.startswith("when")
    ]


def test_the_specification_tells_quantiles_of_the_training_cells_as_they_stand(people: pl.DataFrame) -> None:
    for scaling in SCALINGS:
        encoder = fitted(people, scaling=ScalingSettings(scaling))  # type: ignore[arg-type]
        field, spec = encoder.encode(people)[0]["numbers"], encoder.specs["numbers"]
        assert len(spec.quantiles) == len(spec.names)
        for column, held, quantiles in zip(field.values.T, field.valid.T, spec.quantiles, strict=True):  # type: ignore[union-attr]
            cells = column[held]
            assert len(quantiles) <= 65
            assert (quantiles[0], quantiles[-1]) == (float(cells.min()), float(cells.max()))
            assert list(quantiles) == sorted(set(quantiles))
            assert set(quantiles) <= set(cells.tolist())
        assert encoder.specs["categories"].quantiles == ()


def test_what_is_said_of_one_column_holds_for_it_alone(people: pl.DataFrame) -> None:
    encoder = fitted(
        people,
        per_column={
            "pay": ColumnSettings(scaling=ScalingSettings("robust")),
            "city": ColumnSettings(categories=CategorySettings(rare=100)),
        },
    )
    made = {one.columns[0]: one for one in encoder.encoders}
    plain = {one.columns[0]: one for one in fitted(people).encoders}
    assert {name for name in made if made[name] != plain[name]} == {"pay", "city"}
    assert made["pay"] == NumberEncoder.fit("pay", people["pay"].to_numpy(), ScalingSettings("robust"))
    assert made["city"].cardinalities == (KNOWN,)


@dataclass(frozen=True)
class Folded:
    """A made-up encoder that is shown the training targets: their mean, in training without the row itself."""

    kind: ClassVar[str] = "folded"
    field: ClassVar[str] = "numbers"
    columns: ClassVar[tuple[str, ...]] = ("age",)
    features: ClassVar[tuple[str, ...]] = ("mean",)
    cardinalities: ClassVar[tuple[int, ...]] = ()
    quantiles: ClassVar[tuple[tuple[float, ...], ...]] = ((0.0,),)
    note: ClassVar[str] = "as the mean"
    seen: tuple[float, ...]

    def part(self, frame: pl.DataFrame) -> Part:
        return Part([np.full(len(frame), np.mean(self.seen))])

    def training_part(self, frame: pl.DataFrame, places: Any) -> Part:
        rest = [np.mean([one for at, one in enumerate(self.seen) if at != place]) for place in places]
        return Part(np.array(rest)[:, None])


def test_rows_of_the_training_split_may_be_encoded_out_of_fold() -> None:
    encoder = TableEncoder((Folded((1.0, 2.0, 6.0)),), ("age",))  # type: ignore[arg-type]
    rows = pl.DataFrame({"age": [0.0, 0.0, 0.0]})
    assert encoder.encode(rows)[0]["numbers"].values.flatten().tolist() == [3.0, 3.0, 3.0]
    places = np.array([2, -1, 0])
    assert encoder.encode(rows, places=places)[0]["numbers"].values.flatten().tolist() == [1.5, 3.0, 4.0]
