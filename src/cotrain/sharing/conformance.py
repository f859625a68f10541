"""What every way of sharing must do, as checks that a user's own can be put through.

`check_sharing(settings)` raises `NonconformingError` at the first thing that does not hold, saying which. It runs on three small
backbones: a vector (linear layers), a map (strided convolutions with batch norm) and a sequence (self-attention over real steps).
No test framework is needed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.errors import CotrainError
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import ReadsAnswers, SharingSettings
from cotrain.core.stacked import Residual, Stage
from cotrain.core.together import one_pass

TASKS = ("zeta", "alpha", "m.n")
"""Not in alphabetical order, and one with a dot: names are names."""


ANSWERS = 2
"""So many numbers a row each task answers here, where others read them."""


class NonconformingError(CotrainError):
    """A way of sharing does not do what every one must."""


class Attention(nn.Module):
    """Self-attention over the real steps beside a short cut, [B, S, D]; of a kind that is not stacked."""

    def __init__(self, width: int, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.mix, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, signal: Signal) -> Signal:
        rows, steps, width = signal.values.shape
        parts = self.mix(signal.values).reshape(rows, steps, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mask = None if signal.mask is None else signal.mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return signal.of(signal.values + self.out(mixed.transpose(1, 2).reshape(rows, steps, width)))


@dataclass(frozen=True)
class Backbone:
    """Stages with their shapes, as an encoder would give them, and a signal for them."""

    stages: nn.ModuleList
    shapes: tuple[Shape, ...]
    signal: Signal


def vectors(rows: int = 12) -> Backbone:
    """Three linear layers: 5 -> 8 -> 8 -> 6."""
    widths = (5, 8, 8, 6)
    stages = nn.ModuleList(Stage(nn.Linear(i, o), nn.LayerNorm(o), nn.GELU()) for i, o in pairwise(widths))
    return Backbone(stages, tuple(Shape("vector", width) for width in widths), Signal(torch.randn(rows, 5)))


def maps(rows: int = 12) -> Backbone:
    """Two strided convolutions with batch norm, on pictures of 3 x 12 x 12."""
    stages = nn.ModuleList(Stage(nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.GELU()) for i, o in ((3, 8), (8, 6)))
    shapes = (Shape("map", 3), Shape("map", 8, 2), Shape("map", 6, 4))
    return Backbone(stages, shapes, Signal(torch.randn(rows, 3, 12, 12), "map"))


def sequences(rows: int = 12) -> Backbone:
    """A transformer layer in two stages, on up to seven steps of width 8."""
    feedforward = Stage(Residual(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)))
    mask = torch.arange(7) < torch.randint(3, 8, (rows, 1))
    return Backbone(
        nn.ModuleList([Attention(8), feedforward]), (Shape("sequence", 8),) * 3,
        Signal(torch.randn(rows, 7, 8), "sequence", mask),
    )  # fmt: skip


BACKBONES: dict[str, Callable[[], Backbone]] = {"vector": vectors, "map": maps, "sequence": sequences}


@dataclass(frozen=True)
class Case:
    """A sharing freshly built on a backbone; the same seed gives the same one."""

    settings: SharingSettings
    backbone: str
    tasks: Sequence[str] = TASKS
    seed: int = 0

    def built(self) -> tuple[Any, Signal]:
        torch.manual_seed(self.seed)
        backbone = BACKBONES[self.backbone]()
        signal = backbone.signal
        sharing = self.settings.build(backbone.stages, backbone.shapes, list(self.tasks))
        if isinstance(sharing, ReadsAnswers):
            sharing.meet(dict.fromkeys(self.tasks, ANSWERS))
        return sharing, signal

    def need(self, holds: bool, what: str) -> None:
        if not holds:
            raise NonconformingError(f"{self.settings!r} on a {self.backbone} for {len(self.tasks)} tasks: {what}")


def answered(sharing: Any, signal: Signal) -> Any:
    """What a sharing answers; where tasks read what others predict, a head answers the first channels of its pooled features."""
    if isinstance(sharing, ReadsAnswers) and sharing.reads:
        return cast(Any, sharing)(signal, first_channels)
    return sharing(signal)


def first_channels(task: str, signals: Sequence[Signal]) -> Signal:
    """The answer of a head without parameters: `ANSWERS` numbers a row."""
    return Signal(torch.tanh(signals[-1].pooled()[:, :ANSWERS]), members=signals[-1].members)


def last_values(answer: Any) -> dict[str, Tensor]:
    """{task: values of its last signal}."""
    return {task: cast(Tensor, signals[-1].values) for task, signals in answer.items()}


def objective(sharing: Any, signal: Signal, tasks: Sequence[str]) -> Tensor:
    """A sum of squares about a target of its own a task, penalty included."""
    return objective_of(last_values(answered(sharing, signal)), sharing, tasks)


def objective_of(found: dict[str, Tensor], sharing: Any, tasks: Sequence[str]) -> Tensor:
    """The same from answers that are there."""
    parts = [(found[task].mean(0) - float(at + 1)).square().mean() for at, task in enumerate(tasks)]
    penalty = sharing.penalty()
    return torch.stack(parts if penalty is None else [*parts, penalty]).sum()


def check_shapes(case: Case) -> None:
    """Every task gets the signals that `shapes` tells, with layouts, widths, strides and masks that fit; every row is there."""
    sharing, signal = case.built()
    found = answered(sharing, signal)
    case.need(list(found) == list(case.tasks), f"answers tasks {list(found)}, expected {list(case.tasks)}")
    for task in case.tasks:
        told, signals = list(sharing.shapes[task]), found[task]
        case.need(len(told) == len(signals), f"task '{task}' gets {len(signals)} signals, shapes tells {len(told)}")
        for shape, one in zip(told, signals, strict=True):
            seen = Shape.of(one, shape.stride)
            case.need(seen == shape, f"task '{task}' gets {seen}, shapes tells {shape}")
            case.need(one.values.shape[0] == len(signal.values), f"task '{task}' gets {one.values.shape[0]} rows")
            if shape.layout == "map":
                size = -(-signal.values.shape[-1] // shape.stride)
                case.need(one.values.shape[-1] == size, f"a stride of {shape.stride} and {one.values.shape[-1]} places")
            if signal.mask is not None:
                fits = one.mask is not None and one.mask.shape == one.values.shape[:2]
                case.need(fits, f"the mask of task '{task}' got lost or does not fit")


def check_learns(case: Case) -> None:
    """A few steps reach every parameter that can be trained, the objective falls, and all stays finite."""
    sharing, signal = case.built()
    trained = {name: one for name, one in sharing.named_parameters() if one.requires_grad}
    optimizer = torch.optim.Adam(trained.values(), 0.02)
    reached: set[str] = set()
    losses: list[float] = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = objective(sharing, signal, case.tasks)
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
        for name, one in trained.items():
            if one.grad is not None:
                case.need(bool(one.grad.isfinite().all()), f"the gradient of {name} is not finite")
                if bool(one.grad.any()):
                    reached.add(name)
        optimizer.step()
    case.need(losses[-1] < losses[0], f"the objective does not fall: {losses[0]:.4g} to {losses[-1]:.4g}")
    lost = sorted(set(trained) - reached)
    case.need(not lost, f"no gradient ever reaches {', '.join(lost)}")


def check_absent(case: Case) -> None:
    """A loss of one task alone leaves what belongs to the others without gradient, and changes nothing of their answers' shapes."""
    sharing, signal = case.built()
    kept = case.tasks[0]
    last_values(answered(sharing, signal))[kept].square().mean().backward()  # type: ignore[no-untyped-call]
    finite = all(bool(one.grad.isfinite().all()) for one in sharing.parameters() if one.grad is not None)
    case.need(finite, f"with the loss of '{kept}' alone a gradient is not finite")
    some = any(one.grad is not None and bool(one.grad.any()) for one in sharing.parameters())
    case.need(some, f"the loss of '{kept}' alone reaches no parameter")


