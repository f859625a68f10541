"""Fusion: the vectors of several inputs of a row made one vector, where some of them may be missing.

Shapes: B rows, G inputs, D width of the shared space. v_g: an input's vector [B, D]; m_g: [B], 1 where the row has that input.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.errors import ConfigError, unknown
from cotrain.heads.pooling import Pool, check_pooling

FusionName = Literal["concat", "gate", "mean"]


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """How the inputs of a row become one vector z of the shared space. Every input g has a vector v_g = W_g x_g + b_g there.

    name: concat, z = sum_g (m_g v_g + (1 - m_g) u_g): one linear layer over the inputs side by side, with a learnt u_g in the place of a
    missing one; gate, z = sum_g a_g * tanh(v_g), where a_g = softmax_g of V_g [tanh v_1; ...; tanh v_G] + c_g over the inputs the row has,
    feature by feature; mean, z = sum_g m_g v_g / sum_g m_g. A row without any input gives gate and mean zeros.
    width: D. dropout: chance in [0, 1) that an input of a row is left out while training, as if it were missing; never all a row has.
    pool: what makes a vector of an input's last signal, as for heads (mean, max, attention, grid); auto: as its encoder asks of heads
    (text_conv the maximum), else the mean. cells: of the grid; a sequence, which lies on no plane, is then pooled as with auto.

    Differs from the paper: gates are a softmax over the inputs a row has, where it has a sigmoid for each; V and c begin at 0, so that
    training starts from the mean of what is there.

    Source: J. Arevalo, T. Solorio, M. Montes-y-Gómez, F. A. González, Gated Multimodal Units for Information Fusion, ICLR workshop 2017,
    section 3.1. Leaving inputs out: N. Neverova, C. Wolf, G. Taylor, F. Nebout, ModDrop: Adaptive Multi-Modal Gesture Recognition, IEEE
    TPAMI 2016, section 4.2.
    """

    name: FusionName = "concat"
    width: int = 128
    dropout: float = 0.0
    pool: Pool | Literal["auto"] = "auto"
    cells: int = 4

    def __post_init__(self) -> None:
        if self.name not in get_args(FusionName):
            raise ConfigError("fusion.name: " + unknown("fusion", str(self.name), get_args(FusionName)))
        if isinstance(self.width, bool) or not isinstance(self.width, int) or self.width < 1:
            raise ConfigError(f"fusion.width must be a whole number of at least 1, got {self.width!r}; for example 128")
        if not 0 <= self.dropout < 1:
            raise ConfigError(
                f"fusion.dropout must lie in [0, 1), got {self.dropout}; it is the chance of leaving an input out"
            )
        check_pooling("fusion", "mean" if self.pool == "auto" else self.pool, self.cells)

    def pool_of(self, encoder: object, layout: str) -> str:
        """How the last signal of this encoder's settings is pooled."""
        if self.pool == "auto" or (self.pool == "grid" and layout == "sequence"):
            return str(getattr(encoder, "head_pool", "mean"))
        return self.pool

    def build(self, inputs: int) -> Fusing:
        """The module for so many inputs."""
        made: dict[str, type[Fusing]] = {"concat": Concat, "gate": Gate, "mean": Mean}
        return made[self.name](inputs, self.width, self.dropout)


class Fusing(nn.Module, ABC):
    """`forward(vectors, held, places)`: [B, S, D] and [B, S] bool, or None where no row lacks any, of S of the G inputs -> [B, D].

    places: which of the G inputs these are. What stands where `held` is False reaches neither the output nor a gradient.
    """

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.inputs, self.width, self.dropout = inputs, width, dropout

    def forward(self, vectors: Tensor, held: Tensor | None, places: Sequence[int]) -> Tensor:
        if self.training and self.dropout and len(places) > 1:
            held = left_in(torch.ones_like(vectors[..., 0], dtype=torch.bool) if held is None else held, self.dropout)
        if held is not None:
            held = held.unsqueeze(-1)
            vectors = torch.where(held, vectors, vectors.new_zeros(()))
        return self.fused(vectors, held, places)

    @abstractmethod
    def fused(self, vectors: Tensor, held: Tensor | None, places: Sequence[int]) -> Tensor:
        """The same of vectors that are 0 where they are missing; held [B, S, 1]."""


def left_in(held: Tensor, chance: float) -> Tensor:
    """[B, S] bool: of the inputs each row has (held), those that stay; each is left out with that chance, but never the last one.

    >>> _ = torch.manual_seed(0)
    >>> kept = left_in(torch.tensor([[True, True], [False, True]]).repeat(1000, 1), 0.5)
    >>> bool(kept.any(1).all()), bool(kept[1::2, 0].any()), 0.2 < float((kept[::2].sum(1) == 2).float().mean()) < 0.3
    (True, False, True)
    """
    draw = torch.where(held, torch.rand(held.shape, device=held.device), held.new_full((), -1, dtype=torch.float32))
    stay = draw >= chance
    luckiest = F.one_hot(draw.argmax(1), held.shape[1]).bool() & held
    return stay | (luckiest & ~stay.any(1, keepdim=True))


class Concat(Fusing):
    """z = sum_g (m_g v_g + (1 - m_g) u_g): what a linear layer over the inputs side by side gives; u_g begins at 0."""

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__(inputs, width, dropout)
        self.missing = nn.Parameter(torch.zeros(inputs, width))

    def fused(self, vectors: Tensor, held: Tensor | None, places: Sequence[int]) -> Tensor:
        total = vectors.sum(1)
        if held is None:
            return total
        missing = self.missing if len(places) == self.inputs else self.missing[list(places)]
        return total + (~held.squeeze(-1)).to(total.dtype) @ missing.to(total.dtype)


class Mean(Fusing):
    """z = sum_g m_g v_g / sum_g m_g, zeros for a row that has nothing."""

    def fused(self, vectors: Tensor, held: Tensor | None, places: Sequence[int]) -> Tensor:
        return vectors.mean(1) if held is None else vectors.sum(1) / held.sum(1).clamp_min(1)


class Gate(Fusing):
    """z = sum_g a_g * tanh(v_g), a = softmax over the inputs a row has; V is [G D, G D]."""

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__(inputs, width, dropout)
        self.weight = nn.Parameter(torch.zeros(inputs, width, inputs, width))
        self.bias = nn.Parameter(torch.zeros(inputs, width))

    def fused(self, vectors: Tensor, held: Tensor | None, places: Sequence[int]) -> Tensor:
        each = torch.tanh(vectors)
        shares = self.shares(each, held, places)
        return (shares * each).sum(1)

    def shares(self, each: Tensor, held: Tensor | None, places: Sequence[int]) -> Tensor:
        """[B, S, D]: a, which adds up to 1 over the inputs a row has and is 0 for those it has not."""
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if len(places) < self.inputs:
            weight, bias = weight[list(places)][:, :, list(places)], bias[list(places)]
        size = bias.numel()
        scores = F.linear(each.flatten(1), weight.reshape(size, size), bias.flatten()).view_as(each)
        if held is None:
            return scores.softmax(1)
        shares = torch.where(held, scores, torch.finfo(scores.dtype).min).softmax(1)
        return torch.where(held, shares, shares.new_zeros(()))
