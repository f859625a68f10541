"""An ensemble inside one network (TabM, Gorishniy et al. 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import InputSpec
from cotrain.core.widths import layer_widths
from cotrain.encoders.categories import CategoryWidth, check_category_width
from cotrain.encoders.columns import Columns
from cotrain.encoders.layers import ACTIVATIONS, check_activation, check_count, check_share
from cotrain.encoders.linear_numbers import LINEAR, LinearNumbers
from cotrain.encoders.members import MemberLinear, MemberScaling, ensemble_stage
from cotrain.encoders.number_embedding import NumberEmbedding, check_embedding


@dataclass(frozen=True, kw_only=True)
class TabM:
    """M multilayer perceptrons that share their weights, each with its own scaling; the loss is the mean of the members', the answer their average.

        y_m = s_m * W (r_m * x_m) + b_m,  then activation and dropout: one stage a width

    members: M, 32 in the paper; the time of a step is about proportional to it. arch: `tabm` scales inputs and outputs of every layer for each member;
    `mini` scales the first layer's inputs only (the rest is plain layers that all members share). The first r begins at random signs, or
    from N(0, 1) where numbers are embedded, one draw a column and member (as in the authors' code); all other scalings at 1. Every member has its own last layer in each head.
    widths: hidden widths, one stage each (the authors' default is two or three layers of 512). dropout: after each activation, in [0, 1).
    activation: relu, gelu or silu. category_width: numbers a category becomes, or auto: by how many codes its column has (the authors use
    one-hot vectors). numbers: how numbers enter: linear (as they are), piecewise_linear (the paper's better choice) or periodic.

    Source: Y. Gorishniy, A. Kotelnikov, A. Babenko, TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling, ICLR 2025.
    """

    name: ClassVar[str] = "tabm"
    source: ClassVar[str] = "Y. Gorishniy, A. Kotelnikov, A. Babenko, TabM, ICLR 2025"
    members: int = 32
    widths: Sequence[int] = (256, 256)
    arch: Literal["tabm", "mini"] = "tabm"
    dropout: float = 0.1
    activation: Literal["relu", "gelu", "silu"] = "relu"
    category_width: CategoryWidth = "auto"
    numbers: NumberEmbedding = LINEAR

    def __post_init__(self) -> None:
        check_count("tabm.members", self.members)
        object.__setattr__(self, "widths", layer_widths("tabm.widths", self.widths))
        if not self.widths:
            raise ConfigError("tabm.widths must name at least one layer, got none; for example [256, 256]")
        if self.arch not in ("tabm", "mini"):
            raise ConfigError(f"tabm.arch must be tabm or mini, got {self.arch!r}")
        check_share("tabm.dropout", self.dropout)
        check_activation("tabm", self.activation)
        check_category_width("tabm", self.category_width)
        check_embedding("tabm", self.numbers)

    def build(self, inputs: InputSpec, width: int | None = None) -> TabMEncoder:
        return TabMEncoder(inputs, self, width)


class TabMEncoder(nn.Module):
    """`embed` gives one vector a row; the first stage makes M of it, [B, D] -> [M * B, D], and every later one keeps them."""

    def __init__(self, inputs: InputSpec, settings: TabM, width: int | None) -> None:
        super().__init__()
        self.columns = Columns("tabm", inputs, category_width=settings.category_width, numbers=settings.numbers)
        self.project = nn.Linear(self.columns.width, width) if width is not None else None
        sections = self.columns.widths if width is None else (1,) * width
        members, wide = settings.members, sum(sections)
        plain = isinstance(settings.numbers, LinearNumbers) or width is not None
        scaling = first_scaling(members, sections, signs=plain)
        stages: list[nn.Module] = []
        self.shapes: Sequence[Shape] = [Shape("vector", wide)]
        for place, after in enumerate(settings.widths):
            first = place == 0
            layers: list[nn.Module]
            if settings.arch == "tabm":
                layers = [MemberLinear(members, wide, after, r=scaling if first else None, first=first)]
            else:
                layers = [*([MemberScaling(scaling)] if first else []), nn.Linear(wide, after)]
            layers += [ACTIVATIONS[settings.activation](), nn.Dropout(settings.dropout)]
            stages.append(ensemble_stage(members, first, *layers))
            wide = after
            self.shapes.append(Shape("vector", wide, members=members))
        self.stages = nn.ModuleList(stages)

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        flat = self.columns(fields)
        return Signal(flat if self.project is None else self.project(flat))


def first_scaling(members: int, sections: Sequence[int], *, signs: bool) -> Tensor:
    """[M, sum of sections] of +-1, or from N(0, 1), one draw a member and section: the numbers of one column keep together."""
    shape = (members, len(sections))
    drawn = torch.randint(2, shape).float() * 2 - 1 if signs else torch.randn(shape)
    return drawn.repeat_interleave(torch.tensor(sections), 1)
