"""Heads that want a vector, a sequence, a map or a pyramid are given it, or the misfit is said."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch, Field
from cotrain.core.signals import Signal
from cotrain.core.spec import FieldSpec, Wants
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.regression import Regression

LAYOUTS = {"vector": 2, "sequence": 3, "map": 4}


class Own(nn.Module):
    """A head of each kind: what it was given is kept."""

    def __init__(self, wants: Wants, widths: Sequence[int]) -> None:
        super().__init__()
        self.wants, self.seen = wants, []
        self.layers = nn.ModuleList(nn.Linear(width, 1) for width in widths)

    def forward(self, signals: Sequence[Signal], target: Field | None = None) -> Tensor:
        self.seen = [signal.layout for signal in signals]
        used = list(signals) if self.wants == "pyramid" else [signals[-1]]
        return torch.stack([layer(one.pooled()) for layer, one in zip(self.layers, used, strict=True)]).sum(0)

    def generate(self, signals: Sequence[Signal]) -> Tensor:
        return self.forward(signals) + 100


def network(toys: SimpleNamespace, layout: str, head: nn.Module, sharing: object = None) -> tuple[Model, Batch]:
    target = {"y": Field.dense(torch.randn(5, 1))}
    tasks = [Regression("y")]
    if layout == "map":
        spec = {"x": FieldSpec("image", shape=(3, 8, 8))}
        model = Model(encoder=toys.ToyConv(), sharing=sharing, tasks=tasks, heads={"y": head})  # type: ignore[arg-type]
        return model.build({"main": spec}), Batch({"x": Field.dense(torch.randn(5, 3, 8, 8))}, target)
    encoder = toys.FTTransformer() if layout == "sequence" else MLP(widths=[6, 6])
    model = Model(encoder=encoder, sharing=sharing, tasks=tasks, heads={"y": head})  # type: ignore[arg-type]
    spec = {"x": FieldSpec("number", names=("a", "b"))}
    return model.build({"main": spec}), Batch({"x": Field.dense(torch.randn(5, 2))}, target)


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("wants", get_args(Wants))
def test_a_head_is_given_what_it_wants_or_the_misfit_is_said(toys: SimpleNamespace, layout: str, wants: Wants) -> None:
    widths = {"vector": [2, 6, 6], "sequence": [8, 8, 8], "map": [3, 4, 6]}[layout]
    head = Own(wants, widths if wants == "pyramid" else widths[-1:])
    if wants not in ("vector", "pyramid", layout):
        with pytest.raises(
            ConfigError, match=f"task 'y': its head wants a {wants}, but the sharing gives it a {layout}"
        ):
            network(toys, layout, head)
        return
    model, batch = network(toys, layout, head)
    model.eval()
    assert model(batch)["y"].shape == (5, 1)
    assert head.seen == [layout] * 3
    torch.testing.assert_close(model.predict(batch)["y"], model(batch)["y"] + 100)


def test_behind_experts_a_pyramid_holds_what_is_before_them_and_the_mixture(toys: SimpleNamespace) -> None:
    head = Own("pyramid", [3, 4, 6])
    model, batch = network(toys, "map", head, MMoE(experts=2, split=1))
    model(batch)["y"].sum().backward()
    assert [shape.width for shape in model.parts[0].shapes["y"]] == [3, 4, 6]
    assert all(layer.weight.grad is not None for layer in head.layers)


def test_a_plain_module_serves_as_head_on_pooled_features(toys: SimpleNamespace) -> None:
    plain = nn.Linear(8, 1)
    model, batch = network(toys, "sequence", plain)
    model.eval()
    signal = model.parts[0]("main", batch.inputs)["y"][-1]
    torch.testing.assert_close(model(batch)["y"], plain(signal.pooled()))
    assert any(parameter is plain.weight for parameter in model.parameters())
