"""Pooling: one vector a row from sequences and maps, what is not real left out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cotrain.core.errors import ConfigError
from cotrain.core.signals import Shape, Signal
from cotrain.encoders.convnet import ConvNet
from cotrain.encoders.mlp import MLP
from cotrain.encoders.text_conv import TextConv
from cotrain.encoders.text_gru import TextGRU
from cotrain.encoders.text_transformer import TextTransformer
from cotrain.heads.linear import LinearHead, plain_head
from cotrain.heads.mlp import MLPHead
from cotrain.heads.pooling import POOLS, Attention, Grid, Max, Pooling

LAST = {"vector": (3, 5), "sequence": (3, 7, 5), "map": (3, 5, 6, 6)}


def test_every_pooling_answers_the_width_it_promises() -> None:
    for layout in ("vector", "sequence", "map"):
        for pool in POOLS:
            if (layout, pool) == ("sequence", "grid"):
                continue
            pooling = Pooling([Shape("map", 2), Shape(layout, 5)], pool, cells=3)  # type: ignore[arg-type]
            found = pooling([Signal(torch.randn(3, 2, 8, 8), "map"), Signal(torch.randn(LAST[layout]), layout)])  # type: ignore[arg-type]
            assert found.shape == (3, pooling.width)
            assert pooling.width == (45 if (layout, pool) == ("map", "grid") else 5)


@pytest.mark.parametrize("layout", ["sequence", "map"])
@pytest.mark.parametrize("pool", POOLS)
def test_what_is_not_real_reaches_no_pooling_and_an_empty_row_gives_zeros(layout: Any, pool: str) -> None:
    if (layout, pool) == ("sequence", "grid"):
        return
    mask = torch.rand((3, 7) if layout == "sequence" else (3, 6, 6)) > 0.4
    mask[2] = False
    pooling = Pooling([Shape(layout, 5)], pool)
    for parameter in pooling.parameters():
        torch.nn.init.normal_(parameter)
    values = torch.randn(LAST[layout])
    hidden = ~(mask.unsqueeze(-1) if layout == "sequence" else mask.unsqueeze(1))
    spoilt = torch.where(hidden, torch.full_like(values, 1e9), values)
    found = pooling([Signal(values, layout, mask)])
    torch.testing.assert_close(found, pooling([Signal(spoilt, layout, mask)]))
    assert not found[2].any()
    assert found[:2].any(1).all()


@pytest.mark.parametrize("pool", ["mean", "max", "attention"])
def test_all_but_the_grid_forget_the_order_of_places(pool: str) -> None:
    values = torch.randn(2, 4, 3, 3)
    pooling = Pooling([Shape("map", 4)], pool)
    torch.testing.assert_close(pooling([Signal(values, "map")]), pooling([Signal(values.flip(2, 3), "map")]))
    grid = Pooling([Shape("map", 4)], "grid", cells=3)
    torch.testing.assert_close(grid([Signal(values, "map")]), values.flatten(1))


def test_a_grid_of_one_cell_is_the_mean_and_a_masked_cell_the_mean_of_its_real_places() -> None:
    values = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert Grid(1)(Signal(values, "map")).tolist() == [[7.5]]
    mask = torch.ones(1, 4, 4, dtype=torch.bool)
    mask[0, :2, 1] = False
    mask[0, 2:, 2:] = False
    torch.testing.assert_close(Grid(2)(Signal(values, "map", mask)), torch.tensor([[2.0, 4.5, 10.5, 0.0]]))


def test_attention_begins_as_the_mean_and_is_the_papers_formula() -> None:
    layer = Attention(3)
    signal = Signal(torch.randn(2, 4, 3), "sequence")
    torch.testing.assert_close(layer(signal), signal.pooled())
    torch.nn.init.normal_(layer.context)
    for row in range(2):
        scores = torch.stack([layer.context @ torch.tanh(layer.hidden(step)) for step in signal.values[row]])
        shares = scores.exp() / scores.exp().sum()
        expected = sum(share * step for share, step in zip(shares, signal.values[row], strict=True))
        torch.testing.assert_close(layer(signal)[row], expected)


def test_the_maximum_of_half_precision_is_a_maximum() -> None:
    signal = Signal(-torch.rand(2, 4, 3, dtype=torch.bfloat16), "sequence", torch.tensor([[True] * 4, [False] * 4]))
    assert Max()(signal)[0].tolist() == signal.values[0].amax(0).tolist()
    assert Max()(signal)[1].tolist() == [0, 0, 0]


def test_per_stage_sets_every_stage_side_by_side_and_repeats_what_was_before_an_ensemble() -> None:
    shapes = [Shape("map", 2), Shape("map", 4, 2), Shape("vector", 3, members=2)]
    signals = [
        Signal(torch.randn(5, 2, 8, 8), "map"),
        Signal(torch.randn(5, 4, 4, 4), "map"),
        Signal(torch.randn(10, 3), members=2),
    ]
    pooling = Pooling(shapes, "mean", per_stage=True)
    found = pooling(signals)
    assert found.shape == (10, pooling.width) == (10, 9)
    torch.testing.assert_close(found[:, :2], signals[0].pooled().repeat(2, 1))
    torch.testing.assert_close(found[5:, 6:], signals[2].values[5:])


@pytest.mark.parametrize("settings", [LinearHead, MLPHead])
def test_heads_are_as_wide_as_their_pooling_and_learn_through_it(settings: Any) -> None:
    shapes = [Shape("map", 2), Shape("map", 4, 2)]
    signals = [Signal(torch.randn(5, 2, 8, 8), "map"), Signal(torch.randn(5, 4, 4, 4), "map")]
    for pool in POOLS:
        head = settings(pool=pool, per_stage=True, cells=2).build(shapes, 3)
        assert head.wants == "pyramid"
        for parameter in head.parameters():
            torch.nn.init.normal_(parameter)
        head(signals).square().sum().backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in head.parameters())
    assert settings(pool="grid").build(shapes, 3).wants == "vector"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"pool": "men"}, r"pool of a head 'men'.*mean"), ({"cells": 0}, "cells of a head must be .* got 0"), ({"cells": 2.5}, "got 2.5")],
)  # fmt: skip
@pytest.mark.parametrize("settings", [LinearHead, MLPHead])
def test_poolings_that_cannot_be_are_refused(settings: Any, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings(**wrong)


def test_a_grid_over_a_sequence_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"grid needs a map .* is a sequence; use pool: attention"):
        LinearHead(pool="grid").build([Shape("sequence", 3)], 1)


def test_heads_without_a_pooling_of_their_own_take_what_the_encoder_says_of_heads() -> None:
    """Kim's convolutions and gated units: the largest over the text. A convnet's own `pool` is about its maps, not about heads."""
    for encoder, pool in ((TextConv(), "max"), (TextGRU(), "max"), (TextTransformer(), "mean"), (ConvNet(), "mean"), (MLP(), "mean"), (None, "mean")):  # fmt: skip
        assert plain_head(encoder) == LinearHead(pool=pool)
    assert plain_head({"a": TextConv(), "b": TextGRU()}).pool == "max"
    assert plain_head({"a": TextConv(), "b": MLP()}).pool == "mean"
