"""One table: every way of sharing x every backbone goes through the same checks, and through every kind of balancer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from cotrain.balance.cagrad import CAGrad
from cotrain.balance.engine import Engine
from cotrain.balance.graddrop import GradDrop
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.protocol import Balancer
from cotrain.balance.sum import Sum
from cotrain.balance.uncertainty import Uncertainty
from cotrain.balance.upgrad import UPGrad
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import ReadsAnswers
from cotrain.sharing import conformance
from cotrain.sharing.adapters import Adapters
from cotrain.sharing.apart import Apart
from cotrain.sharing.branched import Branched
from cotrain.sharing.cascade import Cascade
from cotrain.sharing.cgc import CGC
from cotrain.sharing.conformance import (
    BACKBONES,
    CHECKS,
    Case,
    NonconformingError,
    answered,
    check_sharing,
    last_values,
)
from cotrain.sharing.cross_stitch import CrossStitch
from cotrain.sharing.dselect_k import DSelectK
from cotrain.sharing.feature_selection import FeatureSelection
from cotrain.sharing.film import FiLM
from cotrain.sharing.gallery import SHARINGS
from cotrain.sharing.hard import Hard
from cotrain.sharing.lora import LoRA
from cotrain.sharing.mmoe import MMoE
from cotrain.sharing.mtan import MTAN
from cotrain.sharing.ple import PLE
from cotrain.sharing.soft_l2 import SoftL2
from cotrain.sharing.task_relation import TaskRelation

Make = Callable[[Sequence[str]], Any]


def halves(tasks: Sequence[str]) -> Any:
    """A tree that splits at the second stage."""
    middle = (len(tasks) + 1) // 2
    parts = [list(tasks[:middle]), list(tasks[middle:])]
    return [[list(tasks)], [part for part in parts if part]]


def chain(tasks: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Each task is told about the one before it; a single one about nothing."""
    return {task: (before,) for before, task in pairwise(tasks)} or {tasks[0]: ()}


SHARED: dict[str, Make] = {
    "none": lambda tasks: Apart(),
    "hard": lambda tasks: Hard(),
    "hard, split": lambda tasks: Hard(split=1),
    "soft_l2": lambda tasks: SoftL2(strength=0.1),
    "cross_stitch": lambda tasks: CrossStitch(),
    "cross_stitch, by stage": lambda tasks: CrossStitch(per="stage", split=-1, rate=10.0),
    "mmoe": lambda tasks: MMoE(experts=4),
    "mmoe, all stages": lambda tasks: MMoE(experts=3, split=0, gate_dropout=0.2),
    "cgc": lambda tasks: CGC(),
    "cgc, all stages": lambda tasks: CGC(shared=2, own=3, split=0),
    "ple": lambda tasks: PLE(shared=2, own=1),
    "ple, one level": lambda tasks: PLE(levels=1, gate_dropout=0.2),
    "dselect_k": lambda tasks: DSelectK(experts=4),
    "dselect_k, by row": lambda tasks: DSelectK(experts=5, k=3, per_row=True, entropy=0.1),
    "adapters": lambda tasks: Adapters(width=16),
    "adapters, frozen": lambda tasks: Adapters(width=16, freeze=True),
    "lora": lambda tasks: LoRA(rank=2),
    "lora, frozen": lambda tasks: LoRA(rank=2, freeze=True, split=1),
    "mtan": lambda tasks: MTAN(),
    "mtan, last stage": lambda tasks: MTAN(split=-1),
    "film": lambda tasks: FiLM(),
    "film, last stage": lambda tasks: FiLM(split=-1),
    "feature_selection": lambda tasks: FeatureSelection(strength=0.1),
    "branched": lambda tasks: Branched(groups=halves(tasks)),
    "task_relation": lambda tasks: TaskRelation(strength=0.1),
    "cascade": lambda tasks: Cascade(feeds=chain(tasks)),
    "cascade, detached": lambda tasks: Cascade(feeds=chain(tasks), split=0, detach=True),
    "cascade, features": lambda tasks: Cascade(feeds=chain(tasks), tell="features"),
    "cascade, both": lambda tasks: Cascade(feeds=chain(tasks), tell="both", split=0),
}
SMALLER = {"mtan": 0.5, "mtan, last stage": 0.5, "dselect_k, by row": 5 / 8}
"""Those whose features begin smaller than hard sharing's by the paper's own rule, and by what factor about."""

