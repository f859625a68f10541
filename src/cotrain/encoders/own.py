"""A user's own class, named in a config, as an encoder of tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.randomness import untouched
from cotrain.core.signals import Shape, Signal, as_signal
from cotrain.core.spec import InputSpec
from cotrain.core.stacked import Stage
from cotrain.encoders.mlp import MLP, MLPEncoder


@dataclass(frozen=True, kw_only=True)
class OwnNetwork:
    """Settings for an `nn.Module` class that knows nothing of cotrain: it is made as `network(width, **settings)`.

    network: the class, or any function; its one positional argument is the width of its input, a vector of standardised numbers and
    embedded categories. It answers [B, D], [B, S, D] or [B, D, H, W], and becomes one stage.
    category_width: numbers a category becomes.
    """

    name: ClassVar[str] = "own"
    network: Callable[..., nn.Module]
    settings: Mapping[str, Any]
    category_width: int = 8

    def build(self, inputs: InputSpec, width: int | None = None) -> OwnEncoder:
        return OwnEncoder(MLP(widths=(), category_width=self.category_width).build(inputs, width), self)


class OwnEncoder(nn.Module):
    """`embed` as the MLP's; the user's network is the only stage."""

    def __init__(self, front: MLPEncoder, settings: OwnNetwork) -> None:
        super().__init__()
        width = front.shapes[0].width
        network = settings.network(width, **settings.settings)
        if not isinstance(network, nn.Module):
            raise ConfigError(
                f"encoder: expected a torch.nn.Module, but {settings.network!r} made a {type(network).__name__}"
            )
        self.front = front
        self.stages = nn.ModuleList([Stage(network)])
        self.shapes: Sequence[Shape] = [front.shapes[0], _shape(network, width)]

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        return self.front.embed(fields)


def _shape(network: nn.Module, width: int) -> Shape:
    training = network.training
    network.eval()
    with torch.no_grad(), untouched():
        values = network(torch.zeros(2, width))
    network.train(training)
    return Shape.of(as_signal(values))
