"""Signals: pooling over what is real, in every layout, stacked or not; masks follow coarser values."""

from __future__ import annotations

import pytest
import torch

from cotrain.core.errors import ConfigError
from cotrain.core.signals import Shape, Signal, as_signal


@pytest.mark.parametrize(("layout", "places"), [("sequence", (5,)), ("map", (3, 4))])
@pytest.mark.parametrize("masked", [False, True])
def test_pooling_is_the_mean_over_real_places_row_by_row(layout: str, places: tuple[int, ...], masked: bool) -> None:
    values = torch.randn(4, *places, 6)
    mask = torch.rand(4, *places) > 0.4
    mask[1] = False
    expected = torch.stack([
        (row[keep] if masked else row.flatten(0, -2)).mean(0) if not masked or keep.any() else torch.zeros(6)
        for row, keep in zip(values, mask, strict=True)
    ])  # fmt: skip
    if layout == "map":
        values = values.permute(0, 3, 1, 2)
    signal = Signal(values, layout, mask if masked else None)  # type: ignore[arg-type]
    torch.testing.assert_close(signal.pooled(), expected)
    twice = signal.of(torch.stack([values, 2 * values]))
    torch.testing.assert_close(twice.pooled(), torch.stack([expected, 2 * expected]))


def test_what_is_not_real_cannot_spoil_the_mean_nor_its_gradient() -> None:
    values = torch.tensor([[[1.0], [float("nan")]]], requires_grad=True)
    pooled = Signal(values, "sequence", torch.tensor([[True, False]])).pooled()
    pooled.sum().backward()
    assert pooled.tolist() == [[1.0]]
    assert values.grad is not None
    assert values.grad.flatten().tolist() == [1.0, 0.0]


def test_a_vector_is_its_own_pool() -> None:
    values = torch.randn(2, 3)
    assert Signal(values).pooled() is values


def test_masks_follow_coarser_values() -> None:
    mask = torch.tensor([[[True, True, False, False]] * 4])
    fine = Signal(torch.randn(1, 2, 4, 4), "map", mask)
    coarse = fine.of(torch.randn(1, 7, 2, 2))
    assert coarse.mask is not None
    assert coarse.mask.tolist() == [[[True, False]] * 2]
    assert fine.of(torch.randn(3, 1, 7, 2, 2)).mask is not None
    assert fine.of(fine.values * 2).mask is mask
    line = Signal(torch.randn(1, 4, 3), "sequence", torch.tensor([[True, False, False, False]]))
    shorter = line.of(torch.randn(1, 2, 3)).mask
    assert shorter is not None
    assert shorter.tolist() == [[True, False]]


def test_tensors_become_signals_by_their_axes() -> None:
    assert [as_signal(torch.zeros(shape)).layout for shape in ((2, 3), (2, 4, 3), (2, 3, 4, 4))] == [
        "vector",
        "sequence",
        "map",
    ]
    signal = Signal(torch.zeros(2, 4, 3), "sequence", torch.ones(2, 4, dtype=torch.bool))
    assert as_signal(signal) is signal
    for wrong, came in ((torch.zeros(3), r"shape \(3,\)"), ((torch.zeros(2, 3),), "a tuple")):
        with pytest.raises(ConfigError, match=came):
            as_signal(wrong)  # type: ignore[arg-type]
    assert Shape.of(as_signal(torch.zeros(2, 3, 4, 4)), 2) == Shape("map", 3, 2)
