"""A user's own class, named in a config, as an encoder of a table or of one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.randomness import untouched
from cotrain.core.signals import Shape, Signal, as_signal
from cotrain.core.spec import InputSpec
from cotrain.core.stacked import Stage
from cotrain.encoders.mlp import MLP, MLPEncoder
from cotrain.encoders.pictures import Picture


@dataclass(frozen=True, kw_only=True)
class OwnNetwork:
    """Settings for an `nn.Module` class that knows nothing of cotrain: it is made as `network(width, **settings)`.

    network: the class, or any function; its one positional argument is the width of its input, a vector of standardised numbers and
    embedded categories; where the input is a picture, the number of its channels, and it is given [B, C, H, W], standardised.
    It answers [B, D], [B, S, D] or [B, D, H, W], and becomes one stage.
    category_width: numbers a category becomes.
    """

    name: ClassVar[str] = "own"
    network: Callable[..., nn.Module]
    settings: Mapping[str, Any]
    category_width: int = 8

    def build(self, inputs: InputSpec, width: int | None = None) -> OwnEncoder:
        if any(spec.kind == "image" for spec in inputs.values()):
            if width is not None:
                raise ConfigError(
                    "a network of your own on pictures serves one source; several sources need an encoder each"
                )
            return OwnEncoder(Picture("own", inputs), self)
        return OwnEncoder(MLP(widths=(), category_width=self.category_width).build(inputs, width), self)


class OwnEncoder(nn.Module):
    """`embed` as the MLP's, or the standardised picture; the user's network is the only stage."""

    def __init__(self, front: MLPEncoder | Picture, settings: OwnNetwork) -> None:
        super().__init__()
        picture = isinstance(front, Picture)
        width = front.channels if isinstance(front, Picture) else front.shapes[0].width
        example = torch.zeros(2, width, *(front.size if isinstance(front, Picture) else ()))
        network = settings.network(width, **settings.settings)
        if not isinstance(network, nn.Module):
            raise ConfigError(
                f"encoder: expected a torch.nn.Module, but {settings.network!r} made a {type(network).__name__}"
            )
        self.front = front
        first, last = as_signal(example), _answer(network, example)
        # a stage that keeps the layout can be copied in batched products where its layers are known
        self.stages = nn.ModuleList([Stage(network) if first.layout == last.layout else Whole(network)])
        stride = max(1, round(example.shape[-1] / last.values.shape[-1])) if picture and last.layout == "map" else 1
        self.shapes: Sequence[Shape] = [Shape.of(first), Shape.of(last, stride)]

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        if isinstance(self.front, Picture):
            return Signal(self.front(fields), "map")
        return self.front.embed(fields)


class Whole(nn.Module):
    """A network whose answer has another layout than its input, as a stage."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, signal: Signal) -> Signal:
        return as_signal(self.network(signal.values))


def _answer(network: nn.Module, example: Tensor) -> Signal:
    training = network.training
    network.eval()
    with torch.no_grad(), untouched():
        values = network(example)
    network.train(training)
    return as_signal(values)
