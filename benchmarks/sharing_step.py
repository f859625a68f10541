"""What a step through each way of sharing costs, and whether stacked experts are faster than a list of them.

    python benchmarks/sharing_step.py [lists] [exact] [table] [--seconds 10] [--out results.jsonl]
    python benchmarks/sharing_step.py lists --tasks 20

lists: MMoE with 8 experts and PLE with 2 levels (2 shared experts, 2 of each task), 4 tasks, batch 256, at several widths, beside the same
formula with a Python list of experts (every expert an `nn.Sequential`, gates and mixing as public code has them: a stack of the outputs
and one einsum a task). Forward and backward of the summed losses; the stacked form once as training makes such a step, once with the
tasks' gradients kept apart. All are first checked to give the same outputs.
exact: an exact Gramian step (Nash-MTL) through them over their joint step, in time and in operations, beside the operations that the
parts two or more tasks reach ask for: (1 + 2 T) times their forward pass where explicit, 3 times for what one task owns.
table: every way of sharing on one trunk (20 -> 3 x 128, 4 tasks, batch 256): parameters, operations of a forward pass, the joint step
over hard sharing's, and the exact step over its own joint step.

One process, one thread, CPU seconds; variants interleaved in a fresh order each round, medians of ratios within a round; `null` is the
reference a second time.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cotrain.balance.engine import Engine
from cotrain.balance.nash_mtl import NashMTL
from cotrain.core.signals import Shape, Signal
from cotrain.core.stacked import Stage
from cotrain.core.together import one_pass
from cotrain.sharing.adapters import Adapters
from cotrain.sharing.apart import Apart
from cotrain.sharing.branched import Branched
from cotrain.sharing.cascade import Cascade
from cotrain.sharing.cgc import CGC
from cotrain.sharing.cross_stitch import CrossStitch
from cotrain.sharing.dselect_k import DSelectK
from cotrain.sharing.feature_selection import FeatureSelection
from cotrain.sharing.film import FiLM
from cotrain.sharing.hard import Hard
from cotrain.sharing.lora import LoRA
from cotrain.sharing.mmoe import MMoE, MMoESharing
from cotrain.sharing.mtan import MTAN
from cotrain.sharing.ple import PLE, PLESharing
from cotrain.sharing.soft_l2 import SoftL2
from cotrain.sharing.task_relation import TaskRelation

TASKS = ["a", "b", "c", "d"]
BATCH = 256
Step = Callable[[], Any]


# ------------------------------------------------------------------------------------- the same formulas, with lists of experts


def expert(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU())


class ListMMoE(nn.Module):
    """y_k = sum_e softmax(W_k x)_e f_e(x), expert by expert."""

    def __init__(self, inputs: int, width: int, experts: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList([expert(inputs, width) for _ in range(experts)])
        self.gates = nn.ModuleDict({task: nn.Linear(inputs, experts, bias=False) for task in TASKS})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        stacked = torch.stack([one(x) for one in self.experts])
        return {
            task: torch.einsum("be,ebd->bd", torch.softmax(gate(x), -1), stacked) for task, gate in self.gates.items()
        }

    def take(self, other: MMoESharing) -> None:
        """The weights of a stacked one."""
        with torch.no_grad():
            layer: Any = other.experts[0].layers[0]  # type: ignore[union-attr, index]
            for at, one in enumerate(self.experts):
                one[0].weight.copy_(layer.weight[at])  # type: ignore[index, operator]
                one[0].bias.copy_(layer.bias[at])  # type: ignore[index, operator]
            for task, gate in self.gates.items():
                gate.weight.copy_(other.gate(task).weight)  # type: ignore[operator]


class ListPLE(nn.Module):
    """Two extraction networks, expert by expert."""

    def __init__(self, inputs: int, width: int, shared: int, own: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        for wide in (inputs, width):
            gates = nn.ModuleDict({task: nn.Linear(wide, own + shared, bias=False) for task in TASKS})
            gates["shared"] = nn.Linear(wide, len(TASKS) * own + shared, bias=False)
            experts = nn.ModuleDict({task: nn.ModuleList([expert(wide, width) for _ in range(own)]) for task in TASKS})
            experts["shared"] = nn.ModuleList([expert(wide, width) for _ in range(shared)])
            self.levels.append(nn.ModuleDict({"experts": experts, "gates": gates}))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        inputs = dict.fromkeys((*TASKS, "shared"), x)
        for at, level in enumerate(self.levels):
            experts, gates = level["experts"], level["gates"]  # type: ignore[index]
            outputs = {name: [one(inputs[name]) for one in chain] for name, chain in experts.items()}
            after = {}
            for task in TASKS:
                stacked = torch.stack(outputs[task] + outputs["shared"])
                after[task] = torch.einsum("be,ebd->bd", torch.softmax(gates[task](inputs[task]), -1), stacked)
            if at == 0:
                stacked = torch.stack([one for chain in outputs.values() for one in chain])
                gate = torch.softmax(gates["shared"](inputs["shared"]), -1)
                after["shared"] = torch.einsum("be,ebd->bd", gate, stacked)
            inputs = after
        return inputs

    def take(self, other: PLESharing) -> None:
        """The weights of a stacked one."""
        inner: Any = other.inner[0]
        last: Any = other.last
        with torch.no_grad():
            flat = [one for chain in self.levels[0]["experts"].values() for one in chain]  # type: ignore[index]
            sources = [(inner.experts[0].layers[0], at) for at in range(len(flat))]
            for task in TASKS:
                chain = self.levels[1]["experts"][task]  # type: ignore[index]
                flat += list(chain)
                sources += [(last.own_experts[f"of_{task}"][0].layers[0], at) for at in range(len(chain))]
            chain = self.levels[1]["experts"]["shared"]  # type: ignore[index]
            flat += list(chain)
            sources += [(last.shared_experts[0].layers[0], at) for at in range(len(chain))]
            for one, (layer, at) in zip(flat, sources, strict=True):
                one[0].weight.copy_(layer.weight[at])
                one[0].bias.copy_(layer.bias[at])
            for level, gates in zip(self.levels, (inner.gates, last.gates), strict=True):
                for task in TASKS:
                    level["gates"][task].weight.copy_(gates[f"of_{task}"].weight)  # type: ignore[index]
            self.levels[0]["gates"]["shared"].weight.copy_(inner.shared_gate.weight)  # type: ignore[index]


# ------------------------------------------------------------------------------------------------------------------- measuring


def trunk(widths: Sequence[int]) -> tuple[nn.ModuleList, list[Shape]]:
    stages = [Stage(nn.Linear(i, o), nn.ReLU()) for i, o in pairwise(widths)]
    return nn.ModuleList(stages), [Shape("vector", width) for width in widths]


class Net(nn.Module):
    """A sharing, or one of the lists, with a linear head a task and squared errors."""

    def __init__(self, body: nn.Module, inputs: int, width: int) -> None:
        super().__init__()
        self.body = body
        self.heads = nn.ModuleDict({task: nn.Linear(width, 1) for task in TASKS})
        self.x, self.y = torch.randn(BATCH, inputs), torch.randn(len(TASKS), BATCH, 1)

    def features(self) -> dict[str, Tensor]:
        if isinstance(self.body, ListMMoE | ListPLE):
            return self.body(self.x)
        return {task: signals[-1].values for task, signals in self.body(Signal(self.x)).items()}

    def losses(self) -> dict[str, Tensor]:
        found = self.features()
        return {
            task: (self.heads[task](found[task]) - y).square().mean() for task, y in zip(TASKS, self.y, strict=True)
        }

    def joint(self) -> None:
        """A step of the summed losses, as training makes it."""
        with one_pass():
            self.apart()

    def apart(self) -> None:
        """The same with the tasks' gradients kept apart, as a balancer of gradients needs them."""
        self.zero_grad()
        losses = list(self.losses().values())
        penalty = getattr(self.body, "penalty", lambda: None)()
        torch.stack(losses if penalty is None else [*losses, penalty]).sum().backward()

    def exact(self) -> Step:
        engine = Engine(balancer=NashMTL())

        def step() -> None:
            self.zero_grad()
            losses = self.losses()
            engine.backward(losses, penalty=getattr(self.body, "penalty", lambda: None)())

        return step