every = pytest.mark.parametrize("name", SHARED)
backbones = pytest.mark.parametrize("backbone", BACKBONES)


def test_the_table_holds_every_sharing_of_the_gallery() -> None:
    assert {type(make(["a", "b"])) for make in SHARED.values()} == set(SHARINGS.values())
    assert {cls.family for cls in SHARINGS.values()} == {"parameters", "features", "tasks"}  # type: ignore[attr-defined]
    assert all(cls.cost and cls.source and cls.apart in (True, False) for cls in SHARINGS.values())  # type: ignore[attr-defined]


@every
@backbones
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_every_sharing_does_what_each_must(name: str, backbone: str, check: Callable[[Case], None]) -> None:
    check(Case(SHARED[name](conformance.TASKS), backbone))


@every
@backbones
@pytest.mark.parametrize("count", [1, 8])
def test_one_task_and_eight_tasks_are_served(name: str, backbone: str, count: int) -> None:
    tasks = [f"t{at}" for at in range(count)]
    for check in (conformance.check_shapes, conformance.check_figures):
        check(Case(SHARED[name](tasks), backbone, tasks))


@every
@backbones
def test_features_begin_as_large_as_those_of_hard_sharing(name: str, backbone: str) -> None:
    ratios = []
    for seed in range(5):
        cases = [Case(one, backbone, seed=seed) for one in (SHARED[name](conformance.TASKS), Hard())]
        sizes = []
        for case in cases:
            sharing, signal = case.built()
            sharing.train("frozen" not in name)  # frozen stages are in evaluation mode, and are compared in it
            with torch.no_grad():
                values = torch.stack(list(last_values(answered(sharing, signal)).values()))
            sizes.append(float(values.square().mean().sqrt()))
        ratios.append(sizes[0] / sizes[1])
    expected = SMALLER.get(name, 1.0)
    ratio = sorted(ratios)[2]
    assert 0.55 * expected < ratio < 1.5 * expected


class Network(nn.Module):
    """A sharing with a linear head a task on pooled features, and squared errors."""

    def __init__(self, name: str, backbone: str) -> None:
        super().__init__()
        self.sharing, self.signal = Case(SHARED[name](conformance.TASKS), backbone).built()
        width = next(iter(self.sharing.shapes.values()))[-1].width
        self.heads = nn.ModuleList(nn.Linear(width, 1) for _ in conformance.TASKS)
        self.targets = torch.randn(len(conformance.TASKS), len(self.signal.values), 1)
        if isinstance(self.sharing, ReadsAnswers):
            self.sharing.meet(dict.fromkeys(conformance.TASKS, 1))

    def told(self, task: str, signals: Sequence[Signal]) -> Signal:
        """What the task's own head answers."""
        return Signal(self.heads[conformance.TASKS.index(task)](signals[-1].pooled()))

    def losses(self) -> dict[str, torch.Tensor]:
        found = (
            self.sharing(self.signal, self.told) if getattr(self.sharing, "reads", {}) else self.sharing(self.signal)
        )
        return {
            task: (head(found[task][-1].pooled()) - target).square().mean()
            for task, head, target in zip(conformance.TASKS, self.heads, self.targets, strict=True)
        }


BALANCERS: dict[str, tuple[Callable[[], Balancer], dict[str, Any]]] = {
    "a loss weigher": (Uncertainty, {}),
    "a gramian weigher, exact": (NashMTL, {"check": True}),
    "a gramian weigher at the features": (UPGrad, {"mode": "features"}),
    "a gramian weigher, weights kept": (CAGrad, {"every": 2}),
    "a combiner": (GradDrop, {"generator": torch.Generator().manual_seed(0)}),
}


