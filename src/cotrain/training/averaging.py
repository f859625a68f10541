"""Which weights a network is judged by and kept with: its own, or an average of them that follows the training.

Averaging touches the training in no way: it looks at the weights after a step or an epoch, and lends its averages to the network while
that is validated or stored. What is trained is put back bit for bit.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class Averaging(abc.ABC):
    """An average of weights over a training.

    own_statistics: whether the averages hold statistics of normalisation layers that fit them; else these are estimated anew.
    """

    own_statistics: ClassVar[bool] = False

    @abc.abstractmethod
    def averages(self) -> Mapping[str, Tensor]:
        """{name of a parameter or buffer: its average}; empty as long as the network is to be judged by its own weights."""

    def stepped(self, progress: float) -> None:  # noqa: B027 - an average looks after steps or after epochs
        """After a step that changed the network. progress: the share of the training that is done, in [0, 1]."""

    def epoch_ended(self, progress: float) -> None:  # noqa: B027
        """At the end of an epoch, before it is validated."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that is remembered."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - the optimiser keeps what some need
        """Continue from `state`."""


class Latest(Averaging):
    """No average: the weights as they are."""

    def averages(self) -> Mapping[str, Tensor]:
        return {}


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """{name: parameter that is trained}."""
    return {name: one for name, one in model.named_parameters() if one.requires_grad}


def statistics_of(model: nn.Module) -> dict[str, Tensor]:
    """{name: floating buffer}: what normalisation layers have seen, and whatever else a network keeps beside its parameters."""
    return {name: one for name, one in model.named_buffers() if one.is_floating_point()}


@torch.no_grad()
def copy_into_(held: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Write `values` into the tensors of those names."""
    for name, value in values.items():
        held[name].detach().copy_(value)


@contextmanager
def lent(model: nn.Module, averages: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, the network holds the averages; afterwards its own parameters and buffers again, bit for bit.

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> before = layer.weight.item()
    >>> with lent(layer, {"weight": torch.tensor([[7.0]])}):
    ...     layer.weight.item()
    7.0
    >>> layer.weight.item() == before
    True
    """
    held = dict(model.named_parameters()) | dict(model.named_buffers())
    own = {name: held[name].detach().clone() for name in {*averages, *dict(model.named_buffers())}}
    copy_into_(held, averages)
    try:
        yield
    finally:
        copy_into_(held, own)


STATISTICS_STEPS = 100
"""So many steps of training rows at most are shown to a network whose statistics are estimated anew."""


def normalising(model: nn.Module) -> list[Any]:
    """The layers that keep running statistics of what passes through them; of a network in training, not those of frozen parts."""
    layers = [layer for layer in model.modules() if getattr(layer, "track_running_stats", False)]
    return [layer for layer in layers if layer.training or not model.training]


@torch.no_grad()
def estimate_statistics_(model: nn.Module, batches: Iterable[Any]) -> None:
    """Set the running mean and variance of every normalisation layer to the plain mean over these batches, with the present weights.

    All other layers are as in evaluation (dropout is off), so that nothing is drawn. The modes of all layers are put back.
    """
    layers = normalising(model)
    if not layers:
        return
    modes = [(layer, layer.training) for layer in model.modules()]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the plain mean of all batches since the reset
            layer.train()
        for batch in batches:
            if len(batch) > 1:  # one row has no variance
                model(batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for layer, mode in modes:
            layer.training = mode
