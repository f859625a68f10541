"""One of several classes: a logit each, cross-entropy, accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError, unknown
from cotrain.core.fields import Field
from cotrain.core.spec import HeadSettings, Loss
from cotrain.losses.cross_entropy import cross_entropy
from cotrain.losses.focal import Focal
from cotrain.tasks.averaging import mean_log_chance
from cotrain.tasks.calibration import Calibration, calibrated
from cotrain.tasks.checks import check_settings, target_columns
from cotrain.tasks.class_loss import configured
from cotrain.tasks.labels import ClassCodec, as_label
from cotrain.tasks.scores import Array, calibration_error, error_of, held_rows, higher_is_better
from cotrain.tasks.settled import Settled, settle

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
    calibration: Calibration | None = None

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]:
        from sklearn import metrics

        logits, label, weights = held_rows(output, target, weight)
        if label.size == 0 or np.isnan(logits).any():
            return dict.fromkeys(METRICS, math.nan)
        truth = label.reshape(-1).astype(int)
        logits = calibrated(self.calibration, np.clip(logits, -1e300, 1e300))
        shifted, probability = softmax(logits)
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


def softmax(logits: Array) -> tuple[Array, Array]:
    """(logits [N, C] less the largest of each row, their softmax)."""
    shifted = logits - logits.max(1, keepdims=True) if len(logits) else logits
    exponential = np.exp(shifted)
    return shifted, exponential / exponential.sum(1, keepdims=True)


@dataclass(frozen=True)
class Multiclass:
    """A target with three or more classes (two will do).

    classes: how many (targets are then class numbers 0 .. C - 1), or their labels in order; found in the training rows if not given.
    calibrate: "temperature" makes the probabilities right on the validation rows after training. The other settings as in `Binary`.
    """

    kind: ClassVar[str] = "multiclass"
    metric_names: ClassVar[tuple[str, ...]] = METRICS
    losses: ClassVar[Mapping[str, Loss]] = {"cross_entropy": cross_entropy, "focal": Focal()}

    name: str
    _: KW_ONLY
    columns: Sequence[str] | None = None
    weight: float = 1.0
    metric: str = "accuracy"
    classes: int | Sequence[str] | None = None
    loss: Loss = cross_entropy
    calibrate: Literal["none", "temperature"] = "none"
    class_weights: Literal["balanced"] | Mapping[str, float] | None = None
    smoothing: float = 0.0
    gamma: float | None = None
    head: HeadSettings | None = None
    source: str | None = None
    fitted: ClassCodec | None = field(default=None, metadata={"setting": False})
    learnt: Settled | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", target_columns(self.name, self.columns))
        check_settings(self, known=METRICS)
        given = self._given()
        if self.classes is not None and (len(given) < 2 or len(set(given)) < len(given) or "" in given):
            raise ConfigError(
                f"task '{self.name}': classes must be a number of at least 2, or at least two different labels, got {self.classes!r}"
            )
        if self.calibrate not in ("none", "temperature"):
            raise ConfigError(
                f"task '{self.name}': " + unknown("calibration", str(self.calibrate), ("none", "temperature"))
            )
        codec = self.codec
        loss = configured(
            self.name,
            self.loss,
            self.losses,
            classes=codec.classes,
            counts=codec.counts,
            class_weights=self.class_weights,
            smoothing=self.smoothing or None,
            gamma=self.gamma,
        )
        object.__setattr__(self, "loss", loss)

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
        return MulticlassMetrics(self.metric, None if self.learnt is None else self.learnt.calibration)

    def error(self, scores: dict[str, float]) -> float:
        """The primary error, lower is better (1 - accuracy by default)."""
        return error_of(self.metric, scores[self.metric])

    def decode(self, output: Tensor) -> dict[str, Any]:
        """{name: label, name_probability: its chance, name_probability_LABEL: each class's chance} for logits [N, C]."""
        logits = output.detach().double().cpu().numpy()
        _, probability = softmax(calibrated(None if self.learnt is None else self.learnt.calibration, logits))
        best = probability.argmax(1)
        out: dict[str, Any] = {
            self.name: self.codec.labels(torch.from_numpy(best)),
            f"{self.name}_probability": probability[np.arange(len(best)), best],
        }
        for index, label in enumerate(self.codec.classes):
            out[f"{self.name}_probability_{label}"] = probability[:, index]
        return out

    def told(self, output: Tensor) -> Tensor:
        """[N, C] the classes' chances from their logits: what other tasks are told in a cascade."""
        return torch.softmax(output, -1)

    def averaged(self, outputs: Tensor) -> Tensor:
        """[N, C] the log of the mean probabilities over the members of an ensemble, from their logits [M, N, C]."""
        return mean_log_chance(outputs)

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        """[C] the logits that minimise the task's own loss: the logs of the classes' weighted shares for cross-entropy.

        Zeros where there is no label. Each class gets a share of at least 1e-6 / C, where no finite logit is best. None for a loss that
        does not know its constant.
        """
        constant = getattr(self.loss, "constant", None)
        return None if constant is None else constant(target, weight, self.outputs)

    @property
    def settles(self) -> bool:
        return self.calibrate != "none"

    def settled(self, output: Tensor, target: Field, weight: Tensor | None) -> Multiclass:
        """The task with the calibration that these rows (validation rows, outputs of the trained network) say."""
        logits, label, weights = held_rows(output, target, weight)
        return self.with_settled(settle(self.name, logits, label.reshape(-1), weights, calibrate=self.calibrate))

    def with_settled(self, learnt: Settled | None) -> Multiclass:
        """The same task with what was learnt on validation rows; None takes it away."""
        return replace(self, learnt=learnt)

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
