"""What a step on one task alone does to every loss, by making the step, looking, and taking it back.

    Z_ij = 1 - L_j(theta - lr g_i) / L_j(theta)        g_i = dL_i / dtheta, of the shared part alone

It is answered as a Gramian, G_ij = Z_ij L_j / lr, which is <g_i, g_j> to first order in lr; so whatever reads Gramians reads it, with the
second order in it. It is not symmetric. A look costs a backward pass and a forward pass a task.

Source: C. Fifty et al., Efficiently Identifying Task Groupings for Multi-Task Learning, NeurIPS 2021, equation 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cotrain.balance.report import Measurement
from cotrain.core.randomness import untouched


def lookahead(
    shared: Sequence[Tensor], losses: Mapping[str, Tensor], again: Callable[[], Mapping[str, Tensor]], lr: float
) -> Measurement:
    """The measurement of these losses by looking ahead; parameters and random streams are as before, the graph stays.

    shared: the parameters of the shared part. again: the losses of the same rows once more, under the same draws as `losses` had.
    lr: the step's length, above 0.

    >>> w = torch.tensor(1.0, requires_grad=True)
    >>> both = lambda: {"a": w * w, "b": (w - 2) ** 2}
    >>> lookahead([w], both(), both, 0.01).gramian.round(decimals=2).tolist()
    [[3.96, -4.04], [-4.04, 3.96]]
    """
    names = tuple(losses)
    before = torch.stack([losses[name].detach().double() for name in names])
    rows = []
    for name in names:
        gradients = torch.autograd.grad(losses[name], list(shared), retain_graph=True, allow_unused=True)
        kept = [parameter.detach().clone() for parameter in shared]
        with torch.no_grad(), untouched():
            for parameter, gradient in zip(shared, gradients, strict=True):
                if gradient is not None:
                    parameter.data.sub_(gradient, alpha=lr)
            after = again()
            for parameter, value in zip(shared, kept, strict=True):
                parameter.data.copy_(value)
        rows.append((before - torch.stack([after[one].double() for one in names])) / lr)
    return Measurement(names, before, torch.stack(rows))


@contextmanager
def buffers_aside(module: nn.Module) -> Iterator[None]:
    """Copies stand for every buffer (a running mean) inside, so that a forward pass moves none and leaves the graphs made before whole."""
    kept = [(layer, dict(layer._buffers)) for layer in module.modules() if layer._buffers]
    try:
        for layer, own in kept:
            for name, buffer in own.items():
                layer._buffers[name] = None if buffer is None else buffer.clone()
        yield
    finally:
        for layer, own in kept:
            layer._buffers.update(own)
