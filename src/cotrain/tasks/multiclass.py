"""One of several classes: a logit each, cross-entropy, accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Field, cell_weight
from cotrain.core.spec import HeadSettings, Loss
from cotrain.losses.cross_entropy import cross_entropy
from cotrain.tasks.averaging import mean_log_chance
from cotrain.tasks.checks import check_settings, target_columns
from cotrain.tasks.labels import ClassCodec, as_label
from cotrain.tasks.scores import calibration_error, error_of, held_rows, higher_is_better

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "precision_macro",
    "recall_macro",
    "auc",
    "log_loss",
    "calibration_error",
)


@dataclass(frozen=True)
class MulticlassMetrics:
    """Scores on logits [N, C] against class numbers [N]; macro figures and AUC (one against the rest) are means over classes that occur.

    All are NaN without a label, or where an output is NaN; AUC is where only one class occurs.
    """

    primary: str = "accuracy"

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]:
        from sklearn import metrics

        logits, label, weights = held_rows(output, target, weight)
        if label.size == 0 or np.isnan(logits).any():
            return dict.fromkeys(METRICS, math.nan)
        truth = label.reshape(-1).astype(int)
        logits = np.clip(logits, -1e300, 1e300)
        shifted = logits - logits.max(1, keepdims=True)
        probability = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
        guess = probability.argmax(1)
        occurring = np.unique(truth)
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            truth, guess, labels=occurring, average="macro", sample_weight=weights, zero_division=0.0
        )
        areas = [
            metrics.roc_auc_score(truth == one, probability[:, one], sample_weight=weights)
            for one in occurring
            if len(occurring) > 1
        ]
        hit = guess == truth
        return {
            "accuracy": float(np.average(hit, weights=weights)),
            "balanced_accuracy": float(recall),
            "f1_macro": float(f1),
            "precision_macro": float(precision),
            "recall_macro": float(recall),
            "auc": float(np.mean(areas)) if areas else math.nan,
            "log_loss": float(
                np.average(np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(truth)), truth], weights=weights)
            ),
            "calibration_error": calibration_error(probability.max(1), hit.astype(float), weights),
        }

    def higher_is_better(self, metric: str) -> bool:
        return higher_is_better(metric)


@dataclass(frozen=True)
class Multiclass:
    """A target with three or more classes (two will do).

    classes: how many (targets are then class numbers 0 .. C - 1), or their labels in order; found in the training rows if not given.
    The other settings as in `Binary`.
    """

    kind: ClassVar[str] = "multiclass"
    metric_names: ClassVar[tuple[str, ...]] = METRICS
    losses: ClassVar[Mapping[str, Loss]] = {"cross_entropy": cross_entropy}

    name: str
    _: KW_ONLY
    columns: Sequence[str] | None = None
    weight: float = 1.0
    metric: str = "accuracy"
    classes: int | Sequence[str] | None = None
    loss: Loss = cross_entropy
    head: HeadSettings | None = None
    source: str | None = None
    fitted: ClassCodec | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", target_columns(self.name, self.columns))
        check_settings(
            self.name,
            weight=self.weight,
            metric=self.metric,
            known=METRICS,
            loss=self.loss,
            losses=self.losses,
            head=self.head,
        )
        given = self._given()
        if self.classes is not None and (len(given) < 2 or len(set(given)) < len(given) or "" in given):
            raise ConfigError(
                f"task '{self.name}': classes must be a number of at least 2, or at least two different labels, got {self.classes!r}"
            )

    @property
    def codec(self) -> ClassCodec:
        return self.fitted or self._unfitted()

    def _unfitted(self) -> ClassCodec:
        return ClassCodec(self.name, target_columns(self.name, self.columns), self._given())

    def _given(self) -> tuple[str, ...]:
        """The classes the user named, as labels; none if they are to be found in the rows."""
        classes: Sequence[object] = range(self.classes) if isinstance(self.classes, int) else self.classes or ()
        return (classes,) if isinstance(classes, str) else tuple(as_label(label) for label in classes)

    @property
    def outputs(self) -> int:
        return self.codec.outputs

    @property
    def metrics(self) -> MulticlassMetrics:
        return MulticlassMetrics(self.metric)

    def error(self, scores: dict[str, float]) -> float:
        """The primary error, lower is better (1 - accuracy by default)."""
        return error_of(self.metric, scores[self.metric])

    def decode(self, output: Tensor) -> dict[str, Any]:
        """{name: label, name_probability: its chance, name_probability_LABEL: each class's chance} for logits [N, C]."""
        probability = torch.softmax(output.double(), 1)
        best = probability.argmax(1)
        out: dict[str, Any] = {
            self.name: self.codec.labels(best),
            f"{self.name}_probability": probability.gather(1, best.unsqueeze(1)).squeeze(1).cpu().numpy(),
        }
        for index, label in enumerate(self.codec.classes):
            out[f"{self.name}_probability_{label}"] = probability[:, index].cpu().numpy()
        return out

    def averaged(self, outputs: Tensor) -> Tensor:
        """[N, C] the log of the mean probabilities over the members of an ensemble, from their logits [M, N, C]."""
        return mean_log_chance(outputs)

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        """[C] the logs of the classes' weighted shares, the constant that minimises cross-entropy; zeros where there is no label.

        Each class gets a share of at least 1e-6 / C, where no finite logit is best.
        """
        if self.loss is not cross_entropy:
            return None
        cells = cell_weight(target, weight).double().reshape(-1)
        labels = target.filled().reshape(-1).long()
        total = torch.zeros(self.outputs, dtype=torch.float64, device=cells.device).index_add_(0, labels, cells)
        if not bool(cells.sum() > 0):
            return total
        return ((total + 1e-6 * cells.sum() / self.outputs) / cells.sum()).log()

    def check(self, target: Field) -> None:
        """Raises DataError unless every label is a class number in 0 .. C - 1."""
        values = target.values[target.held()]
        whole = not values.is_floating_point()
        if len(values) and not (whole and bool(((values >= 0) & (values < self.outputs)).all())):
            raise DataError(
                f"task '{self.name}' has {self.outputs} classes: whole numbers from 0 to {self.outputs - 1} are expected, "
                f"got {values.dtype} from {values.min():g} to {values.max():g}; number the classes from 0, or give more classes"
            )

    def with_codec(self, codec: ClassCodec) -> Multiclass:
        """The same task with a fitted codec."""
        return replace(self, fitted=codec)

    def refitted(self, frame: Any) -> Multiclass:
        """The same task with the classes of these rows (a frame that holds its column), unless they were given."""
        return self.with_codec(self._unfitted().fit(frame))
