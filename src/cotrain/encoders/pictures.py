"""A picture as a map of standardised channels: what every encoder of pictures begins with.

Shapes: B rows, C channels, H x W places.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec, InputSpec


def only_picture(encoder: str, inputs: InputSpec) -> tuple[str, FieldSpec]:
    """(name, specification) of the one picture that an encoder of pictures reads.

    Raises ConfigError for any other input, for two pictures, and for a picture whose channels and size are not known.
    """
    others = [f"'{name}' ({spec.kind})" for name, spec in inputs.items() if spec.kind != "image"]
    if others:
        raise ConfigError(
            f"encoder '{encoder}' reads one picture and nothing else, but the inputs hold {', '.join(others)}; take them out "
            "(inputs: [photo]), or name several inputs, each with an encoder of its own, and a fusion"
        )
    if len(inputs) != 1:
        raise ConfigError(
            f"encoder '{encoder}' reads one picture, got {len(inputs)}: {', '.join(inputs) or 'no input'}; "
            "name the inputs, each with an encoder of its own, and a fusion"
        )
    ((name, spec),) = inputs.items()
    if len(spec.shape) != 3 or any(size < 1 for size in spec.shape):
        raise ConfigError(
            f"encoder '{encoder}': input '{name}' must tell its shape as (channels, height, width), got {spec.shape}"
        )
    return name, spec


class Picture(nn.Module):
    """(x - mean) / std a channel, x in 0 to 1 (uint8 is divided by 255): {input: Field} -> [B, C, H, W]; missing pictures are zeros.

    mean, std: of the specification; without them values stay in 0 to 1. A channel that never changes is centred only.
    The channels of a place lie side by side in memory (`channels_last`): a step of a
    convolutional net takes a sixth to a quarter less of a CPU's time so (`benchmarks/pictures.py`).

    >>> spec = FieldSpec("image", shape=(1, 1, 2), mean=(0.5,), std=(0.25,))
    >>> values = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2)
    >>> Picture("convnet", {"photo": spec})({"photo": Field.dense(values)}).flatten().tolist()
    [-2.0, 2.0]
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: str, inputs: InputSpec) -> None:
        super().__init__()
        self.input, spec = only_picture(encoder, inputs)
        self.channels, *size = spec.shape
        self.size: tuple[int, ...] = tuple(size)
        mean, std = spec.mean or (0.0,) * self.channels, spec.std or (1.0,) * self.channels
        if len(mean) != self.channels or len(std) != self.channels:
            raise ConfigError(
                f"encoder '{encoder}': input '{self.input}' has {self.channels} channels, but {len(mean)} means and {len(std)} "
                "standard deviations; give one a channel"
            )
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor([one or 1.0 for one in std]).reshape(-1, 1, 1))

    def forward(self, fields: Mapping[str, Field]) -> Tensor:
        field = fields[self.input]
        x = field.values.to(self.mean.dtype)
        x = (x / 255 if field.values.dtype == torch.uint8 else x).sub(self.mean).div(self.std)
        x = torch.where(field.present.reshape(-1, 1, 1, 1), x, x.new_zeros(()))
        return x.contiguous(memory_format=torch.channels_last)
