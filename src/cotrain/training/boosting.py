"""Gradient-boosted trees on the same encoded rows: the row that every table of tabular data must show.

scikit-learn's histogram gradient boosting with its own defaults, one model a task (one a column for several numbers): at most 500 rounds,
stopped early on the validation split, and its default of 100 where there is none. Numbers are fitted by squared error. Categories with at most 254 codes are given as categories, others as ordered numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import UnsupportedError
from cotrain.core.fields import Batch, Field
from cotrain.core.spec import InputSpec, Task

Array = NDArray[np.float64]
MOST_CODES = 254


@dataclass(frozen=True)
class Table:
    """Encoded rows as one matrix [N, C], and which of its columns are categories."""

    values: Array
    categorical: tuple[bool, ...]

    @staticmethod
    def of(batch: Batch, specs: InputSpec) -> Table:
        """Numbers, categories and weights of words of a batch side by side. Raises UnsupportedError for any other kind of input."""
        columns, categorical = [], []
        for name, field in batch.inputs.items():
            kind = specs[name].kind
            if kind not in ("number", "category", "bag"):
                raise UnsupportedError(
                    f"boosted trees read numbers, categories and bags of words; input '{name}' is of kind '{kind}'"
                )
            columns.append(field.values.cpu().numpy().astype(np.float64))
            sizes = specs[name].cardinalities if kind == "category" else ()
            categorical += [size <= MOST_CODES for size in sizes] or [False] * columns[-1].shape[1]
        return Table(np.concatenate(columns, 1), tuple(categorical))


def boosted_output(
    task: Task, train: Batch, valid: Batch | None, test: Batch, specs: InputSpec, seed: int, *, iterations: int = 500
) -> Tensor:
    """Outputs of boosted trees for the test rows, in the form the task's head gives them, so that the same metrics score both.

    Returns [N, outputs]: logits for classes, standardised numbers for regression. Raises UnsupportedError for other kinds of tasks.
    """
    if task.kind == "conditional":
        train, valid = conditioned(train, task.name), None if valid is None else conditioned(valid, task.name)
    tables = {"train": Table.of(train, specs), "test": Table.of(test, specs)}
    if valid is not None:
        tables["valid"] = Table.of(valid, specs)
    if task.kind in ("binary", "conditional", "multiclass"):
        return _classes(task, train, valid, tables, seed, iterations)
    if task.kind == "regression":
        return _numbers(task, train, valid, tables, seed, iterations)
    raise UnsupportedError(f"boosted trees have no form for tasks of kind '{task.kind}' (task '{task.name}')")


def conditioned(batch: Batch, name: str) -> Batch:
    """The rows with a conditional task's own labels, present where its parents hold."""
    target = batch.targets[name]
    own = replace(target, values=target.values[:, 0], present=target.present & (target.values[:, 1] > 0.5))
    return replace(batch, targets={**batch.targets, name: own})


def _classes(
    task: Task, train: Batch, valid: Batch | None, tables: Mapping[str, Table], seed: int, iterations: int
) -> Tensor:
    from sklearn.ensemble import HistGradientBoostingClassifier

    labels = train.targets[task.name].values.long().cpu().numpy()
    model = _fitted(HistGradientBoostingClassifier, task.name, labels, None, train, valid, tables, seed, iterations)
    chance = np.log(np.clip(model.predict_proba(tables["test"].values), 1e-7, 1.0))
    if task.kind != "multiclass":
        both = {int(label): chance[:, index] for index, label in enumerate(model.classes_)}
        floor = np.full(len(chance), np.log(1e-7))
        return torch.from_numpy(both.get(1, floor) - both.get(0, floor)).unsqueeze(1)
    logits = np.full((len(chance), task.outputs), np.log(1e-7))
    logits[:, model.classes_.astype(int)] = chance
    return torch.from_numpy(logits)


def _numbers(
    task: Task, train: Batch, valid: Batch | None, tables: Mapping[str, Table], seed: int, iterations: int
) -> Tensor:
    from sklearn.ensemble import HistGradientBoostingRegressor

    values = train.targets[task.name].values.reshape(len(train), -1).double().cpu().numpy()
    columns = [
        _fitted(
            HistGradientBoostingRegressor, task.name, values[:, one], one, train, valid, tables, seed, iterations
        ).predict(tables["test"].values)
        for one in range(values.shape[1])
    ]
    return torch.from_numpy(np.stack(columns, 1))


def _fitted(
    kind: Any,
    name: str,
    target: NDArray[Any],
    column: int | None,
    train: Batch,
    valid: Batch | None,
    tables: Mapping[str, Table],
    seed: int,
    iterations: int,
) -> Any:
    keep = _held(train.targets[name], column)
    settings: dict[str, Any] = {
        "max_iter": iterations,
        "random_state": seed,
        "categorical_features": list(tables["train"].categorical),
    }
    weight = _weight(train, name)
    weight = None if weight is None else weight[keep]
    extra: dict[str, Any] = {"sample_weight": weight}
    judges = np.zeros(0, dtype=bool)
    if valid is not None:
        judged = valid.targets[name].values.reshape(len(valid), -1)[:, column or 0].cpu().numpy()
        judges = _held(valid.targets[name], column)
        judges &= True if column is not None else np.isin(judged, target[keep])
        judging = _weight(valid, name)
        judges &= True if judging is None else judging > 0
    if valid is not None and judges.any():
        settings["early_stopping"] = True
        extra |= {"X_val": tables["valid"].values[judges], "y_val": judged[judges].astype(target.dtype)}
        if judging is not None and weight is not None:
            extra["sample_weight_val"] = judging[judges]
    else:
        settings["early_stopping"] = False
        settings["max_iter"] = 100
    return kind(**settings).fit(tables["train"].values[keep], target[keep], **extra)


def _weight(batch: Batch, name: str) -> Array | None:
    """[N] the rows' weights for this task: the batch's times the target's own, or None where there are none."""
    own = batch.targets[name].weight
    if batch.weight is None and own is None:
        return None
    found = torch.ones(len(batch)) if batch.weight is None else batch.weight
    return np.asarray((found if own is None else found * own).double().cpu().numpy())


def _held(target: Field, column: int | None) -> NDArray[np.bool_]:
    held = target.held()
    if held.dim() == 2:
        held = held[:, column or 0]
    out: NDArray[np.bool_] = held.cpu().numpy()
    return out