def check_state(case: Case) -> None:
    """A state dict makes a freshly built sharing answer alike; so does a deep copy, even after a backward pass."""
    sharing, signal = case.built()
    optimizer = torch.optim.Adam([one for one in sharing.parameters() if one.requires_grad], 0.05)
    for _ in range(2):
        optimizer.zero_grad()
        objective(sharing, signal, case.tasks).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    twin = copy.deepcopy(sharing)
    fresh, _ = Case(case.settings, case.backbone, case.tasks, case.seed + 1).built()
    fresh.load_state_dict(sharing.state_dict())
    expected = last_values(answered(sharing.eval(), signal))
    for what, other in (("a state dict", fresh), ("a deep copy", twin)):
        found = last_values(answered(other.eval(), signal))
        same = all(torch.equal(found[task], expected[task]) for task in case.tasks)
        case.need(same, f"{what} does not answer alike")


def check_repeats(case: Case) -> None:
    """The same seed gives the same network; evaluation gives the same answer twice; a row does not depend on the rows beside it."""
    sharing, signal = case.built()
    other, _ = case.built()
    sharing.eval()
    other.eval()
    first, second, twin = (last_values(answered(one, signal)) for one in (sharing, sharing, other))
    case.need(all(torch.equal(first[t], second[t]) for t in case.tasks), "evaluation does not answer alike twice")
    case.need(all(torch.equal(first[t], twin[t]) for t in case.tasks), "the same seed does not give the same network")
    half = Signal(signal.values[:5], signal.layout, None if signal.mask is None else signal.mask[:5])
    part = last_values(answered(sharing, half))
    alone = all(torch.allclose(part[t], first[t][:5], rtol=1e-4, atol=1e-5) for t in case.tasks)
    case.need(alone, "a row's answer depends on the rows beside it in evaluation")


