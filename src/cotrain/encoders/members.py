"""Layers of an ensemble inside one network: weights for all members, a scaling for each.

Shapes: M members, B rows, i inputs, o outputs, E copies where the layer is stacked. Rows of members lie one after the other: [M * B, i].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.signals import Signal
from cotrain.core.stacked import Stage, stack_layer


class MemberScaling(nn.Module):
    """x_m = r_m * x: every member sees its own scaling of the same rows, [B, i] -> [M * B, i]. r [M, i], or [E, M, i] for copies.

    r: the initial values, [M, i].
    """

    def __init__(self, r: Tensor, copies: int | None = None) -> None:
        super().__init__()
        self.start = r
        self.r = nn.Parameter(r.clone() if copies is None else r.repeat(copies, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x.unsqueeze(-3) * self.r.unsqueeze(-2)).flatten(-3, -2)

    def stacked(self, copies: int) -> MemberScaling:
        return MemberScaling(self.start, copies)


class MemberLinear(nn.Module):
    """y_m = s_m * W (r_m * x_m) + b_m: one W for all members, a scaling of inputs and outputs and a bias for each.

    `first`: the rows are the same for all members, [B, i] -> [M * B, o]; else each member's follow another, [M * B, i] -> [M * B, o].
    weight [o, i], r [M, i], s, b [M, o]; with a leading [E] for copies. Initial values: W and b as `nn.Linear`, one b for all members;
    s is 1; r is 1, or what is given.

    Two ways to the same numbers: scale the rows, M B (i + o) multiplications, or scale the weight, 2 M i o, and multiply in a batch. The
    cheaper is taken.

    Source: Y. Wen, D. Tran, J. Ba, BatchEnsemble, ICLR 2020, equation 5; Y. Gorishniy, A. Kotelnikov, A. Babenko, TabM, ICLR 2025,
    section 3.2 (all scalings but the first begin at 1).
    """

    def __init__(
        self,
        members: int,
        inputs: int,
        outputs: int,
        *,
        r: Tensor | None = None,
        first: bool = False,
        copies: int | None = None,
    ) -> None:
        super().__init__()
        self.members, self.inputs, self.outputs, self.first = members, inputs, outputs, first
        self.start = torch.ones(members, inputs) if r is None else r
        lead = () if copies is None else (copies,)
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(*lead, outputs, inputs).uniform_(-bound, bound))
        bias = torch.empty(*lead, 1, outputs).uniform_(-bound, bound)
        self.r = nn.Parameter(self.start.expand(*lead, members, inputs).clone())
        self.s = nn.Parameter(torch.ones(*lead, members, outputs))
        self.bias = nn.Parameter(bias.expand(*lead, members, outputs).clone())

    def stacked(self, copies: int) -> MemberLinear:
        return MemberLinear(self.members, self.inputs, self.outputs, r=self.start, first=self.first, copies=copies)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.shape[-2] if self.first else x.shape[-2] // self.members
        of_rows = rows * (self.inputs + self.outputs)
        if self.weight.dim() == 2 and of_rows > 2 * self.inputs * self.outputs:
            return self._scaled_weight(x, rows)
        return self._scaled_rows(x, rows)

    def _scaled_weight(self, x: Tensor, rows: int) -> Tensor:
        weight = self.weight.t() * self.r.unsqueeze(-1) * self.s.unsqueeze(-2)
        x = x.expand(self.members, *x.shape) if self.first else x.reshape(self.members, rows, self.inputs)
        return torch.baddbmm(self.bias.unsqueeze(-2), x, weight).reshape(-1, self.outputs)

    def _scaled_rows(self, x: Tensor, rows: int) -> Tensor:
        lead = x.shape[:-2]
        x = x.unsqueeze(-3) if self.first else x.reshape(*lead, self.members, rows, self.inputs)
        x = (x * self.r.unsqueeze(-2)).flatten(-3, -2)
        y = F.linear(x, self.weight) if self.weight.dim() == 2 else torch.bmm(x, self.weight.transpose(1, 2))
        y = y.reshape(*lead, self.members, rows, self.outputs)
        return torch.addcmul(self.bias.unsqueeze(-2), y, self.s.unsqueeze(-2)).flatten(-3, -2)


class MemberStage(nn.Module):
    """The stage at which an ensemble begins: Signal of B rows -> Signal of M * B, member by member."""

    def __init__(self, members: int, *layers: nn.Module) -> None:
        super().__init__()
        self.members = members
        self.layers = nn.Sequential(*layers)

    def forward(self, signal: Signal) -> Signal:
        return Signal(self.layers(signal.values), signal.layout, signal.mask, self.members)

    def stacked(self, copies: int) -> MemberStage:
        return MemberStage(self.members, *(stack_layer(layer, copies) for layer in self.layers))


def ensemble_stage(members: int, first: bool, *layers: nn.Module) -> nn.Module:
    """A stage of an ensemble: the one at which it begins, or a later one."""
    return MemberStage(members, *layers) if first else Stage(*layers)
