"""Number embeddings: against a transcription cell by cell, with missing cells, without quantiles, for one column."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec
from cotrain.encoders.linear_numbers import LinearNumbers, LinearVectors
from cotrain.encoders.mlp import MLP
from cotrain.encoders.number_embedding import NumberEmbedding
from cotrain.encoders.numbers import FlatNumbers, NumberTokens
from cotrain.encoders.periodic import Periodic
from cotrain.encoders.piecewise_linear import PiecewiseLinear, PiecewiseLinearVectors, edges_of

QUANTILES = ((-2.0, -1.0, 0.5, 3.0), (0.0, 1.0), (-1.0, 0.0, 1.0), (5.0,))
SPEC = FieldSpec("number", names=("a", "flag", "b", "same"), quantiles=QUANTILES)
BLIND = FieldSpec("number", names=("a", "flag", "b", "same"))
EVERY = pytest.mark.parametrize(
    "settings",
    [LinearNumbers(), PiecewiseLinear(width=5, bins=8), Periodic(width=5, frequencies=3, sigma=1.0), Periodic(width=5, lite=True)],
    ids=str,
)  # fmt: skip


def encoded(x: float, edges: tuple[float, ...]) -> list[float]:
    """Equation 1 of the paper for one cell, with the first bin open below and the last one above."""
    bins = len(edges) - 1
    out = []
    for k in range(1, bins + 1):
        share = (x - edges[k - 1]) / (edges[k] - edges[k - 1])
        if x < edges[k - 1] and k > 1:
            share = 0.0
        if x >= edges[k] and k < bins:
            share = 1.0
        out.append(share)
    return out


def test_the_encoding_is_the_papers_cell_by_cell() -> None:
    columns = [QUANTILES[0], QUANTILES[2], (0.0, 0.25, 0.5, 0.75, 1.0)]
    layer = PiecewiseLinearVectors([list(one) for one in columns], 4).double()
    x = torch.cat(
        [3 * torch.randn(40, 3), torch.tensor([[-2.0, -1.0, 0.0], [0.5, 0.0, 0.5], [9.0, -9.0, 1.0]])]
    ).double()
    found = layer.encoding(x)
    for column, edges in enumerate(columns):
        bins = len(edges) - 1
        expected = torch.tensor([encoded(float(one), edges) for one in x[:, column]], dtype=torch.float64)
        torch.testing.assert_close(found[column, :, :bins], expected)
        assert bool((found[column, :, bins:-1] == 0).all())
        torch.testing.assert_close(found[column, :, -1], x[:, column])


def test_the_vector_is_a_line_and_a_sum_over_bins_that_begins_as_the_line() -> None:
    layer = PiecewiseLinearVectors([list(QUANTILES[0]), list(QUANTILES[2])], 3).double()
    x = torch.randn(9, 2, dtype=torch.float64)
    line = x[..., None] * layer.weight[:, -1] + layer.bias[:, 0]
    torch.testing.assert_close(layer(x), line)
    with torch.no_grad():
        layer.weight.normal_()
    for row in range(9):
        for column, edges in enumerate((QUANTILES[0], QUANTILES[2])):
            cell = float(x[row, column]) * layer.weight[column, -1] + layer.bias[column, 0]
            for k, share in enumerate(encoded(float(x[row, column]), edges)):
                cell = cell + share * layer.weight[column, k]
            torch.testing.assert_close(layer(x)[row, column], cell)


def test_bins_are_the_quantiles_thinned_evenly_with_both_ends_kept() -> None:
    quantiles = [float(value) for value in range(65)]
    assert edges_of(quantiles, 64) == quantiles
    assert edges_of(quantiles, 4) == [0.0, 16.0, 32.0, 48.0, 64.0]
    assert edges_of([1.0, 1.0 + 1e-12, 2.0], 8) == [1.0, 2.0]
    assert edges_of([], 8) == []


def test_waves_are_cosines_and_sines_of_each_columns_frequencies() -> None:
    for lite in (False, True):
        layer = Periodic(frequencies=3, sigma=0.7, lite=lite).vectors([(), ()], 4).double()
        x = torch.randn(6, 2, dtype=torch.float64)
        found = layer(x)
        assert found.shape == (6, 2, 4)
        for row in range(6):
            for column in range(2):
                angles = [2 * math.pi * float(f) * float(x[row, column]) for f in layer.frequencies.detach()[column, 0]]
                waves = torch.tensor([*map(math.cos, angles), *map(math.sin, angles)], dtype=torch.float64)
                weight, bias = (layer.weight, layer.bias) if lite else (layer.weight[column], layer.bias[column, 0])
                torch.testing.assert_close(found[row, column], torch.relu(waves @ weight + bias))


def test_initial_frequencies_have_the_spread_that_was_asked_for() -> None:
    layer = Periodic(frequencies=2000, sigma=0.3).vectors([()], 4)
    assert float(layer.frequencies.detach().std()) == pytest.approx(0.3, rel=0.1)
    assert float(layer.weight.detach().abs().max()) <= 4000**-0.5


@EVERY
def test_columns_with_few_values_stay_plain_and_come_first(settings: NumberEmbedding) -> None:
    flat = FlatNumbers(SPEC, settings)
    values = torch.randn(7, 4)
    out = flat(Field.dense(values))
    assert out.shape == (7, sum(flat.widths))
    if isinstance(settings, LinearNumbers):
        assert torch.equal(out, values)
        assert not list(flat.parameters())
    else:
        assert flat.widths == (1, 1, 5, 5)
        assert torch.equal(out[:, :2], values[:, [1, 3]])
        changed = values.clone()
        changed[:, 2] += 1
        same = flat(Field.dense(changed)) == out
        assert bool(same[:, :7].all())
        assert not bool(same[:, 7:].all())


def test_without_quantiles_bins_have_nothing_to_stand_on_and_waves_do() -> None:
    assert FlatNumbers(BLIND, PiecewiseLinear(width=5)).widths == (1, 1, 1, 1)
    assert FlatNumbers(BLIND, Periodic(width=5)).widths == (5, 5, 5, 5)
    assert FlatNumbers(SPEC, PiecewiseLinear()).widths == (1, 1, 16, 16)
    assert FlatNumbers(SPEC, Periodic()).widths == (1, 1, 24, 24)


@EVERY
@pytest.mark.parametrize("spec", [SPEC, BLIND], ids=["quantiles", "no quantiles"])
def test_a_missing_cell_is_its_columns_learnt_token_whatever_the_filler(
    settings: NumberEmbedding, spec: FieldSpec
) -> None:
    tokens = NumberTokens(spec, settings, 6)
    with torch.no_grad():
        for name, one in tokens.named_parameters():
            if name.endswith("missing"):
                assert bool((one == 0).all())
                one.normal_()
    values, valid = torch.randn(8, 4), torch.rand(8, 4) > 0.4
    out = tokens(Field.dense(values, valid))
    assert out.shape == (8, 4, 6)
    other = tokens(Field.dense(torch.where(valid, values, torch.full_like(values, 77.0)), valid))
    assert torch.equal(out, other)
    plain = [part.columns or list(range(4)) for part in tokens.parts]
    order = [column for part in plain for column in part]
    learnt = torch.cat([part.missing for part in tokens.parts])
    for place, column in enumerate(order):
        missing = ~valid[:, column]
        assert torch.equal(out[missing, place], learnt[place].expand(int(missing.sum()), 6))
    assert torch.equal(tokens(Field.dense(values, torch.ones(8, 4, dtype=torch.bool))), tokens(Field.dense(values)))


def test_a_missing_number_in_a_vector_is_learnt_where_embedded_and_its_filler_where_plain() -> None:
    flat = FlatNumbers(SPEC, PiecewiseLinear(width=5))
    assert flat.vectors is not None
    with torch.no_grad():
        flat.vectors.missing.normal_()
    values, valid = torch.randn(8, 4), torch.rand(8, 4) > 0.4
    out = flat(Field.dense(values, valid))
    assert torch.equal(out[:, :2], values[:, [1, 3]])
    for place, column in enumerate((0, 2)):
        missing = ~valid[:, column]
        here = out[missing, 2 + 5 * place : 7 + 5 * place]
        assert torch.equal(here, flat.vectors.missing[place].expand_as(here))
    loss = flat(Field.dense(values, valid)).square().sum()
    loss.backward()
    assert bool((flat.vectors.missing.grad != 0).all())


@EVERY
def test_one_column_may_come_without_its_axis(settings: NumberEmbedding) -> None:
    spec = FieldSpec("number", names=("a",), quantiles=(QUANTILES[0],))
    encoder = MLP(widths=[4], numbers=settings).build({"x": spec})
    values = torch.randn(5)
    valid = torch.tensor([True, False, True, True, False])
    found = encoder.embed({"x": Field.dense(values, valid)}).values
    assert torch.equal(found, encoder.embed({"x": Field.dense(values[:, None], valid[:, None])}).values)
    assert found.shape == (5, encoder.shapes[0].width)


def test_a_linear_token_is_a_line_for_each_column() -> None:
    layer = LinearVectors(3, 2)
    x = torch.randn(4, 3)
    torch.testing.assert_close(layer(x), torch.einsum("bc,cd->bcd", x, layer.weight) + layer.bias)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [(PiecewiseLinear, {"bins": 1}), (PiecewiseLinear, {"bins": 65}), (PiecewiseLinear, {"width": 0}), (Periodic, {"sigma": 0.0}),
     (Periodic, {"sigma": math.inf}), (Periodic, {"frequencies": 0}), (Periodic, {"width": 2.5})],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{kind.name}.{next(iter(wrong))}"):
        kind(**wrong)


def test_a_word_where_an_object_belongs_is_answered_with_what_to_write() -> None:
    with pytest.raises(ConfigError, match=r"mlp\.numbers must be a number embedding such as PiecewiseLinear"):
        MLP(numbers="periodic")  # type: ignore[arg-type]
