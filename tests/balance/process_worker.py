"""One process of a group: runs every scenario on its part of the batch and holds it against the joined batch; not a test itself.

RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=29500 python process_worker.py results.json
"""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cotrain.balance.engine import Engine
from cotrain.balance.processes import sum_over_processes
from cotrain.balance.report import Report
from cotrain.balance.uncertainty import Uncertainty
from cotrain.core.errors import ConfigError, UnsupportedError

spec = importlib.util.spec_from_file_location("loops", Path(__file__).with_name("conftest.py"))
loops: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loops)

TASKS = ("one", "two", "three")


class Net(nn.Module):
    """A trunk and a head a task, float64, the same on every process."""

    def __init__(self, trunk: str = "mlp") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inputs = 12
        if trunk == "mlp":
            self.trunk: nn.Module = nn.Sequential(
                nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 10)
            )
        elif trunk == "narrow":
            self.trunk = nn.Sequential(nn.Linear(12, 2), nn.LayerNorm(2), nn.Linear(2, 10))
        else:
            self.trunk = nn.Sequential(
                nn.Unflatten(1, (3, 2, 2)),
                nn.Conv2d(3, 24, 2, padding=1),
                nn.GELU(),
                nn.Conv2d(24, 10, 3),
                nn.Flatten(),
            )
        self.trunk.double()
        self.heads = nn.ModuleDict({task: nn.Linear(10, 1).double() for task in TASKS})

    def sums(self, x: Tensor, labels: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum of squared errors over rows with a label, by task that has any."""
        h = self.trunk(x)
        found = {}
        for place, (task, head) in enumerate(self.heads.items()):
            if bool(labels[task].any()):
                found[task] = (head(h[labels[task]]) - place).square().sum()
        return found


class Group:
    """The joined batch, and this process's uneven part of it."""

    def __init__(self, net: Net, labels: Callable[[int, int], dict[str, Tensor]] | None = None) -> None:
        self.net, self.rank, self.size = net, dist.get_rank(), dist.get_world_size()
        generator = torch.Generator().manual_seed(1)
        counts = [3 + 2 * rank for rank in range(self.size)]
        self.x = torch.randn(sum(counts), net.inputs, dtype=torch.float64, generator=generator)
        starts = [sum(counts[:rank]) for rank in range(self.size + 1)]
        self.part = slice(starts[self.rank], starts[self.rank + 1])
        whole = [
            labels(rank, counts[rank])
            if labels
            else {task: torch.ones(counts[rank], dtype=torch.bool) for task in TASKS}
            for rank in range(self.size)
        ]
        self.labels = {task: torch.cat([part[task] for part in whole]) for task in TASKS}

    def losses(self) -> dict[str, Tensor]:
        """This process's losses, divided by the label counts of all."""
        mine = {task: self.labels[task][self.part] for task in TASKS}
        counts = sum_over_processes(torch.tensor([float(mine[task].sum()) for task in TASKS]))
        sums = self.net.sums(self.x[self.part], mine)
        return {task: loss / counts[TASKS.index(task)] for task, loss in sums.items()}

    def joined(self) -> dict[str, Tensor]:
        """The losses of one process that had everything."""
        sums = self.net.sums(self.x, self.labels)
        return {task: loss / self.labels[task].sum() for task, loss in sums.items()}

    def agree(
        self, report: Report, weights: Callable[[str, int], float], heads: str = "unit", penalty: bool = False
    ) -> None:
        """Hold every `.grad` on this process against the joined batch. weights: by task and parameter of the trunk."""
        losses = self.joined()
        rows = loops.rows_by_loop(losses, self.net.parameters())
        trunk = len(list(self.net.trunk.parameters()))
        if report.gramian is not None:
            truth = loops.plain_gramian([row[:trunk] for row in rows])
            torch.testing.assert_close(report.gramian, truth, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(report.losses, torch.stack(list(losses.values())).detach())
        assert report.tasks == tuple(losses)
        for place, parameter in enumerate(self.net.parameters()):
            expected = torch.zeros_like(parameter)
            reached = False
            for task, row in zip(losses, rows, strict=True):
                if row[place] is not None:
                    reached = True
                    shared = place < trunk or heads == "weighted"
                    expected += (weights(task, place) if shared else 1.0) * row[place]
            if penalty and place == 0:
                expected += torch.ones_like(parameter)
            if not reached:
                assert parameter.grad is None
                continue
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-9, atol=1e-12)

    def exact(self, **options: Any) -> Report:
        """An exact step, held against the joined batch."""
        engine = Engine(self.net.trunk, loops.InverseNorms(), tasks=TASKS, network=self.net, **options)
        report = engine.backward(self.losses())
        self.agree(report, lambda task, _: report.weights[task])
        return report


def uneven(rank: int, rows: int) -> dict[str, Tensor]:
    """Labels missing here and there, differently on every process."""
    place = torch.arange(rows)
    return {"one": place % 2 == 0, "two": place > rank, "three": torch.ones(rows, dtype=torch.bool)}


def absent(rank: int, rows: int) -> dict[str, Tensor]:
    """Task one only on the first process, task three on all but the first, task two everywhere."""
    every = torch.ones(rows, dtype=torch.bool)
    return {"one": every & (rank == 0), "two": every, "three": every & (rank != 0)}


def apart(rank: int, rows: int) -> dict[str, Tensor]:
    """Each process has one task only; nobody has the third where there are two processes."""
    return {task: torch.full((rows,), rank % 3 == place) for place, task in enumerate(TASKS)}


def idle(rank: int, rows: int) -> dict[str, Tensor]:
    """The last process has no label at all."""
    here = torch.full((rows,), rank != dist.get_world_size() - 1)
    return dict.fromkeys(TASKS, here)


def same_everywhere(values: list[float]) -> None:
    """Every process must hold the same numbers."""
    held: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(held, values)
    assert all(other == held[0] for other in held), held


def scenario_exact_by_gathering() -> None:
    report = Group(Net()).exact()
    same_everywhere(list(report.weights.values()))


def scenario_exact_by_rows() -> None:
    Group(Net("narrow")).exact()


def scenario_exact_convolutions() -> None:
    Group(Net("conv")).exact()


def scenario_exact_looped() -> None:
    Group(Net(), uneven).exact(chunk=1)


def scenario_uneven_labels() -> None:
    Group(Net(), uneven).exact()


def scenario_absent_tasks() -> None:
    Group(Net(), absent).exact()


def scenario_one_task_a_process() -> None:
    Group(Net(), apart).exact()


def scenario_an_idle_process() -> None:
    Group(Net(), idle).exact()


def scenario_names_found_on_the_way() -> None:
    group = Group(Net(), absent)
    engine = Engine(group.net.trunk, loops.InverseNorms(), network=group.net)
    report = engine.backward(group.losses())
    assert report.tasks == TASKS
    for _ in range(2):
        group.net.zero_grad()
        report = engine.backward(group.losses())
    assert report.tasks == TASKS
    group.agree(report, lambda task, _: report.weights[task])


def scenario_without_a_shared_argument() -> None:
    group = Group(Net(), absent)
    report = Engine(None, loops.InverseNorms(), tasks=TASKS, network=group.net).backward(group.losses())
    group.agree(report, lambda task, _: report.weights[task])


def scenario_weights_by_layer() -> None:
    group = Group(Net(), absent)
    report = Engine(group.net.trunk, loops.ByLayer(), tasks=TASKS, network=group.net, length="paper").backward(
        group.losses()
    )
    group.agree(report, lambda task, place: float(report.applied[place // 2, report.tasks.index(task)]))


def scenario_features() -> None:
    group = Group(Net(), uneven)
    engine = Engine(group.net.trunk, loops.InverseNorms(), mode="features", tasks=TASKS, network=group.net)
    report = engine.backward(group.losses())
    h = group.net.trunk(group.x)
    losses = group.joined()
    rows = []
    for task, head in group.net.heads.items():
        loss = (head(h[group.labels[task]]) - TASKS.index(task)).square().sum() / group.labels[task].sum()
        rows.append(torch.autograd.grad(loss, h, retain_graph=True)[0].flatten())
    z = torch.stack(rows)
    torch.testing.assert_close(report.gramian, z @ z.t())
    assert set(losses) == set(report.tasks)
    group.agree(Report(report.tasks, report.losses, None), lambda task, _: report.weights[task])


def scenario_features_that_differ_are_refused() -> None:
    group = Group(Net(), absent)
    engine = Engine(group.net.trunk, loops.InverseNorms(), mode="features", tasks=TASKS, network=group.net)
    losses = group.losses()
    if group.rank == 0:
        losses = {"one": losses["one"]}
    with pytest.raises(UnsupportedError, match="same features"):
        engine.backward(losses)


def scenario_a_loss_method_with_a_penalty() -> None:
    group = Group(Net(), absent)
    engine = Engine(group.net.trunk, Uncertainty(), tasks=TASKS, network=group.net)
    first = next(group.net.parameters())
    report = engine.backward(group.losses(), penalty=first.sum() / group.size)
    group.agree(report, lambda task, _: report.weights[task], heads="weighted", penalty=True)


def scenario_reused_weights() -> None:
    group = Group(Net(), uneven)
    engine = Engine(group.net.trunk, loops.InverseNorms(), tasks=TASKS, network=group.net, every=2)
    engine.backward(group.losses())
    group.net.zero_grad()
    report = engine.backward(group.losses())
    assert not report.refreshed
    group.agree(report, lambda task, _: report.weights[task])


def scenario_gradients_accumulate() -> None:
    group = Group(Net(), uneven)
    engine = Engine(group.net.trunk, loops.InverseNorms(), tasks=TASKS, network=group.net)
    engine.backward(group.losses())
    once = [p.grad.clone() for p in group.net.parameters()]
    engine.backward(group.losses())
    for parameter, before in zip(group.net.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * before)


def scenario_a_combiner() -> None:
    group = Group(Net(), absent)
    report = Engine(group.net.trunk, loops.Largest(), tasks=TASKS, network=group.net).backward(group.losses())
    trunk = list(group.net.trunk.parameters())
    rows = loops.rows_by_loop(group.joined(), trunk)
    for place, parameter in enumerate(trunk):
        stacked = torch.stack([row[place] for row in rows])
        chosen = stacked.gather(0, stacked.abs().argmax(0, keepdim=True)).squeeze(0)
        torch.testing.assert_close(parameter.grad, chosen)
    assert report.tasks == TASKS


def scenario_what_is_not_finite_on_one_process_is_left_out_on_all() -> None:
    group = Group(Net())
    engine = Engine(group.net.trunk, loops.InverseNorms(), tasks=TASKS, network=group.net)
    losses = group.losses()
    if group.rank == 1:
        losses["two"] = losses["two"] * float("nan")
        losses["one"] = (losses["one"] - losses["one"].detach()).sqrt() + losses["one"].detach()
    report = engine.backward(losses)
    assert set(report.skipped) == {"one", "two"}
    assert report.tasks == ("three",)
    same_everywhere([float(p.grad.sum()) for p in group.net.trunk.parameters()])
    report = engine.backward(group.losses(), penalty=group.x.new_tensor(float("nan") if group.rank == 0 else 0.0))
    assert report.step_skipped


def scenario_a_network_is_asked_for() -> None:
    group = Group(Net())
    with pytest.raises(ConfigError, match="network="):
        Engine(group.net.trunk, loops.InverseNorms()).backward(group.losses())


def main() -> None:
    """Run all scenarios; the first process writes what failed where."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    results: dict[str, str] = {}
    for name, scenario in list(globals().items()):
        if not name.startswith("scenario_"):
            continue
        try:
            scenario()
            mine = ""
        except Exception:  # noqa: BLE001  the test reads what went wrong
            mine = traceback.format_exc()
        held: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(held, mine)
        results[name.removeprefix("scenario_")] = "\n".join(text for text in held if text)
    if dist.get_rank() == 0:
        Path(sys.argv[1]).write_text(json.dumps(results))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
