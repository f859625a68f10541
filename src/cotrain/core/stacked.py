"""E copies of a known layer as one layer, and one batched product.

Shapes: E copies, B rows, i inputs, o outputs. A stacked layer maps [E, B, ..., i] to [E, B, ..., o] (maps: [E, B, C, H, W]).
`stack` copies a whole stage; layers it does not know stay a loop over a `ModuleList` (`Looped`), and `loops_in` names them.
Where all copies read the same values, these may come once, [1, B, ...], if the first layer takes that (`reads_one`, `spread`).
Every copy draws its own initial values, unless all are to begin alike. A layer or a stage of another kind may bring its own stacked
form: `stacked(copies)`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.signals import Signal


class Stage(nn.Module):
    """One stage of a network: layers in a row, applied to a signal's values; layout and mask stay as they are."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, signal: Signal) -> Signal:
        return signal.of(self.layers(signal.values))


@runtime_checkable
class Stackable(Protocol):
    """A layer or stage that knows how to be many: `stacked(copies)` answers that many freshly drawn copies of it as one module."""

    def stacked(self, copies: int) -> nn.Module: ...


class Residual(nn.Module):
    """x + layers(x) for layers in a row that keep the shape; shortcut(x) + layers(x) where one is given."""

    def __init__(self, *layers: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x) + self.layers(x)
        return out

    def stacked(self, copies: int) -> Residual:
        layers = (stack_layer(layer, copies) for layer in self.layers)
        return Residual(*layers, shortcut=stack_layer(self.shortcut, copies))


