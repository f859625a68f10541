"""Branched networks: tasks share a tree, splitting into smaller groups stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

from torch import Tensor, nn

from cotrain.core.errors import ConfigError, unknown
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.core.stacked import never_in_place_, replica
from cotrain.sharing.copies import first_copied

Group = tuple[str, ...]

AUTO = "auto"
"""The word for groups that are to be found before the training."""


@dataclass(frozen=True, kw_only=True)
class Branched:
    """h_k^l = f_G^l(h_k^(l-1)), with G the group of tasks that k belongs to at stage l: one copy of a stage a group.

    groups: for each stage, the first one first, a list of groups, each a list of tasks, that together name every task once. Where the list
    is shorter than the encoder's stages, its last entry holds to the end. Groups only split: tasks apart at one stage stay apart.
    [[[a, b, c]], [[a, b], [c]]] shares the first stage among all three and the others between a and b alone.
    In a config `auto` finds them: all tasks are trained together first, their gradients compared (`affinity:`), and those that help each other
    are a group; it costs a training more.
    split: the stage where the groups begin; all tasks share those before it (-1: all but the last). Without it 0 where groups are given, half of the
    stages (rounded down) where they are found: what early layers learn is of use to most tasks, the last ones are where they part.
    Copies begin as the stages stand, so that a pretrained trunk keeps what it knows; one group at every stage is hard sharing, groups
    of one everywhere are trunks of the tasks' own.

    Source: S. Vandenhende et al., Branched Multi-Task Networks: Deciding What Layers To Share, BMVC 2020; Y. Lu et al.,
    Fully-adaptive Feature Sharing in Multi-Task Networks, CVPR 2017. Here the tree is given, or two levels of it are found by comparing
    gradients in place of activations.

    >>> tree(((("a", "b"),), (("a",), ("b",))), 3, ["a", "b"])
    [(('a', 'b'),), (('a',), ('b',)), (('a',), ('b',))]
    """

    name: ClassVar[str] = "branched"
    family: ClassVar[str] = "tasks"
    cost: ClassVar[str] = "one copy of a stage for each of its groups"
    source: ClassVar[str] = "S. Vandenhende et al., Branched Multi-Task Networks, BMVC 2020"
    apart: ClassVar[bool] = False
    groups: Literal["auto"] | tuple[tuple[tuple[str, ...], ...], ...]
    split: int | None = None

    def __post_init__(self) -> None:
        if self.split is not None and (isinstance(self.split, bool) or not isinstance(self.split, int)):
            raise ConfigError(f"branched.split must be a whole number (-1: the last stage), got {self.split!r}")
        given = self.groups
        if isinstance(given, str):
            if given != AUTO:
                raise ConfigError("branched.groups: " + unknown("word", given, [AUTO]) + ", or the groups themselves")
            return
        fine = isinstance(given, list | tuple) and len(given) > 0
        for stage in given if fine else ():
            fine = fine and isinstance(stage, list | tuple) and len(stage) > 0
            for group in stage if fine else ():
                fine = fine and isinstance(group, list | tuple) and len(group) > 0
                fine = fine and all(isinstance(task, str) for task in group)
        if not fine:
            raise ConfigError(
                "branched.groups must be, for each stage, a list of groups of task names, such as [[[a, b]], [[a], [b]]]; "
                f"got {given!r}"
            )
        object.__setattr__(self, "groups", tuple(tuple(tuple(group) for group in stage) for stage in given))

    def build(self, stages: nn.ModuleList, shapes: Sequence[Shape], tasks: Sequence[str]) -> BranchedSharing:
        begin = first_copied("branched", self.split or 0, stages)
        if isinstance(self.groups, str):
            raise ConfigError(
                "branched.groups is 'auto', and nobody has found the groups: the recipe does before it builds the network (`cotrain train`, "
                "`cotrain.fit`); in Python of your own give them, such as [[['a', 'b'], ['c']]], for instance those of `cotrain affinity`"
            )
        levels = ((tuple(tasks),),) * begin + self.groups
        return BranchedSharing(stages, shapes, tasks, tree(levels, len(stages), tasks))


def tree(groups: Sequence[Sequence[Group]], stages: int, tasks: Sequence[str]) -> list[tuple[Group, ...]]:
    """The groups of every stage. Raises ConfigError unless they name every task once a stage, known ones only, and only ever split."""
    if len(groups) > stages:
        raise ConfigError(
            f"branched.groups has groups for {len(groups)} stages, but the encoder has {stages}; leave the last ones out"
        )
    levels = [tuple(level) for level in groups]
    levels += [levels[-1]] * (stages - len(levels))
    before: dict[str, Group] = dict.fromkeys(tasks, tuple(tasks))
    for at, level in enumerate(levels):
        named = [task for group in level for task in group]
        for task in named:
            if task not in tasks:
                raise ConfigError(f"branched.groups, stage {at}: " + unknown("task", task, list(tasks)))
        wrong = [task for task in tasks if named.count(task) != 1]
        if wrong:
            raise ConfigError(
                f"branched.groups, stage {at}: every task belongs to one group, but '{wrong[0]}' is named {named.count(wrong[0])} times"
            )
        for group in level:
            if len({before[task] for task in group}) > 1:
                raise ConfigError(
                    f"branched.groups, stage {at}: {', '.join(group)} are one group again after they were apart; a tree only splits"
                )
        before = {task: group for group in level for task in group}
    return levels


class BranchedSharing(nn.Module):
    """Runs each group's copy of a stage once, on the signal of the group it came from."""

    def __init__(
        self,
        stages: nn.ModuleList,
        shapes: Sequence[Shape],
        tasks: Sequence[str],
        levels: Sequence[tuple[Group, ...]],
    ) -> None:
        super().__init__()
        self.levels = list(levels)
        self.branches = nn.ModuleList(
            nn.ModuleList(replica(stage, alike=True) if at else never_in_place_(stage) for at in range(len(level)))
            for stage, level in zip(stages, levels, strict=True)
        )
        self.shapes: Mapping[str, Sequence[Shape]] = {task: list(shapes) for task in tasks}

    def forward(self, signal: Signal) -> TaskSignals:
        answer = {task: [signal] for task in self.shapes}
        for level, branches in zip(self.levels, self.branches, strict=True):
            for group, stage in zip(level, cast(nn.ModuleList, branches), strict=True):
                after = stage(answer[group[0]][-1])
                for task in group:
                    answer[task].append(after)
        return answer

    def penalty(self) -> Tensor | None:
        return None

    def usage(self) -> Mapping[str, float]:
        return {}