def ratios(steps: dict[str, Step], reference: str, seconds: float) -> dict[str, Any]:
    """{name: median over rounds of its time over the reference's}, the null's quartiles, and milliseconds of the reference."""
    steps = {**steps, "null": steps[reference]}
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times[reference]) < 21:
        for name, step in random.sample(list(steps.items()), len(steps)):
            start = time.process_time()
            step()
            times[name].append(time.process_time() - start)
    over = {name: [t / r for t, r in zip(found, times[reference], strict=True)] for name, found in times.items()}
    return {
        "ratio": {name: round(statistics.median(found), 3) for name, found in over.items() if name != reference},
        "null_quartiles": [round(q, 3) for q in statistics.quantiles(over["null"], n=4)[::2]],
        "reference_ms": round(1e3 * statistics.median(times[reference]), 3),
        "rounds": len(times[reference]),
    }


def operations(step: Step) -> int:
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def lists(seconds: float) -> Iterator[dict[str, Any]]:
    for width in (64, 32, 128, 256):
        torch.manual_seed(0)
        stages, shapes = trunk([width, width])
        mmoe = MMoE(experts=8).build(stages, shapes, TASKS)
        plain = ListMMoE(width, width, 8)
        plain.take(mmoe)
        yield pair("mmoe, 8 experts", width, mmoe, plain, seconds / 8)
        stages, shapes = trunk([width, width, width])
        experts = 2 if len(TASKS) == 4 else 1
        ple = PLE(levels=2, shared=experts, own=experts).build(stages, shapes, TASKS)
        other = ListPLE(width, width, experts, experts)
        other.take(ple)
        yield pair("ple, 2 levels", width, ple, other, seconds / 8)


