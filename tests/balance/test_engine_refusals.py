"""What cannot be right is refused with the reason, before any gradient is touched."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from cotrain.balance.engine import Engine
from cotrain.balance.sum import Sum
from cotrain.core.errors import ConfigError, UnsupportedError


def test_mistakes_at_the_door(net) -> None:
    with pytest.raises(ConfigError, match="a Weigher or Combiner"):
        Engine(net.trunk)
    with pytest.raises(ConfigError, match="mode is"):
        Engine(net.trunk, Sum(), mode="fast")
    with pytest.raises(ConfigError, match="length is"):
        Engine(net.trunk, Sum(), length="short")
    with pytest.raises(ConfigError, match="at least 1"):
        Engine(net.trunk, Sum(), every=0)
    with pytest.raises(ConfigError, match="must hold parameters"):
        Engine(nn.ReLU(), Sum())
    with pytest.raises(ConfigError, match="task 'a' gave shape \\[3\\]"):
        Engine(None, Sum()).backward({"a": torch.ones(3, requires_grad=True)})
    with pytest.raises(ConfigError, match=r"task 'a' gave 1\.0"):
        Engine(None, Sum()).backward({"a": 1.0})


def test_sparse_embeddings_are_refused(inverse_norms) -> None:
    table = nn.Embedding(5, 4, sparse=True)
    h = table(torch.tensor([1, 2]))
    with pytest.raises(UnsupportedError, match="sparse=False"):
        Engine(None, inverse_norms()).backward({"a": h.sum(), "b": h.square().sum()})
    assert table.weight.grad is None


@pytest.mark.parametrize("place", ["trunk", "head"])
def test_reentrant_checkpointing_is_refused(net, place: str, inverse_norms) -> None:
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    if place == "trunk":
        h = checkpoint(net.trunk, x, use_reentrant=True)
        losses = {task: head(h).square().mean() for task, head in net.heads.items()}
    else:
        h = net.trunk(x)
        losses = {task: checkpoint(head, h, use_reentrant=True).square().mean() for task, head in net.heads.items()}
    with pytest.raises(UnsupportedError, match="use_reentrant"):
        Engine(None, inverse_norms()).backward(losses)
    assert net.trunk[0].weight.grad is None


def test_sharded_parameters_are_refused(net, inverse_norms) -> None:
    net.trunk[0].weight._is_flat_param = True
    with pytest.raises(UnsupportedError, match="sharded by FSDP"):
        Engine(None, inverse_norms()).backward(net.losses())


def test_a_trunk_that_allows_one_pass_only_is_refused(inverse_norms) -> None:
    class Donated(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.passes = 0
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            ctx.passes += 1
            if ctx.passes > 1:
                raise RuntimeError("This backward function was compiled with non-empty donated buffers")
            return g

    stem = nn.Linear(3, 3)
    h = Donated.apply(stem(torch.randn(2, 3)))
    losses = {"a": h.sum(), "b": h.square().sum()}
    with pytest.raises(UnsupportedError, match="mode='features'"):
        Engine(None, inverse_norms()).backward(losses)
    assert stem.weight.grad is None
    h = Donated.apply(stem(torch.randn(2, 3)))
    Engine(None, inverse_norms(), mode="features").backward({"a": h.sum(), "b": h.square().sum()})
    assert stem.weight.grad is not None
