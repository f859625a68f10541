"""Every way of sharing is its paper's formula, written out slowly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cotrain.core.signals import Signal
from cotrain.sharing.adapters import Adapters
from cotrain.sharing.branched import Branched
from cotrain.sharing.cascade import Cascade
from cotrain.sharing.cgc import CGC
from cotrain.sharing.conformance import BACKBONES, TASKS, Case, answered, last_values
from cotrain.sharing.cross_stitch import CrossStitch
from cotrain.sharing.dselect_k import DSelectK
from cotrain.sharing.feature_selection import FeatureSelection
from cotrain.sharing.film import FiLM
from cotrain.sharing.hard import Hard
from cotrain.sharing.lora import LoRA
from cotrain.sharing.mmoe import MMoE
from cotrain.sharing.mtan import MTAN
from cotrain.sharing.ple import PLE
from cotrain.sharing.soft_l2 import SoftL2
from cotrain.sharing.task_relation import TaskRelation

backbones = pytest.mark.parametrize("backbone", BACKBONES)


def shaken(settings: Any, backbone: str) -> tuple[Any, Signal]:
    """A sharing in evaluation mode whose every parameter is drawn anew, so that no initial value hides a mistake."""
    sharing, signal = Case(settings, backbone).built()
    for parameter in sharing.parameters():
        nn.init.normal_(parameter, std=0.5)
    return sharing.eval(), signal


def one_of(stacked: nn.Module, copy: int, copies: int) -> Callable[[Signal], Signal]:
    """Copy number `copy` of a stacked stage, as a function of an ordinary signal: all copies are given it, one is kept."""

    def run(signal: Signal) -> Signal:
        values = torch.stack([signal.values] * copies)
        return signal.of(stacked(signal.of(values)).values[copy])

    return run


def by_rows(weights: Tensor, outputs: list[Tensor]) -> Tensor:
    """sum_e weights[b, e] outputs[e][b], row by row."""
    rows = [sum(w * out[b] for w, out in zip(row, outputs, strict=True)) for b, row in enumerate(weights)]
    return torch.stack(rows)  # type: ignore[arg-type]


def softmax_gate(gate: nn.Module, signal: Signal) -> Tensor:
    scores = (signal.pooled() @ gate.weight.T).exp()  # type: ignore[operator, union-attr]
    return scores / scores.sum(1, keepdim=True)


def channels(values: Tensor, signal: Signal) -> Tensor:
    """The values with their channels last."""
    return values.movedim(1, -1) if signal.layout == "map" else values


def back(values: Tensor, signal: Signal) -> Tensor:
    return values.movedim(-1, 1) if signal.layout == "map" else values


# --------------------------------------------------------------------------------------------------- each formula as a loop


def mmoe(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    outputs = []
    for expert in range(3):
        one = signal
        for stage in sharing.experts:
            one = one_of(stage, expert, 3)(one)
        outputs.append(one.values)
    return {task: by_rows(softmax_gate(sharing.gate(task), signal), outputs) for task in TASKS}


def experts_of(chain: nn.ModuleList, copies: int, signal: Signal, of: range | None = None) -> list[Tensor]:
    found = []
    for copy in of or range(copies):
        one = signal
        for stage in chain:
            one = one_of(stage, copy, copies)(one)
        found.append(one.values)
    return found


def ple(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    """Two shared experts and one own a task, level by level."""
    for stage in sharing.bottom:
        signal = stage(signal)
    inputs, shared = dict.fromkeys(TASKS, signal), signal
    for level in sharing.inner:
        count = len(TASKS) + 2
        own = {t: experts_of(level.experts, count, inputs[t], range(at, at + 1)) for at, t in enumerate(TASKS)}
        common = experts_of(level.experts, count, shared, range(len(TASKS), count))
        gates = {t: softmax_gate(level.gates["of_" + t.replace(".", "%2E")], inputs[t]) for t in TASKS}
        everything = [out for t in TASKS for out in own[t]] + common
        above = shared_like(common, shared)
        after = above.of(by_rows(softmax_gate(level.shared_gate, shared), everything))
        inputs = {t: above.of(by_rows(gates[t], own[t] + common)) for t in TASKS}
        shared = after
    return extraction(sharing.last, inputs, shared, own=1, common=2)


def shared_like(outputs: list[Tensor], signal: Signal) -> Signal:
    return signal.of(outputs[0])


def extraction(level: Any, inputs: dict[str, Signal], shared: Signal, own: int, common: int) -> dict[str, Tensor]:
    both = experts_of(level.shared_experts, common, shared)
    found = {}
    for task in TASKS:
        key = "of_" + task.replace(".", "%2E")
        outputs = experts_of(level.own_experts[key], own, inputs[task]) + both
        found[task] = by_rows(softmax_gate(level.gates[key], inputs[task]), outputs)
    return found


def cgc(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    return extraction(sharing.extraction, dict.fromkeys(TASKS, signal), signal, own=2, common=2)


def smooth(t: float) -> float:
    return 0.0 if t <= -0.5 else 1.0 if t >= 0.5 else -2 * t**3 + 1.5 * t + 0.5


def dselect(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    """Five experts in three bits, the highest first; a gate by row."""
    outputs = experts_of(sharing.experts, 5, signal)
    found = {}
    for task in TASKS:
        gate, rows = sharing.selector(task), []
        for x in signal.pooled():
            shares = torch.softmax(gate.share @ x + gate.share_bias, 0)
            z = (gate.code @ x + gate.code_bias).reshape(2, 3)
            weights = [0.0] * 5
            for i in range(2):
                for expert in range(5):
                    r = 1.0
                    for bit in range(3):
                        s = smooth(float(z[i, bit].detach()))
                        r *= s if (expert >> (2 - bit)) & 1 else 1 - s
                    weights[expert] += float(shares[i].detach()) * r
            rows.append(weights)
        found[task] = by_rows(torch.tensor(rows), outputs)
    return found


def cross_stitch(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    trunks = [signal] * 3
    for stage, unit in zip(sharing.trunks, sharing.stitches, strict=True):
        outputs = [one_of(stage, at, 3)(trunk) for at, trunk in enumerate(trunks)]
        mixed = []
        for k, task in enumerate(TASKS):
            moved = unit.moved["of_" + task.replace(".", "%2E")]
            total: Any = 0
            for j, out in enumerate(outputs):
                factor = (0.9 if j == k else 0.05) + moved[j]
                total = total + factor * channels(out.values, out)
            mixed.append(outputs[0].of(back(total, outputs[0])))
        trunks = mixed
    return {task: trunk.values for task, trunk in zip(TASKS, trunks, strict=True)}


def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


def linear(layer: Any, x: Tensor) -> Tensor:
    return x @ layer.linear.weight.T + layer.linear.bias


def mtan(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    found = {}
    for task in TASKS:
        shared, kept = signal, None
        for at, stage in enumerate(sharing.stages):
            shared = stage(shared)
            p = channels(shared.values, shared)
            mask, x = sharing.masks["of_" + task.replace(".", "%2E")][at], p
            if kept is not None:
                carry = sharing.carries[at - 1]
                before = norm(linear(carry.linear, channels(kept, shared)), carry.norm.norm).clamp_min(0)
                if shared.layout == "map":  # from 6 x 6 to 3 x 3 places: the largest of each four
                    b, h, w, d = before.shape
                    before = before.reshape(b, h // 2, 2, w // 2, 2, d).amax((2, 4))
                x = torch.cat([p, before], -1)
            hidden = norm(linear(mask.g, x), mask.g_norm.norm).clamp_min(0)
            a = 1 / (1 + (-norm(linear(mask.h, hidden), mask.h_norm.norm)).exp())
            kept = back(a * p, shared)
        assert kept is not None
        found[task] = kept
    return found


def film(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    found = {}
    for task in TASKS:
        one = signal
        for stage, scaling in zip(
            [*sharing.bottom, *sharing.stages], sharing.scalings["of_" + task.replace(".", "%2E")], strict=True
        ):
            one = stage(one)
            one = one.of(back(channels(one.values, one) * (1 + scaling.scale) + scaling.shift, one))
        found[task] = one.values
    return found


def adapters(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    found = {}
    for task in TASKS:
        one = signal
        for stage, adapter in zip(
            [*sharing.bottom, *sharing.stages], sharing.adapters["of_" + task.replace(".", "%2E")], strict=True
        ):
            one = stage(one)
            x = channels(one.values, one)
            one = one.of(back(x + linear(adapter.up, linear(adapter.down, x).clamp_min(0)), one))
        found[task] = one.values
    return found


def lora(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    """The stages with (4 / 2) B A written into their weights."""
    found = {}
    for task in TASKS:
        one = signal
        for stage, changes in zip(sharing.stages, sharing.changes["of_" + task.replace(".", "%2E")], strict=True):
            kept = {name: value.clone() for name, value in stage.state_dict().items()}
            with torch.no_grad():
                for name, parameter in stage.named_parameters():
                    if parameter.dim() > 1:
                        change = changes["of_" + name.replace(".", "%2E")]
                        parameter += 2.0 * (change.b @ change.a).reshape(parameter.shape)
            with torch.no_grad():
                one = stage(one)
            stage.load_state_dict(kept)
        found[task] = one.values
    return found


def selection(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    for stage in sharing.stages:
        signal = stage(signal)
    weights = {task: sharing.weights["of_" + task.replace(".", "%2E")] for task in TASKS}
    return {task: back(channels(signal.values, signal) * weight, signal) for task, weight in weights.items()}


def own_stages(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    """Shared stages, then those of each task."""
    for stage in getattr(sharing, "bottom", None) or getattr(sharing, "stages", ()):
        signal = stage(signal)
    found = {}
    for task in TASKS:
        one = signal
        for stage in sharing.own["of_" + task.replace(".", "%2E")]:
            one = stage(one)
        found[task] = one.values
    return found


def branched(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    first, second, *rest = sharing.branches
    trunk = first[0](signal)
    left, right = second[0](trunk), second[1](trunk)
    for level in rest:
        left, right = level[0](left), level[1](right)
    return {"zeta": left.values, "m.n": left.values, "alpha": right.values}


def told_predictions(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    """zeta is told nothing, alpha what zeta predicts, m.n what both do: U p + u at every step or place."""
    for stage in sharing.bottom:
        signal = stage(signal)
    found: dict[str, Tensor] = {}
    chances: dict[str, Tensor] = {}
    for task, told in (("zeta", ()), ("alpha", ("zeta",)), ("m.n", ("zeta", "alpha"))):
        values = signal.values
        for one in told:
            feed = sharing.answers["of_" + task.replace(".", "%2E")]["of_" + one].linear.linear
            row = chances[one] @ feed.weight.t() + feed.bias
            values = values + row.reshape(
                len(row), *{"vector": (-1,), "sequence": (1, -1), "map": (-1, 1, 1)}[signal.layout]
            )
        last = signal.of(values)
        for stage in sharing.own["of_" + task.replace(".", "%2E")]:
            last = stage(last)
        found[task], chances[task] = last.values, torch.tanh(last.pooled()[:, :2])
    return found


def cascade(sharing: Any, signal: Signal) -> dict[str, Tensor]:
    """zeta is told nothing, alpha about zeta, m.n about both; the maps' 3 x 3 places are each repeated twice."""
    for stage in sharing.bottom:
        signal = stage(signal)
    done: dict[str, Signal] = {}
    for task, told in (("zeta", ()), ("alpha", ("zeta",)), ("m.n", ("zeta", "alpha"))):
        values = signal.values
        for one in told:
            feed = sharing.feeds["of_" + task.replace(".", "%2E")]["of_" + one]
            x = channels(done[one].values, signal)
            x = x * done[one].mask[..., None] if signal.layout == "sequence" else x  # type: ignore[index]
            x = linear(feed.linear, x)
            x = x.repeat_interleave(2, 1).repeat_interleave(2, 2) if signal.layout == "map" else x
            values = values + back(x, signal)
        last = signal.of(values)
        for stage in sharing.own["of_" + task.replace(".", "%2E")]:
            last = stage(last)
        done[task] = last
    return {task: one.values for task, one in done.items()}