@every
@pytest.mark.parametrize(
    ("kind", "backbone"), [(kind, one) for kind in BALANCERS for one in (BACKBONES if "exact" in kind else ["vector"])]
)
def test_every_kind_of_balancer_steps_through_every_sharing(name: str, backbone: str, kind: str) -> None:
    network = Network(name, backbone).double() if "exact" in kind else Network(name, backbone)
    if "exact" in kind:
        network.signal = Signal(network.signal.values.double(), network.signal.layout, network.signal.mask)
        network.targets = network.targets.double()
    make, settings = BALANCERS[kind]
    engine = Engine(balancer=make(), **settings)
    optimizer = torch.optim.Adam([one for one in network.parameters() if one.requires_grad], 0.01)
    first = 0.0
    for step in range(6):
        optimizer.zero_grad()
        losses = network.losses()
        if step == 2:
            losses.pop("alpha")  # no label in this batch
        report = engine.backward(losses, penalty=network.sharing.penalty())
        assert not report.skipped
        assert list(report.weights) == ([] if kind == "a combiner" else list(losses))
        if step == 0:
            first = sum(float(loss.detach()) for loss in losses.values())
        optimizer.step()
    assert sum(float(loss.detach()) for loss in network.losses().values()) < first


@every
def test_what_belongs_to_a_task_is_left_alone_by_a_balancer_of_gradients(name: str) -> None:
    """Parameters that one loss alone reaches get that loss's own gradient, whatever the weights of the shared part."""
    network = Network(name, "vector").eval()
    Engine(balancer=Sum()).backward(network.losses())
    plain = {key: one.grad.clone() for key, one in network.named_parameters() if one.grad is not None}
    network.zero_grad()
    weights = {"zeta": 0.0, "alpha": 1.0, "m.n": 2.0}
    Engine(balancer=NashMTL(), length="paper").backward(network.losses(), weights=weights)
    told = {before for others in getattr(network.sharing, "reads", {}).values() for before in others}
    owned = [
        f"heads.{at}.{one}"
        for at, task in enumerate(conformance.TASKS)
        if task not in told
        for one in ("weight", "bias")
    ]
    stems = ("gates.of_", "selectors.of_", "adapters.of_", "scalings.of_", "masks.of_", "changes.of_", "weights.of_")
    mine = [key for key in plain if key.startswith(tuple(f"sharing.{stem}" for stem in stems))]
    alone = [key for key in plain if key.startswith("sharing.own.")] if "cascade" not in name else []
    for key in owned + mine + alone:
        torch.testing.assert_close(dict(network.named_parameters())[key].grad, plain[key])


@pytest.mark.parametrize("name", ["hard", "mmoe", "cgc", "ple", "cross_stitch", "film"])
def test_conflict_is_seen_at_the_features(name: str) -> None:
    """Two tasks of one head and opposite targets: their gradients at the features point against each other."""
    network = Network(name, "vector")
    head = network.heads[0]
    found = network.sharing(network.signal)
    outputs = {task: head(found[task][-1].values) for task in ("zeta", "alpha")}
    losses = {"zeta": (outputs["zeta"] - 9).square().mean(), "alpha": (outputs["alpha"] + 9).square().mean()}
    gramian = Engine(balancer=NashMTL(), mode="features").probe(losses).gramian
    cosine = gramian[0, 1] / (gramian[0, 0] * gramian[1, 1]).sqrt()
    assert float(cosine) < (-0.1 if name in ("cgc", "cross_stitch", "film") else -0.5)


class Forgetful(nn.Module):
    """Answers one task only, and never trains `idle`."""

    def __init__(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> None:
        super().__init__()
        self.stages, self.idle = stages, nn.Parameter(torch.zeros(2))
        self.shapes = {task: list(shapes) for task in tasks}

    def forward(self, signal: Signal) -> dict[str, list[Signal]]:
        signals = [signal]
        for stage in self.stages:
            signals.append(stage(signals[-1]))
        return dict.fromkeys(self.shapes, signals)

    def penalty(self) -> None:
        return None

    def usage(self) -> dict[str, float]:
        return {}


class ForgetfulSettings:
    name = "forgetful"

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> nn.Module:
        return Forgetful(stages, shapes, tasks)


def test_a_users_own_sharing_is_told_what_it_fails() -> None:
    with pytest.raises(NonconformingError, match="no gradient ever reaches idle"):
        check_sharing(ForgetfulSettings())
