"""A training step of every encoder of tables, and of an ensemble inside one network beside as many networks.

First table: 64 columns (48 numbers with known quantiles, 16 categories of 10 codes), one yes/no target and one number, batch 512, the
encoders as their defaults have them but for what is named. A step is the losses, the backward pass and fused AdamW. Second table: the
hidden layers of TabM (16 members, 2 x 256, batch 256, 64 numbers, no dropout) forward and backward, beside 16 separate networks, the
same stacked in batched products, one network, and the layer written as its formula stands, s * (W (r * x)) + b on [B, M, D].

One process, one thread, all variants in turn in every round; figures are medians of the processor time over rounds, and the lowest.

    python benchmarks/encoders.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from cotrain.core.fields import Batch, Field
from cotrain.core.spec import EncoderSettings, FieldSpec
from cotrain.core.stacked import StackedLinear
from cotrain.encoders import MLP, FTTransformer, Periodic, PiecewiseLinear, ResNet, TabM
from cotrain.encoders.members import MemberLinear
from cotrain.model.compose import Model
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression
from cotrain.training.cost import cost

NUMBERS, CATEGORIES, CODES = 48, 16, 10

ENCODERS: dict[str, EncoderSettings] = {
    "mlp": MLP(),
    "mlp, piecewise_linear": MLP(numbers=PiecewiseLinear()),
    "mlp, periodic": MLP(numbers=Periodic()),
    "mlp, periodic lite": MLP(numbers=Periodic(lite=True)),
    "resnet": ResNet(),
    "tabm, 8 members": TabM(members=8),
    "tabm, 16 members": TabM(members=16),
    "tabm, 32 members": TabM(),
    "tabm mini, 32 members": TabM(arch="mini"),
    "tabm, 32 members, piecewise_linear": TabM(numbers=PiecewiseLinear()),
    "ft_transformer": FTTransformer(),
    "ft_transformer, piecewise_linear": FTTransformer(numbers=PiecewiseLinear()),
}


def rows(count: int) -> tuple[dict[str, FieldSpec], Batch]:
    """The specification and a batch."""
    draw = torch.Generator().manual_seed(0)
    known = tuple(torch.erfinv(torch.linspace(-0.99, 0.99, 65)).tolist())
    spec = {
        "numbers": FieldSpec("number", tuple(f"x{place}" for place in range(NUMBERS)), quantiles=(known,) * NUMBERS),
        "categories": FieldSpec(
            "category", tuple(f"c{place}" for place in range(CATEGORIES)), cardinalities=(CODES,) * CATEGORIES
        ),
    }
    numbers = torch.randn(count, NUMBERS, generator=draw)
    inputs = {
        "numbers": Field.dense(numbers),
        "categories": Field.dense(torch.randint(CODES, (count, CATEGORIES), generator=draw)),
    }
    targets = {"yes": Field.dense((numbers[:, :1] > 0).float()), "size": Field.dense(numbers[:, 1:2].square())}
    return spec, Batch(inputs, targets)


def step_of(model: Model, batch: Batch) -> Callable[[], object]:
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)

    def step() -> object:
        torch.stack(list(model.losses([batch]).values())).sum().backward()
        optimizer.step()
        return optimizer.zero_grad()

    return step


class Formula(nn.Module):
    """The layer of an ensemble as its formula stands: [B, M, i] -> [B, M, o]."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * inputs**-0.5)
        self.r, self.s = nn.Parameter(torch.ones(members, inputs)), nn.Parameter(torch.ones(members, outputs))
        self.bias = nn.Parameter(torch.zeros(members, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return ((x * self.r) @ self.weight.t()) * self.s + self.bias


def ensembles(
    members: int = 16, width: int = 256, batch: int = 256, columns: int = 64
) -> dict[str, Callable[[], object]]:
    """Ways to run that many networks of two hidden layers."""
    x = torch.randn(batch, columns)
    inside = nn.Sequential(
        MemberLinear(members, columns, width, first=True), nn.ReLU(), MemberLinear(members, width, width), nn.ReLU()
    )
    written = nn.Sequential(Formula(members, columns, width), nn.ReLU(), Formula(members, width, width), nn.ReLU())
    stacked = nn.Sequential(
        StackedLinear(members, columns, width), nn.ReLU(), StackedLinear(members, width, width), nn.ReLU()
    )
    apart = [
        nn.Sequential(nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()) for _ in range(members)
    ]
    return {
        "tabm": lambda: inside(x).square().mean().backward(),
        "tabm, as the formula stands": lambda: (
            written(x.unsqueeze(1).expand(-1, members, -1)).square().mean().backward()
        ),
        f"{members} networks, stacked": lambda: stacked(x.expand(members, -1, -1)).square().mean().backward(),
        f"{members} networks, one by one": lambda: [one(x).square().mean().backward() for one in apart],
        "one network": lambda: apart[0](x).square().mean().backward(),
    }


def measured(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """{variant: processor milliseconds of a run, a round each}, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            begin = time.process_time()
            run()
            if turn:
                times[name].append(1e3 * (time.process_time() - begin))
    return times


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=15)
    rounds = arguments.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec, batch = rows(512)
    models = {
        name: Model(encoder=settings, tasks=[Binary("yes"), Regression("size")]).build({"main": spec})
        for name, settings in ENCODERS.items()
    }
    times = measured({name: step_of(model, batch) for name, model in models.items()}, rounds)
    print("| encoder | parameters | MFLOP a row | step, ms | lowest |\n|---|---|---|---|---|")
    for name, model in models.items():
        facts = cost(model, batch)
        figures = f"{facts['parameters']:,.0f} | {facts['flops_per_row'] / 1e6:.2f} | {median(times[name]):.0f} | {min(times[name]):.0f}"
        print(f"| {name} | {figures} |")
    print("\n| 16 members, 2 x 256, batch 256 | ms | lowest |\n|---|---|---|")
    for name, found in measured(ensembles(), 2 * rounds).items():
        print(f"| {name} | {median(found):.1f} | {min(found):.1f} |")
    machine: dict[str, Any] = {"python": platform.python_version(), "torch": torch.__version__, "rounds": rounds}
    print("\n" + json.dumps(machine))


if __name__ == "__main__":
    main()
