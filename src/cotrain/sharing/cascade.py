"""Cascade: what one task predicts is told to another (Hashimoto et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, cast, get_args

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError, unknown
from cotrain.core.naming import slot
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.core.spec import Answer
from cotrain.sharing.copies import first_copied, per_task, run
from cotrain.sharing.pointwise import Pointwise, along_channels, fitted

Tell = Literal["predictions", "features", "both"]


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """h_k = f_k(z + sum_j (U_kj p_j + u_kj)), j over the tasks that k is told about: task k's own stages read what other tasks predict.

    z: the shared signal before stage `split`; f_k: task k's own copy of the stages from there on; p_j: what head j answers, as numbers:
    the chances of its classes where it has classes, its outputs otherwise (standardised numbers). U_kj has a column for each of them: a
    label's embedding, as wide as z and weighed by its chance, as in the paper.
    feeds: {task: the tasks it is told about}, without a circle; tasks not named are told nothing.
    tell: predictions; features, then p_j is h_j, what head j predicts from, with U_kj linear over channels, at every step or place (the
    nearest where sizes differ; from pooled features where layouts do); or both, as in the paper, each with a U of its own.
    split: the first stage that is copied (-1: only the last). detach: True keeps task k's loss out of the tasks it is told about, and out of
    their heads.
    Copies begin as the stages stand and U, u at 0: at the start tasks are told nothing, and the network is `hard` with this split. A task
    without labels in a batch is still told of.

    Differs from the paper: what is told is added, through a learnt map, where it concatenates.

    Source: K. Hashimoto et al., A Joint Many-Task Model: Growing a Neural Network for Multiple NLP Tasks, EMNLP 2017, section 2 (its
    weighted label embeddings between layers, as remembered); A. Søgaard, Y. Goldberg, Deep multi-task learning with low level tasks
    supervised at lower layers, ACL 2016.

    >>> order({"c": ("b",), "b": ("a",)}, ["c", "b", "a"])
    ['a', 'b', 'c']
    """

    name: ClassVar[str] = "cascade"
    family: ClassVar[str] = "tasks"
    cost: ClassVar[str] = "a copy a task of the stages from `split` on; a product over channels for each feed"
    source: ClassVar[str] = "K. Hashimoto et al., A Joint Many-Task Model, EMNLP 2017"
    apart: ClassVar[bool] = False
    feeds: Mapping[str, tuple[str, ...]]
    tell: Tell = "predictions"
    split: int = -1
    detach: bool = False

    def __post_init__(self) -> None:
        fine = isinstance(self.feeds, Mapping) and len(self.feeds) > 0
        for told in self.feeds.values() if fine else ():
            fine = fine and isinstance(told, list | tuple) and all(isinstance(one, str) for one in told)
        if not fine:
            raise ConfigError(
                f"cascade.feeds must say for a task which tasks it is told about, such as {{married: [income]}}; got {self.feeds!r}"
            )
        if self.tell not in get_args(Tell):
            raise ConfigError("cascade.tell: " + unknown("thing to tell", str(self.tell), get_args(Tell)))
        object.__setattr__(self, "feeds", {task: tuple(dict.fromkeys(told)) for task, told in self.feeds.items()})

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> CascadeSharing:
        begin = first_copied("cascade", self.split, stages)
        for task, told in self.feeds.items():
            for one in (task, *told):
                if one not in tasks:
                    raise ConfigError("cascade.feeds: " + unknown("task", one, list(tasks)))
        return CascadeSharing(stages, shapes, tasks, self, begin)


def order(feeds: Mapping[str, Sequence[str]], tasks: Sequence[str]) -> list[str]:
    """The tasks, each after those it is told about. Raises ConfigError for a circle."""
    done: list[str] = []
    left = list(tasks)
    while left:
        ready = [task for task in left if all(one in done for one in feeds.get(task, ()))]
        if not ready:
            raise ConfigError(f"cascade.feeds goes in a circle among {', '.join(left)}; leave out one of these feeds")
        done += ready
        left = [task for task in left if task not in ready]
    return done


class Feed(nn.Module):
    """U h + u, in the shape of the signal it is added to; 0 at the start."""

    def __init__(self, source: Shape, target: Shape) -> None:
        super().__init__()
        self.placewise = source.layout == target.layout
        self.linear = Pointwise(target.layout if self.placewise else "vector", source.width, target.width)
        for parameter in self.linear.parameters():
            nn.init.zeros_(parameter)

    def forward(self, told: Signal, signal: Signal) -> Tensor:
        if (
            told.members != signal.members
        ):  # an ensemble that begins in the task's own stages tells the mean of its members
            members = told.members // signal.members
            told = replace(
                told, values=told.values.reshape(members, -1, *told.values.shape[1:]).mean(0), members=signal.members
            )
        if not self.placewise:
            pooled = self.linear(told.pooled())
            return along_channels(pooled, signal)
        values = told.values
        if told.mask is not None:
            real = told.mask.unsqueeze(1 if told.layout == "map" else -1)
            values = torch.where(real, values, values.new_zeros(()))
        return fitted(self.linear(values), signal)


class CascadeSharing(nn.Module):
    """Shared stages once, then each task's own in the order of the feeds."""

    def __init__(
        self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str], settings: Cascade, begin: int
    ) -> None:
        super().__init__()
        self.told, self.detach = settings.feeds, settings.detach
        self.order = order(self.told, tasks)
        self.bottom = stages[:begin]
        self.own = per_task(stages[begin:], tasks)
        self.target = shapes[begin]
        self.feeds = self._fed(dict.fromkeys(tasks, shapes[-1]) if settings.tell != "predictions" else {})
        told = {task: one for task, one in self.told.items() if one}
        self.reads: Mapping[str, tuple[str, ...]] = told if settings.tell != "features" else {}
        self.answers = nn.ModuleDict()
        self.shapes: Mapping[str, Sequence[Shape]] = {task: list(shapes) for task in tasks}

    def _fed(self, sources: Mapping[str, Shape]) -> nn.ModuleDict:
        """{task: {told task: Feed}} from shapes of what is told; empty without any."""
        fed = {
            slot(task): nn.ModuleDict({slot(one): Feed(sources[one], self.target) for one in told})
            for task, told in self.told.items()
            if sources
        }
        return nn.ModuleDict(fed)

    def meet(self, outputs: Mapping[str, int]) -> None:
        """Make the U of predictions, for tasks that answer so many numbers."""
        self.answers = self._fed(
            {task: Shape("vector", width) for task, width in outputs.items()} if self.reads else {}
        )

    def forward(self, signal: Signal, answer: Answer | None = None) -> TaskSignals:
        shared = [signal, *run(self.bottom, signal)]
        found: dict[str, list[Signal]] = {}
        for task in self.order:
            read = shared[-1]
            for one in self.told.get(task, ()):
                told = [(self.feeds, found[one][-1])] if len(self.feeds) else []
                told += [(self.answers, answer(one, found[one]))] if answer is not None and self.reads else []
                for feeds, what in told:
                    what = what.of(what.values.detach()) if self.detach else what
                    read = read.of(read.values + self._feed(feeds, task, one)(what, shared[-1]))
            found[task] = [*shared, *run(cast(nn.ModuleList, self.own[slot(task)]), read)]
        return {task: found[task] for task in self.shapes}

    @staticmethod
    def _feed(feeds: nn.ModuleDict, task: str, one: str) -> Feed:
        return cast(Feed, cast(nn.ModuleDict, feeds[slot(task)])[slot(one)])

    def penalty(self) -> Tensor | None:
        return None

    def usage(self) -> Mapping[str, float]:
        """Per feed: |U|, 0 where a task is told nothing."""
        ways = {"told": self.answers, "told features": self.feeds}
        return {
            f"{what}/{task}<-{one}": float(self._feed(feeds, task, one).linear.linear.weight.detach().norm())
            for what, feeds in ways.items()
            if len(feeds)
            for task, told in self.told.items()
            for one in told
        }
