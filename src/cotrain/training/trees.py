"""scikit-learn's boosted trees fitted to one column of a task's target, on the encoded rows. N rows, C columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotrain.core.errors import UnsupportedError
from cotrain.core.fields import Batch, Field
from cotrain.core.spec import InputSpec

Array = NDArray[np.float64]
MOST_CODES = 254


def refuse_inputs(specs: InputSpec) -> None:
    """Raises UnsupportedError for an input that trees cannot read."""
    for name, spec in specs.items():
        if spec.kind not in ("number", "category", "bag"):
            raise UnsupportedError(
                f"boosted trees read numbers, categories and bags of words; input '{name}' is of kind '{spec.kind}'"
            )


@dataclass(frozen=True)
class Table:
    """Encoded rows as one matrix [N, C], and which of its columns are categories."""

    values: Array
    categorical: tuple[bool, ...]

    @staticmethod
    def of(batch: Batch, specs: InputSpec) -> Table:
        """Numbers, categories and weights of words of a batch side by side; a missing number is NaN, which the trees know.

        Raises UnsupportedError for any other kind of input.
        """
        refuse_inputs(specs)
        columns, categorical = [], []
        for name, field in batch.inputs.items():
            kind = specs[name].kind
            cells = field.values.cpu().numpy().astype(np.float64)
            if kind == "number" and field.valid is not None:
                cells[~field.valid.cpu().numpy()] = np.nan
            columns.append(cells)
            sizes = specs[name].cardinalities if kind == "category" else ()
            categorical += [size <= MOST_CODES for size in sizes] or [False] * columns[-1].shape[1]
        return Table(np.concatenate(columns, 1), tuple(categorical))

    def only(self, columns: NDArray[np.bool_]) -> Table:
        """Some of the columns, [C] bool."""
        kept = tuple(one for one, held in zip(self.categorical, columns, strict=True) if held)
        return Table(self.values[:, columns], kept)

    def seen(self) -> NDArray[np.bool_]:
        """[C] columns with a cell that is not missing: scikit-learn's trees know no others."""
        return np.asarray(~np.isnan(self.values).all(0))


@dataclass(frozen=True)
class Goal:
    """What one model is fitted to: y [N], held [N] bool, and a factor [N] on the rows' weights, or None."""

    y: NDArray[Any]
    held: NDArray[np.bool_]
    factor: Array | None = None

    @staticmethod
    def column(target: Field, place: int = 0) -> Goal:
        """One column of a target as it stands."""
        held = target.held()
        held = held[:, place] if held.dim() == 2 else held
        values = target.values.reshape(len(target.values), -1)[:, place]
        return Goal(values.cpu().numpy(), held.cpu().numpy())


@dataclass(frozen=True)
class Trees:
    """The rows of one task, and how its models are fitted."""

    task: str
    train: Batch
    valid: Batch | None
    tables: Mapping[str, Table]
    seed: int
    iterations: int

    @property
    def test(self) -> Array:
        """[N, C] the test rows."""
        return self.tables["test"].values

    def classifier(self, goal: Callable[[Field], Goal]) -> Any:
        """A fitted classifier; validation rows of labels that no training row has judge nothing."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        return self._fitted(HistGradientBoostingClassifier, goal, {}, classes=True)

    def regressor(
        self, goal: Callable[[Field], Goal], loss: str = "squared_error", quantile: float | None = None
    ) -> Any:
        """A fitted regressor of the given loss."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        return self._fitted(HistGradientBoostingRegressor, goal, {"loss": loss, "quantile": quantile}, classes=False)

    def _fitted(self, kind: Any, goal: Callable[[Field], Goal], settings: dict[str, Any], *, classes: bool) -> Any:
        own = goal(self.train.targets[self.task])
        keep = own.held
        settings = settings | {
            "max_iter": self.iterations,
            "random_state": self.seed,
            "categorical_features": list(self.tables["train"].categorical),
        }
        weight = self._weights(self.train, own)
        extra: dict[str, Any] = {"sample_weight": None if weight is None else weight[keep]}
        judges = np.zeros(0, dtype=bool)
        if self.valid is not None:
            judge = goal(self.valid.targets[self.task])
            judges = judge.held & np.isin(judge.y, own.y[keep]) if classes else judge.held.copy()
            judged = self._weights(self.valid, judge)
            judges &= True if judged is None else judged > 0
        if self.valid is not None and judges.any():
            settings["early_stopping"] = True
            extra |= {
                "X_val": self.tables["valid"].values[judges],
                "y_val": judge.y[judges].astype(own.y.dtype),
            }
            if judged is not None and weight is not None:
                extra["sample_weight_val"] = judged[judges]
        else:
            settings["early_stopping"] = False
            settings["max_iter"] = 100
        return kind(**settings).fit(self.tables["train"].values[keep], own.y[keep], **extra)

    def _weights(self, batch: Batch, goal: Goal) -> Array | None:
        """[N] the rows' weights: the batch's times the target's own times the goal's factor, or None where there are none."""
        own = batch.targets[self.task].weight
        given = [None if one is None else one.double().cpu().numpy() for one in (batch.weight, own)] + [goal.factor]
        found = [one for one in given if one is not None]
        return np.prod(found, axis=0) if found else None
