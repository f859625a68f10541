"""Gradient-boosted trees on the same encoded rows: the row that every table of tabular data must show.

scikit-learn's histogram gradient boosting with its own defaults: at most 500 rounds, stopped early on the validation split, and its default of
100 where there is none. Categories with at most 254 codes are given as categories, others as ordered numbers; missing numbers as missing, not as their filler. One model a task, or several:

    binary, multiclass, ordinal    a classifier; of ordered classes the chances are added up to cumulative ones
    conditional                    a classifier of the rows whose parents hold
    multilabel                     a classifier a label
    regression                     squared error, a model a column
    count                          Poisson deviance of the rate, rows weighted by their exposure
    positive                       Poisson deviance for tweedie (which scikit-learn does not have; it allows zeros as well),
                                   gamma deviance for gamma, squared error of logarithms for log_normal
    quantile                       pinball loss, a model a level, sorted where they cross
    box                            squared error, a model for each of cx, cy, w and h
    survival                       none: scikit-learn has no loss for censored times
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import UnsupportedError
from cotrain.core.fields import Batch, Field
from cotrain.core.spec import InputSpec, Task
from cotrain.losses.boxes import centre_of, output_of
from cotrain.losses.cumulative_link import outputs_of
from cotrain.losses.log_squared_error import log_squared_error
from cotrain.losses.ordered import unbased, unrisen
from cotrain.losses.pinball import anchor_of
from cotrain.losses.tweedie_deviance import gamma_deviance
from cotrain.tasks.ordinal import Ordinal, logits_of
from cotrain.tasks.quantile import Quantile
from cotrain.training.trees import Goal, Table, Trees

Array = NDArray[np.float64]
LEAST = 1e-7
"""Chances are kept this far from 0 and 1."""


def boosted_output(
    task: Task, train: Batch, valid: Batch | None, test: Batch, specs: InputSpec, seed: int, *, iterations: int = 500
) -> Tensor:
    """Outputs of boosted trees for the test rows, in the form the task's head gives them, so that the same metrics score both.

    Returns [N, outputs]. Raises UnsupportedError for kinds of tasks and of inputs that boosted trees have no form for.
    """
    form = FORMS.get(task.kind)
    if form is None:
        raise UnsupportedError(f"boosted trees have no form for tasks of kind '{task.kind}' (task '{task.name}')")
    tables = {"train": Table.of(train, specs), "test": Table.of(test, specs)}
    if valid is not None:
        tables["valid"] = Table.of(valid, specs)
    held = tables["train"].seen()
    tables = {split: one if held.all() else one.only(held) for split, one in tables.items()}
    return form(task, Trees(task.name, train, valid, tables, seed, iterations))


def _classes(task: Task, trees: Trees) -> Tensor:
    return torch.from_numpy(np.log(_chances(trees, task.outputs)))


def _binary(task: Task, trees: Trees) -> Tensor:
    chance = np.log(_chances(trees, 2))
    return torch.from_numpy(chance[:, 1] - chance[:, 0]).unsqueeze(1)


def _conditional(task: Task, trees: Trees) -> Tensor:
    chance = np.log(_chances(trees, 2, given=1))
    return torch.from_numpy(chance[:, 1] - chance[:, 0]).unsqueeze(1)


def _chances(trees: Trees, classes: int, place: int = 0, given: int | None = None) -> Array:
    """[N, classes] chances of a classifier of one column of class numbers, at least 1e-7; of the rows where the column `given` holds."""

    def goal(target: Field) -> Goal:
        one = Goal.column(target, place)
        holds = True if given is None else Goal.column(target, given).y > 0.5
        return Goal(one.y.astype(np.int64), one.held & holds)

    own = goal(trees.train.targets[trees.task])
    chance = np.full((len(trees.test), classes), LEAST)
    if len(np.unique(own.y[own.held])) < 2:  # a label that all training rows have, or none
        chance[:, own.y[own.held][:1]] = 1.0
        return chance
    model = trees.classifier(goal)
    chance[:, model.classes_] = np.clip(model.predict_proba(trees.test), LEAST, 1.0)
    return chance


def _labels(task: Task, trees: Trees) -> Tensor:
    chances = [np.log(_chances(trees, 2, place)) for place in range(task.outputs)]
    return torch.from_numpy(np.stack([one[:, 1] - one[:, 0] for one in chances], 1))


def _ordered(task: Task, trees: Trees) -> Tensor:
    chance = torch.from_numpy(_chances(trees, task.outputs + 1))
    return outputs_of(logits_of(chance / chance.sum(1, keepdim=True)), cast(Ordinal, task).codec.base)


def _numbers(task: Task, trees: Trees) -> Tensor:
    columns = [
        trees.regressor(lambda target, place=place: Goal.column(target, place)).predict(trees.test)  # type: ignore[misc]
        for place in range(task.outputs)
    ]
    return torch.from_numpy(np.stack(columns, 1))


def _box(task: Task, trees: Trees) -> Tensor:
    def side(place: int) -> Array:
        def goal(target: Field) -> Goal:
            return Goal(centre_of(target.values)[:, place].cpu().numpy(), target.held().cpu().numpy())

        return np.asarray(trees.regressor(goal).predict(trees.test))

    return output_of(torch.from_numpy(np.stack([side(place) for place in range(task.outputs)], 1)))


def _amounts(task: Task, trees: Trees) -> Tensor:
    """log(mu / base): of the rate y / base, whose rows weigh as their base does."""
    loss = {gamma_deviance: "gamma", log_squared_error: "squared_error"}.get(cast(Any, task.loss), "poisson")

    def goal(target: Field) -> Goal:
        values = target.filled().double().reshape(len(target.values), -1).cpu().numpy()
        held = target.held().reshape(len(values), -1).all(1).cpu().numpy()
        base = np.where(held, values[:, 1], 1.0) if values.shape[1] > 1 else np.ones(len(values))
        share = np.where(held, values[:, 0] / base, 1.0)
        return Goal(np.log(share) if loss == "squared_error" else share, held, base if np.ptp(base[held]) > 0 else None)

    found = trees.regressor(goal, loss).predict(trees.test)
    found = found if loss == "squared_error" else np.log(np.maximum(found, LEAST))
    return torch.from_numpy(found).unsqueeze(1)


def _levels(task: Task, trees: Trees) -> Tensor:
    codec = cast(Quantile, task).codec
    found = [trees.regressor(Goal.column, "quantile", level).predict(trees.test) for level in codec.levels]
    rising = torch.from_numpy(np.sort(np.stack(found, 1), 1))
    return unbased(unrisen(rising, anchor_of(codec.levels)), codec.base)


FORMS: Mapping[str, Callable[[Task, Trees], Tensor]] = {
    "binary": _binary,
    "conditional": _conditional,
    "multiclass": _classes,
    "multilabel": _labels,
    "ordinal": _ordered,
    "regression": _numbers,
    "count": _amounts,
    "positive": _amounts,
    "quantile": _levels,
    "box": _box,
}
"""{kind: the outputs of its models for the test rows}."""
