"""Sets of labels: a logit each, binary cross-entropy, areas and F1 over all labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Field, cell_weight
from cotrain.core.spec import HeadSettings, Loss
from cotrain.losses.binary_cross_entropy import binary_cross_entropy
from cotrain.tasks.averaging import mean_logit
from cotrain.tasks.checks import check_settings, target_columns
from cotrain.tasks.fitted import Fitted
from cotrain.tasks.label_sets import LabelSetCodec
from cotrain.tasks.labels import as_label
from cotrain.tasks.scores import Array, higher_is_better

METRICS = ("auc", "average_precision", "f1_micro", "f1_macro", "subset_accuracy", "hamming_loss", "log_loss")
EACH = ("auc", "average_precision", "f1")


@dataclass(frozen=True)
class MultilabelMetrics:
    """Scores of logits [N, L] against labels [N, L]; a label is predicted from the chance `threshold` on.

    auc, average_precision: means over the labels that some rows have and some do not. f1_macro: mean F1 over the labels that some row has or
    is given; f1_micro: F1 of all cells together. subset_accuracy: share of rows right in every cell that is held.
    hamming_loss: share of wrong cells. auc, average_precision and f1 stand beside for every label, NaN where they have no meaning. All are NaN
    without a label.
    """

    labels: tuple[str, ...]
    primary: str = "auc"
    threshold: float = 0.5

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]:
        logit = output.detach().double().cpu().numpy()
        truth = target.filled().double().cpu().numpy().reshape(logit.shape) > 0.5
        weights = cell_weight(target, weight).double()
        cells = weights.reshape(len(weights), -1).expand(logit.shape).cpu().numpy()
        rows = (cells > 0).any(1)
        logit, truth, cells = np.clip(logit[rows], -700.0, 700.0), truth[rows], cells[rows]
        names = self.labels if len(self.labels) == logit.shape[1] else [str(place) for place in range(logit.shape[1])]
        if not len(logit) or np.isnan(logit).any():
            return dict.fromkeys((*METRICS, *(f"{metric}/{name}" for name in names for metric in EACH)), math.nan)
        guess = 1.0 / (1.0 + np.exp(-logit)) >= self.threshold
        hit, wrong = (cells * (truth & guess)).sum(0), (cells * (truth != guess)).sum(0)
        f1 = np.divide(2 * hit, 2 * hit + wrong, out=np.full(len(hit), math.nan), where=2 * hit + wrong > 0)
        areas = [_areas(logit[:, one], truth[:, one], cells[:, one]) for one in range(logit.shape[1])]
        per_label = dict(zip(EACH, (*np.array(areas).T, f1), strict=True))
        right = ((truth == guess) | (cells == 0)).all(1)
        return {
            "auc": _mean(per_label["auc"]),
            "average_precision": _mean(per_label["average_precision"]),
            "f1_micro": float(2 * hit.sum() / (2 * hit.sum() + wrong.sum())) if (hit + wrong).any() else math.nan,
            "f1_macro": _mean(f1),
            "subset_accuracy": float(np.average(right, weights=cells.max(1))),
            "hamming_loss": float(wrong.sum() / cells.sum()),
            "log_loss": float(np.average(np.logaddexp(0.0, np.where(truth, -logit, logit)), weights=cells)),
        } | {f"{metric}/{name}": float(per_label[metric][place]) for place, name in enumerate(names) for metric in EACH}

    def higher_is_better(self, metric: str) -> bool:
        return higher_is_better(metric)


def _areas(logit: Array, truth: NDArray[np.bool_], weight: Array) -> tuple[float, float]:
    """(area under the ROC curve, average precision) of one label; NaN where its cells are all alike."""
    from sklearn import metrics

    keep = weight > 0
    logit, truth, weight = logit[keep], truth[keep], weight[keep]
    if not truth.any() or truth.all():
        return math.nan, math.nan
    return (
        float(metrics.roc_auc_score(truth, logit, sample_weight=weight)),
        float(metrics.average_precision_score(truth, logit, sample_weight=weight)),
    )


def _mean(values: Array) -> float:
    held = values[np.isfinite(values)]
    return float(held.mean()) if len(held) else math.nan


@dataclass(frozen=True)
class Multilabel(Fitted[LabelSetCodec]):
    """A set of labels: tags of a picture, topics of a text, several yes/no columns that belong together.

    columns: several columns of yes and no, single cells of which may be missing; or one column of lists, or of words between `separator` (an
    empty cell of words is a missing one). positive: the label or labels that mean yes in columns. labels: those of one column; found in the
    training rows if not given. threshold: the chance from which a label is predicted. metric: auc, average_precision, f1_macro (each a mean over
    labels), f1_micro, subset_accuracy, hamming_loss or log_loss. The other settings as in `Binary`.
    """

    kind: ClassVar[str] = "multilabel"
    metric_names: ClassVar[tuple[str, ...]] = METRICS
    losses: ClassVar[Mapping[str, Loss]] = {"cross_entropy": binary_cross_entropy}

    name: str
    _: KW_ONLY
    columns: Sequence[str] | None = None
    separator: str | None = None
    labels: Sequence[str] | None = None
    positive: str | int | bool | Sequence[str | int] | None = None
    weight: float = 1.0
    metric: str = "auc"
    threshold: float = 0.5
    loss: Loss = binary_cross_entropy
    head: HeadSettings | None = None
    source: str | None = None
    fitted: LabelSetCodec | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        columns = target_columns(self.name, self.columns, several=True)
        object.__setattr__(self, "columns", columns)
        check_settings(self, known=METRICS)
        if not 0 < self.threshold < 1:
            raise ConfigError(f"task '{self.name}': threshold must lie between 0 and 1, got {self.threshold}")
        if self.separator == "":
            raise ConfigError(f"task '{self.name}': separator must be a sign or more, such as ',', got nothing")
        for setting in ("separator", "labels") if len(columns) > 1 else ("positive",):
            if getattr(self, setting) is not None:
                raise ConfigError(
                    f"task '{self.name}': {setting} is for {'one column of labels' if len(columns) > 1 else 'several columns of yes and no'}, "
                    f"got the columns {list(columns)}; take it out"
                )

    def unfitted(self) -> LabelSetCodec:
        given = self.positive
        yes: Sequence[object] = () if given is None else given if isinstance(given, (list, tuple)) else (given,)
        return LabelSetCodec(
            self.name,
            target_columns(self.name, self.columns, several=True),
            self.separator,
            tuple(as_label(label) for label in self.labels or ()),
            (),
            tuple(as_label(label) for label in yes),
        )

    @property
    def metrics(self) -> MultilabelMetrics:
        codec = self.codec
        return MultilabelMetrics(codec.labels or codec.columns, self.metric, self.threshold)

    def told(self, output: Tensor) -> Tensor:
        """[N, L] the labels' chances from their logits: what other tasks are told in a cascade."""
        return torch.sigmoid(output)

    def decode(self, output: Tensor) -> dict[str, Any]:
        """{name: the row's labels, name_probability_LABEL: each one's chance} for logits [N, L]; of several columns a {name_COLUMN: yes or no} each."""
        chance = torch.sigmoid(output.double()).cpu()
        has, codec = chance >= self.threshold, self.codec
        names = codec.labels or (
            codec.columns if len(codec.columns) == chance.shape[1] else tuple(map(str, range(chance.shape[1])))
        )
        out: dict[str, Any] = {}
        if len(codec.columns) > 1:
            pairs = codec.pairs or (("0", "1"),) * len(names)
            for place, (label, pair) in enumerate(zip(names, pairs, strict=True)):
                out[f"{self.name}_{label}"] = [pair[one] for one in has[:, place].long().tolist()]
        else:
            out[self.name] = codec.decoded(has)
        return out | {f"{self.name}_probability_{label}": chance[:, place].numpy() for place, label in enumerate(names)}

    def averaged(self, outputs: Tensor) -> Tensor:
        """[N, L] the logits of the mean probabilities over the members of an ensemble, from their logits [M, N, L]."""
        return mean_logit(outputs)

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        """[L] the logits of the labels' weighted shares, kept 1e-6 away from 0 and 1; 0 where a label has no cell."""
        if self.loss is not binary_cross_entropy:
            return None
        values = target.filled().double().reshape(len(target.values), -1)
        cells = cell_weight(target, weight).double()
        cells = cells.reshape(len(cells), -1).expand(values.shape)
        total = cells.sum(0)
        share = (cells * values).sum(0) / total.clamp_min(1e-300)
        return torch.where(total > 0, torch.logit(share.clamp(1e-6, 1 - 1e-6)), total)

    def check(self, target: Field) -> None:
        """Raises DataError unless every cell lies in [0, 1]."""
        values = target.filled()
        if len(values) and not bool(((values >= 0) & (values <= 1)).all()):
            raise DataError(
                f"task '{self.name}' is multilabel: cells between 0 and 1 are expected, got {values.min():g} to {values.max():g}; "
                "code no as 0 and yes as 1"
            )
