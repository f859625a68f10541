"""DSelect-k: each task reads at most k experts, chosen by a gate that is smooth all the way (Hazimeh et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.errors import ConfigError
from cotrain.core.naming import slot
from cotrain.core.readers import is_read
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.core.stacked import spread, stack
from cotrain.sharing.copies import first_copied, not_negative, run, whole_number
from cotrain.sharing.gates import mixtures, usage_of

TINY = 1e-6
"""Added inside the logarithm of the entropy, as in the authors' code."""


@dataclass(frozen=True, kw_only=True)
class DSelectK:
    """h_k = sum_e q_e f_e(z), with q = sum_i softmax(a)_i r(z_i), i = 1 .. k: k selectors a task, each of one expert in the end.

    r(z_i)_e = prod_j S(z_ij) if bit j of e is set, else 1 - S(z_ij): the binary code of an expert, made smooth.
    S(t): 0 below -gamma/2, 1 above gamma/2, -2 t^3 / gamma^3 + 3 t / (2 gamma) + 1/2 between. Once every S is 0 or 1, at most k weights
    differ from 0.
    experts: E. k: experts a task reads in the end (2, as the authors use most). gamma: width of the smooth part (1, theirs).
    per_row: False chooses once a task (the paper's static gate: a and z are parameters); True row by row (linear in pool(z)).
    entropy: factor of the penalty sum_i -sum_e r(z_i)_e log r(z_i)_e, which drives the codes to 0 and 1 (1e-6, the default of the
    authors' regulariser; larger decides sooner). Where E is no power of two, codes that stand for no expert are discouraged by adding
    sum_i 1 / (sum_e r(z_i)_e) - 1, which is 0 once they are unused.
    split: the stage at which experts begin (-1: only the last stage is copied). Initial values: z uniform in +-gamma/100, a in +-0.05,
    the authors'; so q begins near even, where E is no power of two with a sum below 1 (E over the next power of two).

    Differs from the authors' code: with per_row the penalties are means over rows where theirs are sums, and the last has its constant
    taken off.

    Source: H. Hazimeh et al., DSelect-k, NeurIPS 2021, section 3; initial values and penalties read in the authors' code
    (google-research, dselect_k_moe).

    >>> smooth_step(torch.tensor([-1.0, 0.0, 0.25, 1.0]), 1.0).tolist()
    [0.0, 0.5, 0.84375, 1.0]
    """

    name: ClassVar[str] = "dselect_k"
    family: ClassVar[str] = "parameters"
    cost: ClassVar[str] = "E copies of the stages from `split` on, in batched products"
    source: ClassVar[str] = "H. Hazimeh et al., DSelect-k, NeurIPS 2021"
    apart: ClassVar[bool] = False
    experts: int = 8
    k: int = 2
    gamma: float = 1.0
    entropy: float = 1e-6
    per_row: bool = False
    split: int = -1

    def __post_init__(self) -> None:
        whole_number("dselect_k.experts", self.experts, 2)
        whole_number("dselect_k.k", self.k)
        if self.k > self.experts:
            raise ConfigError(f"dselect_k.k must be at most experts, {self.experts}, got {self.k}")
        if not 0 < self.gamma < float("inf"):
            raise ConfigError(f"dselect_k.gamma must be a number above 0, got {self.gamma}")
        not_negative("dselect_k.entropy", self.entropy)

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> DSelectKSharing:
        return DSelectKSharing(stages, shapes, tasks, self, first_copied("dselect_k", self.split, stages))


def smooth_step(t: Tensor, gamma: float) -> Tensor:
    """S(t) of the class above, number by number."""
    inside = -2 / gamma**3 * t**3 + 3 / (2 * gamma) * t + 0.5
    return torch.where(t <= -gamma / 2, torch.zeros_like(t), torch.where(t >= gamma / 2, torch.ones_like(t), inside))