def check_figures(case: Case) -> None:
    """`usage` gives finite plain numbers, before and after a forward; `penalty` is None or a finite scalar of at least 0."""
    sharing, signal = case.built()
    for _ in range(2):
        usage = sharing.usage()
        plain = all(isinstance(key, str) and isinstance(value, float) for key, value in usage.items())
        case.need(plain, f"usage is {usage}")
        case.need(all(abs(value) < float("inf") for value in usage.values()), f"usage is {usage}")
        answered(sharing, signal)
        penalty = sharing.penalty()
        if penalty is not None:
            case.need(penalty.dim() == 0 and 0 <= float(penalty.detach()) < float("inf"), f"penalty is {penalty}")


def check_one_pass(case: Case) -> None:
    """Where all losses go back in one pass, answers and the gradient of their sum are those of tasks kept apart."""
    found: list[dict[str, Tensor]] = []
    for once in (False, True):
        sharing, signal = case.built()
        torch.manual_seed(case.seed)  # dropout draws alike
        with one_pass(once):
            answers = last_values(answered(sharing, signal))
            objective_of(answers, sharing, case.tasks).backward()  # type: ignore[no-untyped-call]
        gradients = {name: one.grad for name, one in sharing.named_parameters() if one.grad is not None}
        found.append({**{f"answer of '{task}'": one.detach() for task, one in answers.items()}, **gradients})
    apart, together = found
    case.need(list(apart) == list(together), "in one pass other parameters get a gradient")
    for name, one in apart.items():
        alike = torch.allclose(one, together[name], rtol=1e-4, atol=1e-5)
        case.need(alike, f"in one pass {name} is another than with the tasks apart")


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_shapes,
    check_learns,
    check_absent,
    check_state,
    check_repeats,
    check_figures,
    check_one_pass,
)


def check_sharing(settings: SharingSettings, tasks: Sequence[str] = TASKS) -> None:
    """Put a way of sharing through every check on every backbone. Raises NonconformingError at the first that fails.

    >>> from cotrain.sharing.hard import Hard
    >>> check_sharing(Hard())
    """
    for backbone in BACKBONES:
        for check in CHECKS:
            check(Case(settings, backbone, tasks))