def pair(name: str, width: int, stacked: nn.Module, plain: nn.Module, seconds: float) -> dict[str, Any]:
    ours, theirs = Net(stacked, width, width), Net(plain, width, width)
    theirs.x = ours.x
    expected = theirs.features()
    for once in (False, True):
        with one_pass(once):
            mine = ours.features()
        for task, values in expected.items():
            torch.testing.assert_close(mine[task], values, rtol=1e-4, atol=1e-4)
    return {"part": "lists", "name": name, "width": width} | ratios(
        {"list": theirs.joint, "stacked": ours.joint, "stacked, tasks apart": ours.apart}, "list", seconds
    )


EXACT: dict[str, tuple[Any, Callable[[Any], list[nn.Module]]]] = {
    "hard": (Hard(), lambda s: []),
    "mmoe": (MMoE(experts=8), lambda s: list(s.gates.values())),
    "cgc": (CGC(shared=2, own=2), lambda s: [*s.extraction.own_experts.values(), *s.extraction.gates.values()]),
    "ple": (PLE(levels=2, shared=2, own=2), lambda s: [*s.last.own_experts.values(), *s.last.gates.values()]),
    "hard, split": (Hard(split=-1), lambda s: list(s.own.values())),
}


def exact(seconds: float) -> Iterator[dict[str, Any]]:
    for name, (settings, owned) in EXACT.items():
        for width in (64, 256):
            torch.manual_seed(0)
            stages, shapes = trunk([width] * 4)
            net = Net(settings.build(stages, shapes, TASKS), width, width)
            step = net.exact()
            measured = ratios({"joint": net.joint, "exact": step}, "joint", seconds / (2 * len(EXACT)))
            forward = operations(lambda net=net: net.losses())  # type: ignore[misc]
            mine = sum(
                2 * BATCH * one.numel() for part in owned(net.body) for one in part.parameters() if one.dim() > 1
            )
            mine += sum(
                2 * BATCH * one.numel() for head in net.heads.values() for one in head.parameters() if one.dim() > 1
            )
            explicit = 3 * mine + (1 + 2 * len(TASKS)) * (forward - mine)
            joint = operations(net.apart)
            counted = {"flops": round(operations(step) / joint, 2), "explicit": round(explicit / joint, 2)}
            yield {"part": "exact", "name": name, "width": width} | measured | counted


ALL: dict[str, Any] = {
    "hard": Hard(),
    "none": Apart(),
    "hard, split": Hard(split=-1),
    "soft_l2": SoftL2(),
    "cross_stitch": CrossStitch(),
    "mmoe": MMoE(),
    "cgc": CGC(),
    "ple": PLE(),
    "dselect_k": DSelectK(),
    "adapters": Adapters(),
    "lora": LoRA(),
    "mtan": MTAN(),
    "film": FiLM(),
    "feature_selection": FeatureSelection(),
    "branched": Branched(groups=((TASKS,), (TASKS[:2], TASKS[2:]))),
    "task_relation": TaskRelation(),
    "cascade": Cascade(feeds={"b": ("a",), "c": ("a", "b")}, tell="features"),  # predictions come from heads
}
"""With their own defaults. `none` is counted as one trunk here; the model makes one a task of it."""


def table(seconds: float) -> Iterator[dict[str, Any]]:
    nets = {}
    for name, settings in ALL.items():
        if name != "none":
            torch.manual_seed(0)
            stages, shapes = trunk([20, 128, 128, 128])
            nets[name] = Net(settings.build(stages, shapes, TASKS), 20, 128)
    joint = ratios({name: net.joint for name, net in nets.items()}, "hard", seconds / 2)
    for name, net in nets.items():
        own = ratios({"joint": net.joint, "exact": net.exact()}, "joint", seconds / 2 / len(nets))
        yield {
            "part": "table",
            "name": name,
            "parameters": sum(one.numel() for one in net.body.parameters()),
            "kflops_per_row": round(operations(lambda net=net: net.losses()) / BATCH / 1e3, 1),  # type: ignore[misc]
            "joint_over_hard": joint["ratio"].get(name, 1.0),
            "joint_ms": own["reference_ms"],
            "exact_over_joint": own["ratio"]["exact"],
            "null_quartiles": joint["null_quartiles"],
        }


PARTS = {"lists": lists, "exact": exact, "table": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which parts; all by default")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each part")
    parser.add_argument("--out", default="", help="file that gets one JSON line a result")
    parser.add_argument(
        "--tasks", type=int, default=4, help="for lists; with others than 4, PLE has 1 shared expert and 1 of each task"
    )
    options = parser.parse_args()
    if options.tasks != 4 and options.parts != ["lists"]:
        parser.error("--tasks is for lists alone: python benchmarks/sharing_step.py lists --tasks 20")
    TASKS[:] = [f"t{at}" for at in range(options.tasks)] if options.tasks != 4 else TASKS
    torch.set_num_threads(1)
    random.seed(0)
    for part in options.parts or list(PARTS):
        for result in PARTS[part](options.seconds):
            print(json.dumps(result), flush=True)
            if options.out:
                with Path(options.out).open("a") as file:
                    file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
