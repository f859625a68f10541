"""ResNet: its blocks against the formula written out, and as stacked copies."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.signals import Signal
from cotrain.core.spec import FieldSpec
from cotrain.core.stacked import loops_in, stack
from cotrain.encoders.resnet import ResNet

SPEC = {"x": FieldSpec("number", names=("a", "b", "c"))}


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_a_block_adds_to_what_it_was_given(norm: Any) -> None:
    encoder = ResNet(blocks=2, width=6, norm=norm, dropout=0.0).build(SPEC).double()
    fields = {"x": Field.dense(torch.randn(9, 3, dtype=torch.float64))}
    signal = encoder.embed(fields)
    x = F.linear(fields["x"].values, encoder.project.weight, encoder.project.bias)
    torch.testing.assert_close(signal.values, x)

    def normed(values: torch.Tensor) -> torch.Tensor:
        if norm == "layer":
            return (values - values.mean(1, keepdim=True)) / (values.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        return (values - values.mean(0)) / (values.var(0, unbiased=False) + 1e-5).sqrt()

    for place, stage in enumerate(encoder.stages):
        signal = stage(signal)
        first, second = (layer for layer in stage.layers[0].layers if isinstance(layer, torch.nn.Linear))
        assert first.weight.shape == (12, 6)
        x = x + F.linear(torch.relu(F.linear(normed(x), first.weight, first.bias)), second.weight, second.bias)
        torch.testing.assert_close(signal.values, x if place == 0 else torch.relu(normed(x)))


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_copies_of_a_block_are_one_stacked_stage(norm: Any) -> None:
    stage = ResNet(blocks=1, width=6, hidden=4, norm=norm, dropout=0.0).build(SPEC).stages[0]
    many = stack(stage, 3)
    assert list(loops_in(many)) == []
    x = torch.randn(3, 8, 6)
    out = many(Signal(x)).values
    _, first, _, _, second, _ = many.layers[0].layers
    for copy in range(3):
        stage.layers[0].layers[1].load_state_dict({"weight": first.weight[copy], "bias": first.bias[copy]})
        stage.layers[0].layers[4].load_state_dict({"weight": second.weight[copy], "bias": second.bias[copy]})
        torch.testing.assert_close(out[copy], stage(Signal(x[copy])).values)


@pytest.mark.parametrize(
    "wrong",
    [{"blocks": 0}, {"width": 0}, {"hidden": 0}, {"dropout": 1.0}, {"residual_dropout": -0.1}, {"activation": "rleu"}, {"norm": "none"},
     {"category_width": 0}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"resnet.{next(iter(wrong))}"):
        ResNet(**wrong)
