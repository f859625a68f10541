"""A user's own network as an encoder.

`trunk` is any `nn.Module` from a tensor (or, with several inputs, a dict of tensors) to features: [B, D], [B, S, D] or [B, D, H, W].
`stages` name the modules inside it that, run one after the other, make up the trunk; they can then be shared stage by stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.randomness import untouched
from cotrain.core.signals import Shape, Signal, as_signal
from cotrain.core.spec import InputSpec


def as_input(fields: Mapping[str, Field]) -> Tensor | dict[str, Tensor]:
    """What the trunk is called with: the only input's values, or all of them by name."""
    values = {name: field.values for name, field in fields.items()}
    return next(iter(values.values())) if len(values) == 1 else values


class TensorStage(nn.Module):
    """A module on tensors as a stage on signals."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, signal: Signal) -> Signal:
        return as_signal(self.module(signal.values))


@dataclass(frozen=True)
class Trunk:
    """Settings of a user's network: the module, its stages, and one batch of inputs from which the shapes are read."""

    name: ClassVar[str] = "trunk"
    module: nn.Module
    stages: tuple[nn.Module, ...]
    example: Mapping[str, Field]

    def build(self, inputs: InputSpec, width: int | None = None) -> TrunkEncoder:
        if width is not None:
            raise ConfigError("a trunk of your own serves one source; several sources need an encoder each")
        return TrunkEncoder(self.module, self.stages, self.example)


class TrunkEncoder(nn.Module):
    """Runs the whole trunk as `embed`, or its stages one by one if they were named.

    Raises ConfigError if the named stages, in that order, do not give what the trunk itself gives.
    """

    def __init__(self, trunk: nn.Module, stages: Sequence[nn.Module], example: Mapping[str, Field]) -> None:
        super().__init__()
        self.trunk = None if stages else trunk
        self.stages = nn.ModuleList(TensorStage(stage) for stage in stages)
        training = trunk.training
        trunk.eval()
        with torch.no_grad(), untouched():
            self.shapes: Sequence[Shape] = self._shapes(trunk, example)
        trunk.train(training)

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        values = as_input(fields)
        if self.trunk is not None:
            return as_signal(self.trunk(values))
        if isinstance(values, dict):
            raise ConfigError("stages of a trunk read one input; this source has several: " + ", ".join(values))
        return as_signal(values)

    def _shapes(self, trunk: nn.Module, example: Mapping[str, Field]) -> list[Shape]:
        signals = [self.embed(example)]
        for stage in self.stages:
            signals.append(stage(signals[-1]))
        if len(self.stages):
            whole = trunk(as_input(example))
            last = signals[-1].values
            if whole.shape != last.shape or not torch.allclose(whole, last, rtol=1e-4, atol=1e-5):
                raise ConfigError(
                    "stages: run one after the other, they must give what the trunk gives; "
                    f"the trunk gives {tuple(whole.shape)}, the stages {tuple(last.shape)}. Begin with the trunk's stem and leave nothing out"
                )
        finest = signals[0].values.shape[-1]
        return [Shape.of(one, max(1, finest // one.values.shape[-1]) if one.layout == "map" else 1) for one in signals]