class Selector(nn.Module):
    """q for every row, [B, E] (one choice for all rows: [1, E]). n = ceil(log2 E) bits. codes [E, n]: which bits an expert has."""

    codes: Tensor

    def __init__(self, settings: DSelectK, width: int) -> None:
        super().__init__()
        self.k, self.gamma, self.per_row = settings.k, settings.gamma, settings.per_row
        bits = (settings.experts - 1).bit_length()
        inputs = width if settings.per_row else 0
        bound = settings.gamma / 100
        self.code = nn.Parameter(torch.empty(self.k * bits, inputs or 1).uniform_(-bound, bound))
        self.share = nn.Parameter(torch.empty(self.k, inputs or 1).uniform_(-0.05, 0.05))
        self.code_bias = nn.Parameter(torch.empty(self.k * bits).uniform_(-bound, bound)) if inputs else None
        self.share_bias = nn.Parameter(torch.empty(self.k).uniform_(-0.05, 0.05)) if inputs else None
        codes = [[bool(expert >> bit & 1) for bit in reversed(range(bits))] for expert in range(settings.experts)]
        self.register_buffer("codes", torch.tensor(codes), persistent=False)
        self.selected: Tensor | None = None
        """r(z_i)_e of the last forward, [B, k, E]."""
        self.last: Tensor | None = None
        """q of the last forward whose answers its task read, [B, E] or [1, E], without gradient."""

    def forward(self, pooled: Tensor) -> Tensor:
        x = pooled if self.per_row else pooled.new_ones(1, 1)
        code = F.linear(x, self.code, self.code_bias).reshape(len(x), self.k, 1, -1)
        step = smooth_step(code, self.gamma)
        self.selected = torch.where(self.codes, step, 1 - step).prod(-1)
        share = torch.softmax(F.linear(x, self.share, self.share_bias), -1)
        chosen = (share.unsqueeze(1) @ self.selected).squeeze(1)
        return chosen.expand(len(pooled), -1)

    def __getstate__(self) -> dict[str, Any]:
        """A copy of the module knows nothing of the last forward, whose graph cannot be copied."""
        return {**self.__dict__, "selected": None}

    def penalty(self, entropy: float) -> Tensor:
        """entropy x the mean entropy of the codes, and what discourages codes of no expert."""
        r = cast(Tensor, self.selected)
        total = -entropy * (r * (r + TINY).log()).sum((-2, -1)).mean()
        experts, bits = self.codes.shape
        return total if experts == 2**bits else total + (1 / r.sum(-1).clamp_min(TINY) - 1).sum(-1).mean()


class DSelectKSharing(nn.Module):
    """Shared stages, experts in one stacked product, and for each task a selector of its own that only its loss reaches."""

    def __init__(
        self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], settings: DSelectK, begin: int
    ) -> None:
        super().__init__()
        self.bottom = stages[:begin]
        self.experts = nn.ModuleList(stack(stage, settings.experts) for stage in stages[begin:])
        self.selectors = nn.ModuleDict({slot(task): Selector(settings, shapes[begin].width) for task in tasks})
        self.count, self.entropy = settings.experts, settings.entropy
        self.shapes: Mapping[str, Sequence[Shape]] = {task: [*shapes[: begin + 1], shapes[-1]] for task in tasks}

    def selector(self, task: str) -> Selector:
        """The selector of a task."""
        return cast(Selector, self.selectors[slot(task)])

    def forward(self, signal: Signal) -> TaskSignals:
        bottom = [signal, *run(self.bottom, signal)]
        signal = bottom[-1]
        pooled = signal.pooled()
        experts = run(self.experts, spread(signal, self.count, self.experts[0]))[-1]
        weights = {task: self.selector(task)(pooled) for task in self.shapes}
        for task, chosen in weights.items():
            if is_read(task):
                one = self.selector(task)
                one.last = (chosen if one.per_row else chosen[:1]).detach()
        found = mixtures(weights, experts.values)
        return {task: [*bottom, experts.of(values)] for task, values in found.items()}

    def penalty(self) -> Tensor | None:
        """Of the last forward, summed over tasks; None before it."""
        ready = [one for task in self.shapes if (one := self.selector(task)).selected is not None]
        return torch.stack([one.penalty(self.entropy) for one in ready]).sum() if ready else None

    def usage(self) -> Mapping[str, float]:
        """Per task: entropy of its mean weights over log E, each expert's share, and the mean number of experts with a weight of at least 0.01."""
        figures: dict[str, float] = {}
        for task in self.shapes:
            last = self.selector(task).last
            if last is not None:
                share = last / last.sum(-1, keepdim=True).clamp_min(TINY)
                figures |= usage_of({task: share})
                figures[f"experts_read/{task}"] = float((last >= 0.01).double().sum(-1).mean())
        return figures
