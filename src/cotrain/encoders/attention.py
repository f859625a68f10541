"""Layers of a transformer over tokens, each with a stacked form of its own.

Shapes: B rows, S tokens, D width, H heads, E copies where a layer is stacked: [B, S, D], or [E, B, S, D].
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.signals import Signal
from cotrain.core.stacked import stack_layer


class Attention(nn.Module):
    """W_o concat_h softmax(q_h k_h^T / sqrt(D / H)) v_h + b_o, with q, k, v = W x + b: every token attends to all tokens of its row.

    heads: H, divides `width`. dropout: of attention weights, in [0, 1). first_only: only the first token asks, [B, S, D] -> [B, 1, D].
    Initial values: weights as `nn.Linear`, biases 0 (as in the authors' code of FT-Transformer).

    Source: A. Vaswani et al., Attention Is All You Need, NeurIPS 2017, section 3.2.
    """

    def __init__(self, width: int, heads: int, *, dropout: float, first_only: bool = False) -> None:
        super().__init__()
        self.heads, self.dropout, self.first_only = heads, dropout, first_only
        self.query: nn.Module = without_bias(nn.Linear(width, width))
        self.key: nn.Module = without_bias(nn.Linear(width, width))
        self.value: nn.Module = without_bias(nn.Linear(width, width))
        self.out: nn.Module = without_bias(nn.Linear(width, width))

    def stacked(self, copies: int) -> Attention:
        width = self.query.in_features
        many = Attention(int(width), self.heads, dropout=self.dropout, first_only=self.first_only)  # type: ignore[arg-type]
        for name, layer in list(many.named_children()):
            setattr(many, name, without_bias(stack_layer(layer, copies)))
        return many

    def forward(self, x: Tensor) -> Tensor:
        asking = x[..., :1, :] if self.first_only else x
        query, key, value = (self._parted(one) for one in (self.query(asking), self.key(x), self.value(x)))
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=self.dropout if self.training else 0.0)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(asking.shape))
        return out

    def _parted(self, x: Tensor) -> Tensor:
        """[..., S, D] -> [rows, H, S, D / H]."""
        return x.reshape(-1, x.shape[-2], self.heads, x.shape[-1] // self.heads).transpose(1, 2)


def without_bias(layer: nn.Module) -> nn.Module:
    """The layer with its bias at 0."""
    with torch.no_grad():
        layer.bias.zero_()  # type: ignore[operator]
    return layer


class FirstResidual(nn.Module):
    """x_1 + layers(x) for layers that answer the first token alone: [B, S, D] -> [B, 1, D]."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x[..., :1, :] + self.layers(x)
        return out

    def stacked(self, copies: int) -> FirstResidual:
        return FirstResidual(*(stack_layer(layer, copies) for layer in self.layers))


class GatedReLU(nn.Module):
    """a * ReLU(b) for the two halves a, b of the last axis: [..., 2 D] -> [..., D] (ReGLU).

    Source: N. Shazeer, GLU Variants Improve Transformer, 2020, equation 6.

    >>> GatedReLU()(torch.tensor([2.0, 3.0, 1.0, 4.0])).tolist()
    [2.0, 12.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        value, gate = x.chunk(2, -1)
        return value * F.relu(gate)

    def stacked(self, copies: int) -> GatedReLU:
        return GatedReLU()


class FirstTokenStage(nn.Module):
    """Layers on the tokens, then the first token alone: a sequence [B, S, D] -> a vector [B, D]."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, signal: Signal) -> Signal:
        return replace(signal, values=self.layers(signal.values)[..., 0, :], layout="vector", mask=None)

    def stacked(self, copies: int) -> FirstTokenStage:
        return FirstTokenStage(*(stack_layer(layer, copies) for layer in self.layers))