TREE = (((*TASKS,),), (("zeta", "m.n"), ("alpha",)))
FORMULAS: dict[str, tuple[Any, Callable[[Any, Signal], dict[str, Tensor]]]] = {
    "hard": (Hard(split=1), own_stages),
    "soft_l2": (SoftL2(), own_stages),
    "task_relation": (TaskRelation(), own_stages),
    "cross_stitch": (CrossStitch(), cross_stitch),
    "cross_stitch by stage": (CrossStitch(per="stage"), cross_stitch),
    "mmoe": (MMoE(experts=3, split=0), mmoe),
    "cgc": (CGC(shared=2, own=2, split=0), cgc),
    "ple": (PLE(shared=2, own=1), ple),
    "dselect_k": (DSelectK(experts=5, k=2, per_row=True, split=0), dselect),
    "adapters": (Adapters(width=4), adapters),
    "lora": (LoRA(rank=2, alpha=4.0), lora),
    "mtan": (MTAN(), mtan),
    "film": (FiLM(), film),
    "feature_selection": (FeatureSelection(), selection),
    "branched": (Branched(groups=TREE), branched),
    "cascade": (Cascade(feeds={"m.n": ("zeta", "alpha"), "alpha": ("zeta",)}), told_predictions),
    "cascade of features": (Cascade(feeds={"m.n": ("zeta", "alpha"), "alpha": ("zeta",)}, tell="features"), cascade),
}


@pytest.mark.parametrize("name", FORMULAS)
@backbones
def test_it_is_the_formula_of_its_paper(name: str, backbone: str) -> None:
    settings, formula = FORMULAS[name]
    sharing, signal = shaken(settings, backbone)
    found, expected = last_values(answered(sharing, signal)), formula(sharing, signal)
    for task in TASKS:
        torch.testing.assert_close(found[task], expected[task], rtol=2e-4, atol=2e-4)
