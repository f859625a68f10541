"""The outside truth for the engine: a plain loop, one backward pass a task, on the very same graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from cotrain.balance.engine import Engine
from cotrain.balance.protocol import Combiner, Family, Need, Seen, Weigher
from cotrain.balance.report import Report


class InverseNorms(Weigher):
    """w_k = 1 / |g_k|: cheap, different for every task, sensitive to every entry of the diagonal."""

    name: ClassVar[str] = "inverse_norms"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "tests"
    needs: ClassVar[frozenset[Need]] = frozenset({"gramian"})

    def weigh(self, seen: Seen) -> Tensor:
        """[T]."""
        assert seen.gramian is not None
        return 1 / seen.gramian.diagonal().clamp_min(1e-300).sqrt()


class UnitWeights(InverseNorms):
    """w_k = 1, by way of the Gramian."""

    name: ClassVar[str] = "unit_weights"

    def weigh(self, seen: Seen) -> Tensor:
        """[T]."""
        return torch.ones_like(seen.losses)


class ByLayer(Weigher):
    """Weights [L, T] that differ in every layer."""

    name: ClassVar[str] = "by_layer"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "tests"
    needs: ClassVar[frozenset[Need]] = frozenset({"layer_gramians"})

    def weigh(self, seen: Seen) -> Tensor:
        """[L, T]."""
        assert seen.layer_gramians is not None
        layers, tasks, _ = seen.layer_gramians.shape
        return torch.linspace(0.5, 2.0, layers * tasks, dtype=torch.float64).reshape(layers, tasks)


class Largest(Combiner):
    """Elementwise the entry of largest size; counts on seeing every gradient."""

    name: ClassVar[str] = "largest"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "tests"
    at = "parameters"

    def combine(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """[N]."""
        return rows.gather(0, rows.abs().argmax(0, keepdim=True)).squeeze(0)


class LargestAtFeatures(Largest):
    """The same, at the features."""

    at = "features"


def rows_by_loop(losses: dict[str, Tensor], parameters: Iterable[Tensor]) -> list[list[Tensor | None]]:
    """For each task the gradient of each parameter, by one plain backward pass each; the graph stays."""
    listed = list(parameters)
    return [list(torch.autograd.grad(loss, listed, retain_graph=True, allow_unused=True)) for loss in losses.values()]


def plain_gramian(rows: list[list[Tensor | None]]) -> Tensor:
    """[T, T] float64."""
    answer = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for j, left in enumerate(rows):
        for k, right in enumerate(rows):
            for a, b in zip(left, right, strict=True):
                if a is not None and b is not None:
                    answer[j, k] += (a.double() * b.double()).sum()
    return answer


TASKS = ("one", "two", "three")


class Net(nn.Module):
    """Two layers and a head a task, float64."""

    def __init__(self, tasks: tuple[str, ...] = TASKS) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 5)).double()
        self.heads = nn.ModuleDict({task: nn.Linear(5, 1).double() for task in tasks})

    def losses(self, rows: int = 4) -> dict[str, Tensor]:
        """One squared error a task on a fresh batch."""
        h = self.trunk(torch.randn(rows, 6, dtype=torch.float64))
        return {task: head(h).sub(k).square().mean() for k, (task, head) in enumerate(self.heads.items())}

    def gradients(self) -> list[Tensor]:
        """Every `.grad`, zeros where there is none."""
        return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in self.parameters()]


@pytest.fixture
def net() -> Net:
    """A fresh network of three tasks."""
    return Net()


Agree = Callable[..., Report]


@pytest.fixture
def agree() -> Agree:
    """Run the engine on a graph and hold Gramian and every `.grad` against the plain loop."""

    def check(
        losses: dict[str, Tensor],
        parameters: Iterable[Tensor],
        *,
        shared: nn.Module | Iterable[Tensor] | None = None,
        tolerance: float = 1e-10,
        penalty: Tensor | None = None,
        before: dict[int, Tensor] | None = None,
        engine: Engine | None = None,
        **options: object,
    ) -> Report:
        everything = list(parameters)
        rows = rows_by_loop(losses, everything)
        extra: list[Tensor | None] = [None] * len(everything)
        if penalty is not None:
            extra = list(torch.autograd.grad(penalty, everything, retain_graph=True, allow_unused=True))
        shared = shared if shared is None or isinstance(shared, nn.Module) else list(shared)
        inside = shared.parameters() if isinstance(shared, nn.Module) else shared
        narrowed = None if inside is None else {id(parameter) for parameter in inside}
        common = [
            sum(row[place] is not None for row in rows) > 1 and (narrowed is None or id(parameter) in narrowed)
            for place, parameter in enumerate(everything)
        ]
        truth = plain_gramian([[g if keep else None for g, keep in zip(row, common, strict=True)] for row in rows])
        calls = {key: options.pop(key) for key in ("loss_scale", "rows", "weights") if key in options}
        engine = engine or Engine(None if narrowed is None else shared, InverseNorms(), **options)  # type: ignore[arg-type]
        report = engine.backward(losses, penalty=penalty, **calls)  # type: ignore[arg-type]
        assert report.gramian is not None
        scale = float(calls.get("loss_scale", 1.0))  # type: ignore[arg-type]
        torch.testing.assert_close(
            report.gramian * scale**2, truth, rtol=tolerance, atol=tolerance * float(truth.abs().max())
        )
        largest = max(float(g.abs().max()) for row in rows for g in row if g is not None)
        for place, parameter in enumerate(everything):
            expected: Tensor | None = extra[place]
            for index, name in enumerate(losses):
                gradient = rows[index][place]
                if gradient is None:
                    continue
                factor = report.weights[name] if common[place] else 1.0
                expected = gradient * factor if expected is None else expected + gradient * factor
            if before is not None and id(parameter) in before:
                expected = before[id(parameter)] if expected is None else expected + before[id(parameter)]
            if expected is None:
                assert parameter.grad is None or not bool(parameter.grad.any())
                continue
            assert parameter.grad is not None
            size = max(float(expected.abs().max()), largest)
            torch.testing.assert_close(
                parameter.grad, expected.to(parameter.dtype), rtol=tolerance, atol=tolerance * size
            )
        return report

    return check


@pytest.fixture
def unit_weights() -> type[UnitWeights]:
    """A gradient method whose weights are all one."""
    return UnitWeights


@pytest.fixture
def inverse_norms() -> type[InverseNorms]:
    """A gradient method whose weights are inverse norms."""
    return InverseNorms


@pytest.fixture
def by_layer() -> type[ByLayer]:
    """A method that weighs by layer."""
    return ByLayer


@pytest.fixture
def largest() -> type[Largest]:
    """A combiner at the parameters."""
    return Largest


@pytest.fixture
def largest_at_features() -> type[LargestAtFeatures]:
    """A combiner at the features."""
    return LargestAtFeatures


@pytest.fixture(name="rows_by_loop")
def rows_by_loop_fixture() -> Callable[..., list[list[Tensor | None]]]:
    """The plain loop itself."""
    return rows_by_loop
