#!/usr/bin/env python3
"""What one balanced step costs over the joint step, beside TorchJD: time, extra memory, FLOPs and the least possible ones.

    python benchmarks/balance_step.py [--only mlp-64-8,conv-8] [--out results.jsonl] [--seconds 20] [--device cpu] [--scale 1]

One process, one thread, all variants interleaved in each round, in a fresh order each time; `null` is the joint step a second time, so that the spread of its
ratio to `joint` says what a difference is worth. Times are medians of ratios within a round, of CPU seconds on a CPU
(the machine may be shared) and of wall-clock seconds elsewhere. Extra memory is the peak of
bytes allocated during the step, the joint step's own peak taken off (the profiler's allocation events). Every variant's Gramian
or gradient is held against the plain loop first. A case whose line is already in --out is not run again.

TorchJD runs in the settings its documentation names: default, parallel_chunk_size=1, optimize_gramian_computation, both, and
autogram (a Gramian by its engine, then a weighted backward), all with Nash-MTL's stand-in, IMTL-G, as the rule: its own NashMTL
needs cvxpy's solver at every step and would only look worse.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cotrain.balance.engine import Engine
from cotrain.balance.nash_mtl import NashMTL

Step = Callable[[], Any]


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch norm around a short cut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.one, self.norm1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.two, self.norm2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.cut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.cut(x) + self.norm2(self.two(torch.relu(self.norm1(self.one(x))))))


class Branches(nn.Module):
    """PLE-like: a stem, four shared experts in one product, one expert and one gate a task."""

    def __init__(self, tasks: int, width: int = 512) -> None:
        super().__init__()
        self.stem = nn.Linear(width, width)
        self.shared = nn.Parameter(torch.randn(4, width, width) / width**0.5)
        self.own = nn.ModuleList([nn.Linear(width, width) for _ in range(tasks)])
        self.gates = nn.ModuleList([nn.Linear(width, 5) for _ in range(tasks)])

    def forward(self, x: Tensor) -> list[Tensor]:
        h = torch.relu(self.stem(x))
        common = torch.relu(torch.bmm(h.expand(4, *h.shape), self.shared))
        answer = []
        for own, gate in zip(self.own, self.gates, strict=True):
            experts = torch.cat([common, torch.relu(own(h))[None]])
            answer.append(torch.einsum("be,ebo->bo", torch.softmax(gate(h), 1), experts))
        return answer


class Case:
    """A network, a batch, and one squared error a task."""

    def __init__(self, net: str, batch: int, tasks: int, device: str, scale: int) -> None:
        torch.manual_seed(0)
        self.tasks = tasks
        self.width = width = 512 * scale
        if net == "mlp":
            layers: list[nn.Module] = []
            for _ in range(4):
                layers += [nn.Linear(width, width), nn.ReLU()]
            self.trunk: nn.Module = nn.Sequential(*layers)
            self.x = torch.randn(batch, width)
            out = width
        elif net == "conv":
            c = 32 * scale
            widths = [
                (c, c, 1),
                (c, c, 1),
                (c, 2 * c, 2),
                (2 * c, 2 * c, 1),
                (2 * c, 4 * c, 2),
                (4 * c, 4 * c, 1),
                (4 * c, 4 * c, 1),
            ]
            stem = [nn.Conv2d(3, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU()]
            self.trunk = nn.Sequential(
                *stem, *[Block(*shape) for shape in widths], nn.AdaptiveAvgPool2d(1), nn.Flatten()
            )
            self.x = torch.randn(batch, 3, 32, 32)
            out = 4 * c
        elif net == "transformer":
            out = 256 * scale
            layer = nn.TransformerEncoderLayer(out, 4, 4 * out, dropout=0.0, batch_first=True)
            self.trunk = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
            self.x = torch.randn(batch, 64, out)
        else:
            self.trunk, out, self.x = Branches(tasks, width), width, torch.randn(batch, width)
        self.heads = nn.ModuleList([nn.Linear(out, 1) for _ in range(tasks)])
        self.y = torch.randn(batch, tasks)
        self.trunk.to(device)
        self.heads.to(device)
        self.x, self.y = self.x.to(device), self.y.to(device)
        self.parameters = [*self.trunk.parameters(), *self.heads.parameters()]

    def features(self) -> Any:
        return self.trunk(self.x)

    def losses(self, features: Any) -> list[Tensor]:
        answer = []
        for k, head in enumerate(self.heads):
            h = features[k] if isinstance(features, list) else features
            h = h.mean(1) if h.dim() == 3 else h
            answer.append(F.mse_loss(head(h).squeeze(1), self.y[:, k]))
        return answer

    def named(self) -> dict[str, Tensor]:
        return {f"task{k}": loss for k, loss in enumerate(self.losses(self.features()))}

    def clear(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None
            parameter.__dict__.pop("jac", None)


def variants(case: Case) -> dict[str, Step]:
    """Every way to make the step, by name."""
    from torchjd.aggregation import IMTLG, IMTLGWeighting
    from torchjd.autogram import Engine as Autogram
    from torchjd.autojac import jac_to_grad, mtl_backward

    apart = copy.deepcopy(case)
    autogram = Autogram(apart.trunk, batch_dim=None)
    exact, features = Engine(case.trunk, NashMTL()), Engine(case.trunk, NashMTL(), mode="features")
    shared = list(case.trunk.parameters())

    def joint() -> None:
        torch.stack(case.losses(case.features())).sum().backward()

    def loop() -> None:
        losses = case.losses(case.features())
        rows = [torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True) for loss in losses]
        flat = torch.stack(
            [
                torch.cat(
                    [
                        torch.zeros_like(p).flatten() if g is None else g.flatten()
                        for p, g in zip(shared, row, strict=True)
                    ]
                )
                for row in rows
            ]
        )
        weights = NashMTL().weights(flat @ flat.t())
        combined = weights @ flat
        for parameter, piece in zip(shared, combined.split([p.numel() for p in shared]), strict=True):
            parameter.grad = piece.view_as(parameter)
        torch.autograd.backward(losses, inputs=list(case.heads.parameters()))

    def jac(chunk: int | None, optimise: bool) -> Step:
        def step() -> None:
            features = case.features()
            tensors = features if isinstance(features, list) else [features]
            losses = case.losses(features)
            mtl_backward(losses, features=tensors, parallel_chunk_size=chunk)
            jac_to_grad([p for p in shared if hasattr(p, "jac")], IMTLG(), optimize_gramian_computation=optimise)

        return step

    def gram() -> None:
        losses = torch.stack(apart.losses(apart.features()))
        weights = IMTLGWeighting()(autogram.compute_gramian(losses))
        losses.backward(weights)
        apart.clear()

    answer: dict[str, Step] = {
        "joint": joint,
        "null": joint,
        "exact": lambda: exact.backward(case.named()),
        "features": lambda: features.backward(case.named()),
        "loop": loop,
        "torchjd": jac(None, False),
        "torchjd chunk 1": jac(1, False),
        "torchjd optimised": jac(None, True),
        "torchjd optimised chunk 1": jac(1, True),
        "torchjd autogram": gram,
    }
    return answer


def peak(step: Step, device: str) -> int:
    """Largest number of bytes allocated at once during the step."""
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step()
    held = highest = 0
    for event in profile.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            held += event.nbytes()
            highest = max(highest, held)
    return highest


def agreement(case: Case) -> tuple[float, float]:
    """Relative errors of our Gramian and trunk gradient against the plain loop in float64 on the same network."""
    case.trunk.double(), case.heads.double()
    x, y = case.x, case.y
    case.x, case.y = x.double(), y.double()
    named, shared = case.named(), list(case.trunk.parameters())
    rows = [torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True) for loss in named.values()]
    common = [sum(row[p] is not None for row in rows) > 1 for p in range(len(shared))]
    flat = torch.stack(
        [
            torch.cat(
                [
                    torch.zeros_like(p).flatten() if g is None else g.flatten()
                    for p, g, c in zip(shared, row, common, strict=True)
                    if c
                ]
            )
            for row in rows
        ]
    )
    truth = flat @ flat.t()
    case.trunk.float(), case.heads.float()
    case.x, case.y = x, y
    case.clear()
    report = Engine(case.trunk, NashMTL()).backward(case.named())
    applied = torch.cat([p.grad.flatten() for p, c in zip(shared, common, strict=True) if c]).double()
    expected = report.applied.to(flat) @ flat
    case.clear()
    return float((report.gramian.to(truth) - truth).abs().max() / truth.abs().max()), float(
        (applied - expected).norm() / expected.norm()
    )


def run(name: str, net: str, batch: int, tasks: int, options: argparse.Namespace) -> dict[str, Any]:
    """One case: errors, medians of ratios, quartiles of the null, extra memory, FLOPs."""
    case = Case(net, batch, tasks, options.device, options.scale)
    gramian_error, gradient_error = agreement(case)
    steps = variants(case)
    if options.variants:
        steps = {key: step for key, step in steps.items() if key in ("joint", "null", *options.variants.split(","))}
    failed: dict[str, str] = {}
    for key, step in list(steps.items()):
        try:
            for _ in range(2):
                case.clear()
                step()
        except Exception as error:  # noqa: BLE001  a variant that cannot run is a result, not a reason to stop
            failed[key] = f"{type(error).__name__}: {str(error)[:120]}"
            del steps[key]
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    wait = torch.cuda.synchronize if options.device != "cpu" else (lambda: None)
    times: dict[str, list[float]] = {key: [] for key in steps}
    stop = time.perf_counter() + options.seconds
    rounds = 0
    while rounds < options.rounds or time.perf_counter() < stop:
        rounds += 1
        for key, step in random.sample(list(steps.items()), len(steps)):
            case.clear()
            wait()
            start = clock()
            step()
            wait()
            times[key].append(clock() - start)
        if rounds >= 400 or (rounds >= options.rounds and time.perf_counter() > stop):
            break
    ratios = {key: [t / j for t, j in zip(found, times["joint"], strict=True)] for key, found in times.items()}
    memory, flops = {}, {}
    for key, step in steps.items():
        case.clear()
        memory[key] = peak(step, options.device)
        case.clear()
        with FlopCounterMode(display=False) as counter:
            step()
        flops[key] = counter.get_total_flops()
    few = batch <= 512 and net in ("mlp", "ple")
    return {
        "case": name,
        "tasks": tasks,
        "batch": batch,
        "device": torch.cuda.get_device_name() if options.device != "cpu" else "cpu, one thread",
        "rounds": rounds,
        "joint_ms": round(1e3 * statistics.median(times["joint"]), 3),
        "ratio": {key: round(statistics.median(found), 3) for key, found in ratios.items()},
        "null_quartiles": [round(q, 3) for q in statistics.quantiles(ratios["null"], n=4)[::2]],
        "extra_mib": {key: round((found - memory["joint"]) / 2**20, 1) for key, found in memory.items()},
        "flops": {key: round(found / flops["joint"], 2) for key, found in flops.items()},
        "bound": round((tasks + 2) / 3 if few else (1 + 2 * tasks) / 3, 2),
        "error": {"gramian": gramian_error, "gradient": gradient_error},
        "failed": failed,
    }


CASES = {f"mlp-{batch}-{tasks}": ("mlp", batch, tasks) for batch in (64, 256) for tasks in (2, 8, 32)}
CASES |= {f"conv-{tasks}": ("conv", 64, tasks) for tasks in (2, 8)}
CASES |= {f"transformer-{tasks}": ("transformer", 32, tasks) for tasks in (2, 8)}
CASES |= {"ple-8": ("ple", 64, 8)}


def main() -> None:
    """Run the cases that are not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases, comma-separated: " + ", ".join(CASES))
    parser.add_argument("--variants", default="", help="variants beside joint and null, comma-separated")
    parser.add_argument("--out", default="", help="file that gets one JSON line a case")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=7, help="fewest rounds, whatever the seconds")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--scale", type=int, default=1, help="factor on all widths")
    parser.add_argument("--batch", type=int, default=1, help="factor on all batches")
    options = parser.parse_args()
    torch.set_num_threads(1)
    out = Path(options.out) if options.out else None
    done = {json.loads(line)["case"] for line in out.read_text().splitlines()} if out and out.exists() else set()
    for name, (net, batch, tasks) in CASES.items():
        if name in done or (options.only and name not in options.only.split(",")):
            continue
        result = run(name, net, batch * options.batch, tasks, options)
        print(json.dumps(result), flush=True)
        if out:
            with out.open("a") as file:
                file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
