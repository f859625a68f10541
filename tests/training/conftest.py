"""A small network and small data that every test of the room trains on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cotrain.core.fields import Batch, Field
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression

Rows = tuple[Tensor, dict[str, Tensor]]


@pytest.fixture
def rows() -> Callable[[int], Rows]:
    """`rows(n)`: x [n, 3], a yes/no target and a number that depend on it, the number missing (NaN) in a third of the rows."""

    def make(count: int, seed: int = 0) -> Rows:
        source = torch.Generator().manual_seed(seed)
        x = torch.randn(count, 3, generator=source)
        noise = 0.1 * torch.randn(count, generator=source)
        number = x[:, 0] - 2 * x[:, 1] + noise
        number[torch.rand(count, generator=source) < 1 / 3] = float("nan")
        return x, {"yes": (x.sum(1) > 0).float(), "number": number}

    return make


@pytest.fixture
def fresh() -> Callable[..., Model]:
    """`fresh()`: the same untrained network every time."""

    def make(*, dropout: float = 0.0, seed: int = 0) -> Model:
        torch.manual_seed(seed)
        model = Model(encoder=MLP(widths=[8], dropout=dropout), tasks=[Binary("yes"), Regression("number")])
        return model.meet(Batch({"x": Field.dense(torch.zeros(2, 3))}))

    return make
