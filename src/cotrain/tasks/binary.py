"""Yes or no: one logit, binary cross-entropy, area under the ROC curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Field
from cotrain.core.spec import HeadSettings, Loss
from cotrain.losses.binary_cross_entropy import binary_cross_entropy
from cotrain.losses.focal import BinaryFocal
from cotrain.tasks.averaging import mean_logit
from cotrain.tasks.calibration import CALIBRATIONS, Calibration, calibrated
from cotrain.tasks.checks import check_settings, target_columns
from cotrain.tasks.class_loss import configured
from cotrain.tasks.decision import check_decision
from cotrain.tasks.labels import ClassCodec, as_label
from cotrain.tasks.scores import Array, calibration_error, error_of, held_rows, higher_is_better
from cotrain.tasks.settled import Settled, chances, settle

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
    calibration: of the logits; AUC and average precision, which look at the order alone, are those of the logits as they are.
    """

    primary: str = "auc"
    threshold: float = 0.5
    calibration: Calibration | None = None

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]:
        logit, label, weights = held_rows(output, target, weight)
        return self.of(logit.reshape(-1), label.reshape(-1), weights)

    def of(self, logit: Array, label: Array, weights: Array) -> dict[str, float]:
        """The scores of logits [M] against labels [M] under weights [M], all > 0."""
        from sklearn import metrics

        if label.size == 0 or np.isnan(logit).any():
            return dict.fromkeys(METRICS, math.nan)
        logit = np.clip(logit, -700.0, 700.0)
        truth = label > 0.5
        sure = np.clip(calibrated(self.calibration, logit), -700.0, 700.0)
        probability = chances(sure)
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
            "log_loss": float(np.average(np.logaddexp(0.0, np.where(truth, -sure, sure)), weights=weights)),
            "calibration_error": calibration_error(probability, truth.astype(float), weights),
        }

    def higher_is_better(self, metric: str) -> bool:
        return higher_is_better(metric)


@dataclass(frozen=True)
class Binary:
    """A yes/no target.

    name: the task's name. columns: the target's column, the task's name if not given. positive: the label or labels that mean yes; without it the
    known words for no (0, no, false, negative ...) or the alphabet decide, and the data report says which. metric: the primary one.
    weight: factor on the loss. head: settings of a head, `linear` if None.
    loss: `cross_entropy` or `focal`. class_weights: "balanced" (n / (C n_c), from the training rows), or {label: weight}, scaled to mean 1
    over the training rows; they multiply the loss of a row and not its count. smoothing: of the labels, read by `cross_entropy`; 0.1 is
    usual. gamma: of `focal`, 2 if not given.
    threshold: the probability from which a prediction says yes, or "tuned": chosen on the validation rows after training, for `tune_for`
    (f1 if not given, balanced_accuracy, accuracy, or {false_positive: cost, false_negative: cost}).
    calibrate: "temperature", "platt" or "isotonic" make the probabilities right on the validation rows after training. Both use the rows
    that chose when to stop, which is a little kind to them; the test rows stay untouched.
    """

    kind: ClassVar[str] = "binary"
    metric_names: ClassVar[tuple[str, ...]] = METRICS
    losses: ClassVar[Mapping[str, Loss]] = {"cross_entropy": binary_cross_entropy, "focal": BinaryFocal()}

    name: str
    _: KW_ONLY
    columns: Sequence[str] | None = None
    weight: float = 1.0
    metric: str = "auc"
    threshold: float | Literal["tuned"] = 0.5
    tune_for: Literal["f1", "balanced_accuracy", "accuracy"] | Mapping[str, float] | None = None
    calibrate: Literal["none", "temperature", "platt", "isotonic"] = "none"
    class_weights: Literal["balanced"] | Mapping[str, float] | None = None
    smoothing: float = 0.0
    gamma: float | None = None
    positive: str | int | bool | Sequence[str | int] | None = None
    loss: Loss = binary_cross_entropy
    head: HeadSettings | None = None
    source: str | None = None
    fitted: ClassCodec | None = field(default=None, metadata={"setting": False})
    learnt: Settled | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", target_columns(self.name, self.columns))
        check_settings(self, known=METRICS)
        check_decision(self.name, self.threshold, self.tune_for, self.calibrate, tuple(CALIBRATIONS))
        codec, weights = self.codec, self.class_weights
        plain = isinstance(weights, Mapping) and {as_label(label) for label in weights} <= {"0", "1"}
        loss = configured(
            self.name,
            self.loss,
            self.losses,
            classes=codec.classes or (("0", "1") if plain else ()),
            counts=codec.counts,
            class_weights=weights,
            smoothing=self.smoothing or None,
            gamma=self.gamma,
        )
        object.__setattr__(self, "loss", loss)

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
        return BinaryMetrics(self.metric, self.cut, None if self.learnt is None else self.learnt.calibration)

    @property
    def cut(self) -> float:
        """The probability from which the task says yes: the one given, or the tuned one (0.5 until there is one)."""
        if not isinstance(self.threshold, str):
            return self.threshold
        return 0.5 if self.learnt is None or self.learnt.threshold is None else self.learnt.threshold

    def error(self, scores: dict[str, float]) -> float:
        """The primary error, lower is better (1 - AUC by default)."""
        return error_of(self.metric, scores[self.metric])

    def decode(self, output: Tensor) -> dict[str, Any]:
        """{name: label or 0/1, name_probability: chance of yes} for logits [N, 1]."""
        probability = self.chances(output)
        yes = torch.from_numpy(probability >= self.cut).long()
        labels: Any = self.codec.labels(yes) if self.codec.classes else yes.numpy()
        return {self.name: labels, f"{self.name}_probability": probability}

    def chances(self, output: Tensor) -> Array:
        """[N] the (calibrated) probability of yes for logits [N, 1]."""
        logits = output.detach().double().reshape(-1).cpu().numpy()
        return chances(calibrated(None if self.learnt is None else self.learnt.calibration, logits))

    def told(self, output: Tensor) -> Tensor:
        """[N, 1] the chance of yes from the logit: what other tasks are told in a cascade."""
        return torch.sigmoid(output)

    def averaged(self, outputs: Tensor) -> Tensor:
        """[N, 1] the logit of the mean probability over the members of an ensemble, from their logits [M, N, 1]."""
        return mean_logit(outputs)

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        """[1] the logit that minimises the task's own loss: of the weighted share of yes for cross-entropy; 0 where there is no label.

        The share is kept 1e-6 away from 0 and 1, where no finite logit is best. None for a loss that does not know its constant.
        """
        constant = getattr(self.loss, "constant", None)
        return None if constant is None else constant(target, weight)

    @property
    def settles(self) -> bool:
        return self.threshold == "tuned" or self.calibrate != "none"

    def settled(self, output: Tensor, target: Field, weight: Tensor | None) -> Binary:
        """The task with threshold and calibration as these rows (validation rows, outputs of the trained network) say."""
        logit, label, weights = held_rows(output, target, weight)
        found = settle(
            self.name,
            logit.reshape(-1),
            label.reshape(-1),
            weights,
            calibrate=self.calibrate,
            aim=(self.tune_for or "f1") if self.threshold == "tuned" else None,
        )
        return self.with_settled(found)

    def with_settled(self, learnt: Settled | None) -> Binary:
        """The same task with what was learnt on validation rows; None takes it away."""
        return replace(self, learnt=learnt)

    def deciding(self, threshold: float) -> Binary:
        """The same task with this threshold, in place of the one given or tuned."""
        return replace(self, threshold=threshold, tune_for=None)

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