class StackedLinear(nn.Module):
    """y[e] = x[e] W[e]^T + b[e] for all copies in one batched product. weight [E, o, i], bias [E, o] or None.

    Where all copies read the same x, [1, B, ..., i], it is one plain product. rectified: y is max(y, 0), set in place, for a layer that a
    ReLU follows: a product of all copies is large, and a second one beside it costs as much as a fifth of the step.
    Initial values: each copy as `nn.Linear` (uniform in +-1/sqrt(i)).
    """

    def __init__(self, copies: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        bound = inputs**-0.5 if inputs else 0.0
        self.weight = nn.Parameter(torch.empty(copies, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(copies, outputs).uniform_(-bound, bound)) if bias else None
        self.rectified = False

    def forward(self, x: Tensor) -> Tensor:
        copies, outputs, inputs = self.weight.shape
        if len(x) == 1:  # all copies read the same: their outputs side by side in one product
            bias = None if self.bias is None else self.bias.view(-1)
            side = F.linear(x[0], self.weight.view(-1, inputs), bias)
            side = side.relu_() if self.rectified else side
            return side.reshape(*x.shape[1:-1], copies, outputs).movedim(-2, 0)
        flat = x.reshape(copies, -1, inputs)
        weight = self.weight.transpose(1, 2)
        out = torch.bmm(flat, weight) if self.bias is None else torch.baddbmm(self.bias.unsqueeze(1), flat, weight)
        out = out.relu_() if self.rectified else out
        return out.reshape(*x.shape[:-1], outputs)


class StackedConv(nn.Module):
    """E convolutions as one grouped convolution: [E, B, C, H, W] -> [E, B, O, H', W'] (1-d: [E, B, C, S]).

    weight [E * O, C / groups, kernel ...]. Initial values: each copy as the layer itself (uniform in +-1/sqrt(fan-in)). Only zero padding
    can be grouped.
    """

    def __init__(self, copies: int, like: nn.Conv1d | nn.Conv2d) -> None:
        super().__init__()
        self.copies, self.groups = copies, like.groups
        self.convolve = F.conv1d if isinstance(like, nn.Conv1d) else F.conv2d
        self.stride, self.padding, self.dilation = like.stride, like.padding, like.dilation
        fan = like.weight[0].numel()
        bound = fan**-0.5
        shape = (copies * like.out_channels, *like.weight.shape[1:])
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.bias = None
        if like.bias is not None:
            self.bias = nn.Parameter(torch.empty(shape[0]).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        same = (
            len(x) == 1 and self.groups == 1
        )  # all copies read the same: their channels side by side in one convolution
        x = x if same else x.expand(self.copies, *x.shape[1:])
        side = x.transpose(0, 1).flatten(1, 2)
        groups = 1 if same else self.groups * self.copies
        out = self.convolve(side, self.weight, self.bias, self.stride, self.padding, self.dilation, groups)
        return out.reshape(len(out), self.copies, -1, *out.shape[2:]).transpose(0, 1)


class StackedLayerNorm(nn.Module):
    """Layer norm over the last axis with a gain and an offset per copy. weight, bias [E, D]."""

    def __init__(self, copies: int, width: int, *, eps: float = 1e-5, bias: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(copies, width))
        self.bias = nn.Parameter(torch.zeros(copies, width)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        shape = (len(self.weight), *([1] * (x.dim() - 2)), self.weight.shape[1])
        out = F.layer_norm(x, x.shape[-1:], eps=self.eps) * self.weight.view(shape)
        return out if self.bias is None else out + self.bias.view(shape)


class StackedBatchNorm(nn.Module):
    """Batch norm of every copy at once: the copies' channels side by side in one ordinary batch norm."""

    def __init__(self, copies: int, like: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.copies = copies
        self.norm = type(like)(
            copies * like.num_features,
            eps=like.eps,
            momentum=like.momentum,
            affine=like.affine,
            track_running_stats=like.track_running_stats,
        )

    def forward(self, x: Tensor) -> Tensor:
        copies, rows = x.shape[:2]
        side = x.transpose(0, 1).reshape(rows, copies * x.shape[2], *x.shape[3:])
        out: Tensor = self.norm(side)
        return out.reshape(rows, copies, *x.shape[2:]).transpose(0, 1)


class StackedGroupNorm(nn.Module):
    """Group norm of every copy at once: the copies' groups side by side in one ordinary group norm. weight, bias [E * C]."""

    def __init__(self, copies: int, like: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(copies * like.num_groups, copies * like.num_channels, like.eps, like.affine)

    def forward(self, x: Tensor) -> Tensor:
        copies, rows, channels = x.shape[:3]
        out: Tensor = self.norm(x.transpose(0, 1).reshape(rows, copies * channels, *x.shape[3:]))
        return out.reshape(rows, copies, channels, *x.shape[3:]).transpose(0, 1)


class Folded(nn.Module):
    """A layer without parameters that treats every row alone, on the copies' rows one after the other."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x.flatten(0, 1))
        return out.reshape(*x.shape[:2], *out.shape[1:])


class Looped(nn.Module):
    """E copies of a layer that has no stacked form, one after the other: [E, B, ...] -> [E, B, ...]."""

    def __init__(self, copies: list[nn.Module]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([layer(part) for layer, part in zip(self.copies, x.unbind(0), strict=True)])


class LoopedStage(nn.Module):
    """E copies of a whole stage of unknown kind, each given its own part of the stacked signal."""

    def __init__(self, copies: list[nn.Module]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)

    def forward(self, signal: Signal) -> Signal:
        parts = [stage(signal.of(part)) for stage, part in zip(self.copies, signal.values.unbind(0), strict=True)]
        first: Signal = parts[0]
        return first.of(torch.stack([part.values for part in parts]))


ELEMENTWISE = (
    nn.ReLU,
    nn.GELU,
    nn.SiLU,
    nn.ELU,
    nn.LeakyReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Softplus,
    nn.Identity,
    nn.Dropout,
)
"""Layers without parameters that act number by number: one serves all copies (dropout draws for every copy on its own)."""


ROW_BY_ROW = (
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
    nn.Dropout1d,
    nn.Dropout2d,
)
"""Layers without parameters that treat every row alone: copies become rows, `Folded`."""


def stack_layer(layer: nn.Module, copies: int, *, alike: bool = False) -> nn.Module:
    """`copies` copies of one layer as one layer; a loop where no stacked form is known.

    Every copy is drawn afresh; with `alike` all begin with the layer's own values.
    """
    if type(layer) is nn.Sequential:
        return nn.Sequential(*joined([stack_layer(inner, copies, alike=alike) for inner in layer]))
    stacked = _stacked(layer, copies)
    if stacked is None or (alike and not _begun_alike_(stacked, layer, copies)):
        return Looped([replica(layer, alike=alike) for _ in range(copies)])
    return stacked


def joined(layers: list[nn.Module]) -> list[nn.Module]:
    """The layers, with every ReLU that follows a stacked linear layer done by it; an identity stands in its place, so that names stay."""
    out = list(layers)
    for place in range(1, len(out)):
        before = out[place - 1]
        if isinstance(before, StackedLinear) and type(out[place]) is nn.ReLU:
            before.rectified = True
            out[place] = nn.Identity()
    return out


def _stacked(layer: nn.Module, copies: int) -> nn.Module | None:
    """A known layer's stacked form, None for another one; subclasses are others."""
    if type(layer) in ELEMENTWISE:
        return replica(layer)
    if type(layer) in ROW_BY_ROW:
        return Folded(replica(layer))
    if type(layer) is nn.Linear:
        return StackedLinear(copies, layer.in_features, layer.out_features, bias=layer.bias is not None)
    if isinstance(layer, nn.Conv1d | nn.Conv2d) and type(layer) in (nn.Conv1d, nn.Conv2d):
        return StackedConv(copies, layer) if layer.padding_mode == "zeros" else None
    if type(layer) is nn.LayerNorm and len(layer.normalized_shape) == 1 and layer.elementwise_affine:
        return StackedLayerNorm(copies, layer.normalized_shape[0], eps=layer.eps, bias=layer.bias is not None)
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d):
        return StackedBatchNorm(copies, layer)
    if type(layer) is nn.GroupNorm:
        return StackedGroupNorm(copies, layer)
    return layer.stacked(copies) if isinstance(layer, Stackable) else None


def _begun_alike_(stacked: nn.Module, layer: nn.Module, copies: int) -> bool:
    """Give every copy the layer's own values; False where the stacked form does not hold them copy by copy under the same names."""
    held = {_plain(name): tensor for name, tensor in stacked.state_dict().items()}
    own = {_plain(name): tensor for name, tensor in layer.state_dict().items()}
    sizes = {name: tensor.numel() * (copies if tensor.dim() else 1) for name, tensor in own.items()}
    if {name: tensor.numel() for name, tensor in held.items()} != sizes:
        return False
    with torch.no_grad():
        for name, tensor in own.items():
            many = tensor if tensor.dim() == 0 else tensor.expand(copies, *tensor.shape)
            held[name].copy_(many.reshape(held[name].shape))
    return True


def _plain(name: str) -> str:
    """A parameter's name without the level that a stacked norm adds to it."""
    return name.replace("norm.", "")


def stack(stage: nn.Module, copies: int, *, alike: bool = False) -> nn.Module:
    """`copies` copies of a stage: Signal with values [E, B, ...] -> the same, in batched products where its layers are known.

    Every copy is drawn afresh; with `alike` all begin with the stage's own values, so that a pretrained stage keeps what it knows.
    """
    if type(stage) is Stage:
        return Stage(*joined([stack_layer(layer, copies, alike=alike) for layer in stage.layers]))
    stacked = stage.stacked(copies) if isinstance(stage, Stackable) else None
    if stacked is None or (alike and not _begun_alike_(stacked, stage, copies)):
        return LoopedStage([replica(stage, alike=alike) for _ in range(copies)])
    return stacked


def spread(signal: Signal, copies: int, stage: nn.Module) -> Signal:
    """One signal for all copies of a stacked stage: values [1, B, ...] where it reads them once, else [E, B, ...] without writing them out."""
    values = signal.values.unsqueeze(0)
    return signal.of(values if reads_one(stage) else values.expand(copies, *signal.values.shape))


def reads_one(stacked: nn.Module) -> bool:
    """Whether a stacked stage or layer takes [1, B, ...] for what all copies read, and answers [E, B, ...]."""
    if type(stacked) in (Stage, nn.Sequential):
        layers = stacked.layers if isinstance(stacked, Stage) else stacked
        first = next(iter(layers), None)  # type: ignore[call-overload]
        return first is not None and reads_one(first)
    return isinstance(stacked, StackedLinear | StackedConv | StackedLayerNorm)


def replica(module: nn.Module, *, alike: bool = False) -> nn.Module:
    """A copy of the module, redrawn unless `alike`. Copies never work in place: they may read one and the same input."""
    return never_in_place_(copy.deepcopy(module) if alike else redrawn(module))


def never_in_place_(module: nn.Module) -> nn.Module:
    """The same module with `inplace` switched off in all its layers: what it reads, others may read."""
    for layer in module.modules():
        if getattr(layer, "inplace", False) is True:
            setattr(layer, "inplace", False)  # noqa: B010 (a module's attribute of unknown type)
    return module


def redrawn(module: nn.Module) -> nn.Module:
    """A copy of the module with its own initial values, drawn by every layer's own `reset_parameters` (or `_reset_parameters`).

    A parameter whose layer has neither starts alike in all copies.
    """
    fresh = copy.deepcopy(module)
    for layer in fresh.modules():
        reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
        if callable(reset):
            reset()
    return fresh


def loops_in(module: nn.Module) -> Iterator[str]:
    """Class names of the layers that had to stay loops, one a loop, for `check` to say so."""
    for layer in module.modules():
        if isinstance(layer, (Looped, LoopedStage)):
            yield type(layer.copies[0]).__name__
