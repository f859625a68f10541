"""Small layers on the channels of a signal, whatever its layout: the same map at every step or place.

Shapes: B rows, D channels. A vector is [B, D], a sequence [B, S, D], a map [B, D, H, W].
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.signals import Layout, Signal


class Pointwise(nn.Module):
    """W x + b over the channels: a linear layer, on maps a 1 x 1 convolution. weight [o, i], bias [o]."""

    def __init__(self, layout: Layout, inputs: int, outputs: int) -> None:
        super().__init__()
        self.map = layout == "map"
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, values: Tensor) -> Tensor:
        if not self.map:
            out: Tensor = self.linear(values)
            return out
        return F.conv2d(values, self.linear.weight[:, :, None, None], self.linear.bias)


class ChannelNorm(nn.Module):
    """Layer norm over the channels, step by step and place by place. weight, bias [D]."""

    def __init__(self, layout: Layout, width: int) -> None:
        super().__init__()
        self.map = layout == "map"
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = self.norm(values.movedim(1, -1) if self.map else values)
        return out.movedim(-1, 1) if self.map else out


def along_channels(vector: Tensor, signal: Signal) -> Tensor:
    """A number a channel [D] (or a row and channel, [B, D]) in a shape that multiplies the signal's values.

    >>> import torch
    >>> along_channels(torch.ones(3), Signal(torch.zeros(2, 3, 4, 4), "map")).shape
    torch.Size([3, 1, 1])
    """
    if signal.layout == "map":
        return vector[..., None, None]
    return vector.unsqueeze(-2) if signal.layout == "sequence" and vector.dim() == 2 else vector


def fitted(values: Tensor, signal: Signal) -> Tensor:
    """Values of another size made to fit the places of `signal`: the nearest ones where it is finer, the largest where it is coarser."""
    axes = {"vector": 0, "sequence": 1, "map": 2}[signal.layout]
    if axes == 0:
        return values
    sizes = signal.values.shape[-2:-1] if axes == 1 else signal.values.shape[-2:]
    first = values.transpose(-1, -2) if axes == 1 else values
    if first.shape[-axes:] == sizes:
        return values
    if all(have >= want for have, want in zip(first.shape[-axes:], sizes, strict=True)):
        pool = F.adaptive_max_pool1d if axes == 1 else F.adaptive_max_pool2d
        out = pool(first, sizes)
    else:
        out = F.interpolate(first, sizes, mode="nearest")
    return out.transpose(-1, -2) if axes == 1 else out


def small_weights(layer: Pointwise, std: float) -> None:
    """Draw a layer's weights from N(0, std^2) cut off at two standard deviations, its bias 0."""
    nn.init.trunc_normal_(layer.linear.weight, std=std, a=-2 * std, b=2 * std)
    nn.init.zeros_(layer.linear.bias)
