"""Yes or no: one logit, binary cross-entropy, area under the ROC curve."""

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
from cotrain.losses.binary_cross_entropy import binary_cross_entropy
from cotrain.tasks.averaging import mean_logit
from cotrain.tasks.checks import check_settings, target_columns
from cotrain.tasks.labels import ClassCodec, as_label
from cotrain.tasks.scores import calibration_error, error_of, held_rows, higher_is_better

METRICS = (
    "auc",
    "average_precision",
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "log_loss",
    "calibration_error",
)


@dataclass(frozen=True)
class BinaryMetrics:
    """Scores on logits [N, 1] against labels [N]; where only one class occurs, AUC and average precision are NaN.

    All are NaN without a label, or where an output is NaN. precision, recall and f1 are those of yes, 0 where nothing is found.
    """

    primary: str = "auc"
    threshold: float = 0.5

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]:
        from sklearn import metrics

        logit, label, weights = held_rows(output, target, weight)
        logit = np.clip(logit.reshape(-1), -700.0, 700.0)
        nothing = dict.fromkeys(METRICS, math.nan)
        if label.size == 0 or np.isnan(logit).any():
            return nothing
        truth = label.reshape(-1) > 0.5
        probability = 1.0 / (1.0 + np.exp(-logit))
        guess = probability >= self.threshold
        two = bool(truth.any() and not truth.all())
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            truth, guess, average="binary", sample_weight=weights, zero_division=0.0
        )
        rates = [
            float(np.average(guess[truth == side] == side, weights=weights[truth == side]))
            for side in (True, False)
            if (truth == side).any()
        ]
        return {
            "auc": float(metrics.roc_auc_score(truth, logit, sample_weight=weights)) if two else math.nan,
            "average_precision": float(metrics.average_precision_score(truth, logit, sample_weight=weights))
            if two
            else math.nan,
            "accuracy": float(np.average(guess == truth, weights=weights)),
            "balanced_accuracy": float(np.mean(rates)),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "log_loss": float(np.average(np.logaddexp(0.0, np.where(truth, -logit, logit)), weights=weights)),
            "calibration_error": calibration_error(probability, truth.astype(float), weights),
        }

    def higher_is_better(self, metric: str) -> bool:
        return higher_is_better(metric)


@dataclass(frozen=True)
class Binary:
    """A yes/no target.

    name: the task's name. columns: the target's column, the task's name if not given. positive: the label or labels that mean yes; without it the
    known words for no (0, no, false, negative ...) or the alphabet decide, and the data report says which. threshold: the probability
    from which a prediction says yes. metric: the primary one. weight: factor on the loss. head: settings of a head, `linear` if None.
    """

    kind: ClassVar[str] = "binary"
    metric_names: ClassVar[tuple[str, ...]] = METRICS
    losses: ClassVar[Mapping[str, Loss]] = {"cross_entropy": binary_cross_entropy}

    name: str
    _: KW_ONLY
    columns: Sequence[str] | None = None
    weight: float = 1.0
    metric: str = "auc"
    threshold: float = 0.5
    positive: str | int | bool | Sequence[str | int] | None = None
    loss: Loss = binary_cross_entropy
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
        if not 0 < self.threshold < 1:
            raise ConfigError(f"task '{self.name}': threshold must lie between 0 and 1, got {self.threshold}")

    @property
    def codec(self) -> ClassCodec:
        return self.fitted or self._unfitted()

    def _unfitted(self) -> ClassCodec:
        given = self.positive
        labels: Sequence[object] = () if given is None else given if isinstance(given, (list, tuple)) else (given,)
        columns = target_columns(self.name, self.columns)
        return ClassCodec(self.name, columns, (), True, tuple(as_label(label) for label in labels))

    @property
    def outputs(self) -> int:
        return 1

    @property
    def metrics(self) -> BinaryMetrics:
        return BinaryMetrics(self.metric, self.threshold)

    def error(self, scores: dict[str, float]) -> float:
        """The primary error, lower is better (1 - AUC by default)."""
        return error_of(self.metric, scores[self.metric])

    def decode(self, output: Tensor) -> dict[str, Any]:
        """{name: label or 0/1, name_probability: chance of yes} for logits [N, 1]."""
        probability = torch.sigmoid(output.double()).reshape(-1)
        yes = (probability >= self.threshold).long()
        labels: Any = self.codec.labels(yes) if self.codec.classes else yes.cpu().numpy()
        return {self.name: labels, f"{self.name}_probability": probability.cpu().numpy()}

    def averaged(self, outputs: Tensor) -> Tensor:
        """[N, 1] the logit of the mean probability over the members of an ensemble, from their logits [M, N, 1]."""
        return mean_logit(outputs)

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        """[1] the logit of the weighted share of yes, the constant that minimises cross-entropy; 0 where there is no label.

        The share is kept 1e-6 away from 0 and 1, where no finite logit is best.
        """
        if self.loss is not binary_cross_entropy:
            return None
        cells = cell_weight(target, weight).double()
        if not bool(cells.sum() > 0):
            return cells.new_zeros(1)
        share = (cells * target.filled().double().reshape(cells.shape)).sum() / cells.sum()
        return torch.logit(share.clamp(1e-6, 1 - 1e-6)).reshape(1)

    def check(self, target: Field) -> None:
        """Raises DataError unless every label lies in [0, 1]."""
        values = target.values[target.held()]
        if len(values) and not bool(((values >= 0) & (values <= 1)).all()):
            raise DataError(
                f"task '{self.name}' is binary: labels between 0 and 1 are expected, got {values.min():g} to {values.max():g}; "
                "code no as 0 and yes as 1, or use Multiclass"
            )

    def with_codec(self, codec: ClassCodec) -> Binary:
        """The same task with a fitted codec."""
        return replace(self, fitted=codec)

    def refitted(self, frame: Any) -> Binary:
        """The same task with the classes of these rows (a frame that holds its column)."""
        return self.with_codec(self._unfitted().fit(frame))
