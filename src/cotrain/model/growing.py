"""A task more: what two networks have in common by name and shape goes from one to the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def take_over_(into: nn.Module, source: nn.Module) -> list[str]:
    """Copy every tensor of `source` whose name and shape `into` has too; the names of those that begin with values of their own.

    >>> small, large = nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    >>> take_over_(large, small), bool((large[0].weight == small[0].weight).all())
    (['1.weight', '1.bias'], True)
    """
    there = {name: one for name, one in source.state_dict().items() if isinstance(one, Tensor)}
    fresh = []
    with torch.no_grad():
        for name, tensor in into.state_dict().items():
            if not isinstance(tensor, Tensor):
                continue
            if name in there and there[name].shape == tensor.shape:
                tensor.copy_(there[name])
            else:
                fresh.append(name)
    return fresh
