"""A user's own network as an encoder.

`trunk` is any `nn.Module` from a tensor (or, with several inputs, a dict of tensors) to features: [B, D], [B, S, D] or [B, D, H, W].
`stages` name the modules inside it that, run one after the other, make up the trunk; they can then be shared stage by stage.
Pictures of a table reach it standardised by channel, as they do every encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.naming import slot, unslot
from cotrain.core.randomness import untouched
from cotrain.core.signals import Shape, Signal, as_signal
from cotrain.core.spec import InputSpec
from cotrain.core.stacked import Stage
from cotrain.encoders.pictures import Picture
from cotrain.model.precision import in_dtype_of


def as_input(fields: Mapping[str, Field]) -> Tensor | dict[str, Tensor]:
    """What the trunk is called with: the only input's values, or all of them by name. Raises ConfigError for ragged inputs."""
    ragged = [name for name, field in fields.items() if field.offsets is not None]
    if ragged:
        raise ConfigError(
            f"an own trunk reads one value a row, but input '{ragged[0]}' is ragged (it has offsets); pad it first, Field.padded() does"
        )
    values = {name: field.values for name, field in fields.items()}
    return next(iter(values.values())) if len(values) == 1 else values


class TensorStage(nn.Module):
    """A module on tensors as a stage on signals; the layout is that of the tensor it answers, and no mask is carried on."""

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
        return TrunkEncoder(self.module, self.stages, self.example, inputs)


class TrunkEncoder(nn.Module):
    """Runs the whole trunk as `embed`, or its stages one by one if they were named. The module itself is trained, not a copy.

    Raises ConfigError if the named stages, in that order, do not give what the trunk itself gives.
    """

    def __init__(
        self, trunk: nn.Module, stages: Sequence[nn.Module], example: Mapping[str, Field], inputs: InputSpec
    ) -> None:
        super().__init__()
        pictures = {name: spec for name, spec in inputs.items() if spec.kind == "image"}
        self.pictures = nn.ModuleDict({slot(name): Picture("trunk", {name: spec}) for name, spec in pictures.items()})
        self.trunk = None if stages else trunk
        self.stages = nn.ModuleList()
        self.shapes: Sequence[Shape] = []
        example = in_dtype_of(trunk, example)
        with torch.no_grad(), untouched(), evaluating(trunk, *stages):
            signals = [self.embed(example)]
            for stage in stages:
                signals.append(TensorStage(stage)(signals[-1]))
            if stages:
                _same(as_signal(trunk(as_input(self._seen(example)))), signals[-1])
        for stage, before, after in zip(stages, signals, signals[1:], strict=False):
            # a stage that keeps the layout can be copied in batched products where its layers are known
            self.stages.append(Stage(stage) if before.layout == after.layout else TensorStage(stage))
        size = next(iter(example.values())).values.shape
        self.shapes = [Shape.of(one, _stride(size, one)) for one in signals]

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        values = as_input(self._seen(fields))
        if self.trunk is not None:
            return as_signal(self.trunk(values))
        if isinstance(values, dict):
            raise ConfigError("stages of a trunk read one input; this source has several: " + ", ".join(values))
        return as_signal(values)

    def _seen(self, fields: Mapping[str, Field]) -> Mapping[str, Field]:
        """The fields with standardised pictures."""
        seen = {unslot(name): picture(fields) for name, picture in self.pictures.items()}
        return {name: replace(one, values=seen[name]) if name in seen else one for name, one in fields.items()}


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Modules in evaluation mode inside; each layer is back in its own mode afterwards, frozen ones included."""
    modes = [(layer, layer.training) for module in modules for layer in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode


def _same(whole: Signal, last: Signal) -> None:
    if whole.values.shape != last.values.shape or not torch.allclose(whole.values, last.values, rtol=1e-4, atol=1e-5):
        raise ConfigError(
            "stages: run one after the other, they must give what the trunk gives; the trunk gives "
            f"{tuple(whole.values.shape)}, the stages {tuple(last.values.shape)}"
            f"{', with other values' if whole.values.shape == last.values.shape else ''}. Begin with the trunk's stem and leave nothing out"
        )


def _stride(size: torch.Size, signal: Signal) -> int:
    """How much coarser a map is than the picture [B, C, H, W] it came from; 1 for everything else."""
    if signal.layout != "map" or len(size) != 4:
        return 1
    return max(1, round(size[-1] / signal.values.shape[-1]))
