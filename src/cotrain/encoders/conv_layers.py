"""Layers of convolutional nets by name: norms over channels, and how many channels a group of a group norm holds."""

from __future__ import annotations

from typing import Literal

from torch import nn

from cotrain.core.errors import ConfigError

MapNorm = Literal["batch", "group", "none"]


def check_norm(encoder: str, norm: str, *, none: bool) -> None:
    """Raises ConfigError unless the norm is batch, group or, where a net may go without, none."""
    known = ("batch", "group", "none") if none else ("batch", "group")
    if norm not in known:
        raise ConfigError(f"{encoder}.norm must be {', '.join(known[:-1])} or {known[-1]}, got {norm!r}")


def norm_of(norm: str, width: int) -> nn.Module:
    """The norm of a map of `width` channels."""
    if norm == "batch":
        return nn.BatchNorm2d(width)
    return nn.GroupNorm(width // group_size(width), width) if norm == "group" else nn.Identity()


def group_size(width: int) -> int:
    """How many channels a group holds: the divisor of the width that is nearest to 16, by ratio.

    Source: Y. Wu, K. He, Group Normalization, ECCV 2018, table 3, where 16 channels a group are among the best.

    >>> group_size(64), group_size(24), group_size(7)
    (16, 12, 7)
    """
    divisors = [one for one in range(1, width + 1) if width % one == 0]
    return min(divisors, key=lambda one: max(one / 16, 16 / one))


def convolution(before: int, after: int, kernel: int, *, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A convolution with an odd kernel that answers ceil(size / stride) places."""
    return nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=bias)
