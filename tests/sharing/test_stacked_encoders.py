"""Stages of every encoder, stacked: copies that begin alike answer as the stage does, and nothing stays a loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec
from cotrain.core.stacked import loops_in, stack
from cotrain.encoders.ft_transformer import FTTransformer
from cotrain.encoders.mlp import MLP
from cotrain.encoders.resnet import ResNet
from cotrain.encoders.tabm import TabM

ENCODERS: dict[str, Any] = {
    "mlp": MLP(widths=[8, 6], norm="batch"),
    "resnet": ResNet(),
    "ft_transformer": FTTransformer(),
    "tabm": TabM(members=4, widths=[8, 6]),
    "tabm, mini": TabM(members=4, widths=[8, 6], arch="mini"),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_stages_of_an_encoder_are_stacked_and_can_begin_alike(name: str) -> None:
    encoder = ENCODERS[name].build({"x": FieldSpec("number", names=("a", "b", "c"))})
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    signal = encoder.eval().embed({"x": Field.dense(torch.randn(5, 3))})
    for stage in encoder.stages:
        stacked = stack(stage, 3, alike=True).eval()
        assert list(loops_in(stacked)) == []
        many = signal.of(torch.stack([signal.values] * 3))
        found, expected = stacked(many), stage(signal)
        assert (found.layout, found.members) == (expected.layout, expected.members)
        for copy in found.values:
            torch.testing.assert_close(copy, expected.values, rtol=1e-3, atol=1e-3)
        signal = expected
