"""Heads: pool, then layers; settings are checked."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.signals import Shape, Signal
from cotrain.heads.gallery import HEADS
from cotrain.heads.linear import LinearHead, PooledHead
from cotrain.heads.mlp import MLPHead
from cotrain.heads.proportional import ProportionalHead
from cotrain.heads.wide_deep import WideDeepHead


def linears(head: nn.Module) -> list[nn.Linear]:
    return [layer for layer in head.modules() if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("layout", ["vector", "sequence", "map"])
def test_the_linear_head_is_a_linear_layer_on_the_pooled_last_signal(layout: Any) -> None:
    values = {"vector": (3, 5), "sequence": (3, 7, 5), "map": (3, 5, 2, 2)}[layout]
    signal = Signal(torch.randn(values), layout)
    head = LinearHead(dropout=0.5).build([Shape("vector", 99), Shape(layout, 5)], 2).eval()
    (layer,) = linears(head)
    torch.testing.assert_close(head([Signal(torch.randn(3, 99)), signal]), layer(signal.pooled()))
    torch.testing.assert_close(head.generate([signal]), head([signal]))
    assert head.wants == "vector"


@pytest.mark.parametrize("widths", [[16, 8], (16,), []])
def test_the_mlp_head_has_the_hidden_layers_it_was_asked_for(widths: list[int]) -> None:
    head = MLPHead(widths=widths).build([Shape("vector", 5)], 3)
    assert [layer.out_features for layer in linears(head)] == [*widths, 3]
    assert [layer.in_features for layer in linears(head)] == [5, *widths]
    values = torch.randn(4, 5)
    expected = values
    for layer in linears(head)[:-1]:
        expected = layer(expected).relu()
    torch.testing.assert_close(head([Signal(values)]), linears(head)[-1](expected))


def test_settings_are_values_that_compare_and_hash() -> None:
    assert MLPHead(widths=[8]) == MLPHead(widths=(8,))
    assert len({MLPHead(widths=[8]), MLPHead(widths=(8,)), LinearHead()}) == 2


@pytest.mark.parametrize(
    "wrong", [{"widths": 64}, {"widths": [0]}, {"widths": ["64"]}, {"dropout": 1.0}, {"dropout": -0.1}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"mlp.{next(iter(wrong))}"):
        MLPHead(**wrong)
    if "dropout" in wrong:
        with pytest.raises(ConfigError, match=r"linear\.dropout"):
            LinearHead(**wrong)


def test_dropout_acts_while_training_only() -> None:
    head = LinearHead(dropout=0.5).build([Shape("vector", 64)], 1)
    signal = [Signal(torch.randn(4, 64))]
    assert not torch.equal(head(signal), head(signal))
    head.eval()
    assert torch.equal(head(signal), head(signal))


@pytest.mark.parametrize("widths", [[], [6]])
def test_the_proportional_head_is_one_score_and_constants(widths: list[int]) -> None:
    head = ProportionalHead(widths=widths).build([Shape("vector", 5)], 4)
    found = head([Signal(torch.randn(3, 5))])
    assert [layer.out_features for layer in linears(head)] == [*widths, 1]
    assert found[:, 0].unique().numel() == 3
    assert found[:, 1:].tolist() == [[0.0, 0.0, 0.0]] * 3  # gaps that are 0 until learnt
    found[:, 2].sum().backward()
    assert head.constants.grad.tolist() == pytest.approx(
        [0.0, 3 * 5**0.5, 0.0]
    )  # they learn as fast as five weights do
    assert ProportionalHead().build([Shape("vector", 5)], 1)([Signal(torch.zeros(2, 5))]).shape == (2, 1)
    with pytest.raises(ConfigError, match=r"proportional\.widths"):
        ProportionalHead(widths=[0])


def test_the_gallery_names_them() -> None:
    known = {"linear": LinearHead, "mlp": MLPHead, "proportional": ProportionalHead, "wide_deep": WideDeepHead}
    assert {name: HEADS[name] for name in HEADS} == known
    assert isinstance(LinearHead().build([Shape("vector", 2)], 1), PooledHead)
