"""Ordered classes: a cumulative logistic link whose thresholds rise by construction, quadratic weighted kappa."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Field, cell_weight
from cotrain.core.spec import HeadSettings, Loss
from cotrain.heads.proportional import ProportionalFrom
from cotrain.losses.cumulative_link import CumulativeLink, cumulative_logits, outputs_of
from cotrain.losses.ordered import LEAST_GAP
from cotrain.tasks.averaging import mean_logit
from cotrain.tasks.checks import check_settings, target_columns
from cotrain.tasks.fitted import Fitted
from cotrain.tasks.labels import ClassCodec, as_label
from cotrain.tasks.reweighted import Reweighted, of_kappa, of_mean
from cotrain.tasks.scores import Array, held_rows, higher_is_better

METRICS = ("kappa", "accuracy", "mae", "f1_macro", "auc", "log_loss")


@dataclass(frozen=True)
class OrdinalCodec:
    """Codes labels as ranks 0 .. C - 1 in their order, and back. base: [C - 1] the outputs that give the classes' shares in the training rows.

    >>> codec = OrdinalCodec(ClassCodec("size", ("size",), ("small", "large")))
    >>> codec.fit(pl.DataFrame({"size": ["small", "large", None]})).base
    (0.0,)
    """

    ranks: ClassCodec
    base: tuple[float, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.ranks.columns

    @property
    def outputs(self) -> int:
        return max(self.ranks.outputs - 1, 0)

    def fit(self, frame: pl.DataFrame) -> OrdinalCodec:
        """The codec with the classes of these rows, by value. Raises DataError for words whose order was not given, and as `ClassCodec` does."""
        ranks = self.ranks.fit(frame)
        numbers = pl.Series(ranks.classes, dtype=pl.String).cast(pl.Float64, strict=False)
        if not self.ranks.classes and numbers.null_count():
            raise DataError(
                f"task '{ranks.task}' (column '{ranks.columns[0]}'): the order of the labels is not known; say it, lowest first: "
                f"classes: [{', '.join(ranks.classes[:8])}{', ...' if len(ranks.classes) > 8 else ''}]"
            )
        target = ranks.encode(frame)
        counts = torch.bincount(target.values[target.present], minlength=len(ranks.classes)).double() + 0.5
        return OrdinalCodec(ranks, tuple(outputs_of(logits_of(counts / counts.sum()), least=LEAST_GAP).tolist()))

    def encode(self, frame: pl.DataFrame) -> Field:
        """[B] int64 ranks; rows without a label, or with one that is no class, are not present."""
        return self.ranks.encode(frame)

    def notes(self, frame: pl.DataFrame) -> list[str]:
        """What was not understood in these rows."""
        return self.ranks.notes(frame)

    def to_json(self) -> dict[str, Any]:
        """The codec as plain JSON; `from_json` is its inverse."""
        return {"ranks": self.ranks.to_json(), "base": list(self.base)}

    @staticmethod
    def from_json(stored: dict[str, Any]) -> OrdinalCodec:
        """The codec `to_json` was asked of."""
        return OrdinalCodec(ClassCodec.from_json(stored["ranks"]), tuple(stored["base"]))


def logits_of(shares: Tensor) -> Tensor:
    """[..., C - 1] logits of "this class or a higher one" from the classes' shares [..., C], each taken for at least 1e-6 / C.

    >>> logits_of(torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)).round(decimals=4).tolist()
    [0.0, -1.0986]
    """
    shares = shares.clamp_min(1e-6 / shares.shape[-1])
    below = shares.cumsum(-1)[..., :-1]
    above = shares.flip(-1).cumsum(-1).flip(-1)[..., 1:]
    return above.log() - below.log()


@dataclass(frozen=True)
class OrdinalMetrics:
    """Scores of outputs [N, C - 1] against ranks [N]. The predicted class is the median one, the last c with P(class >= c) >= 1/2.

    kappa: Cohen's, weighted by squared differences of ranks. mae: mean difference of ranks. auc: area under the ROC curve of "class c or a
    higher one", averaged over those c that some rows reach and some do not. f1_macro: over the classes that occur. All are NaN without a label.
    """

    primary: str = "kappa"
    base: tuple[float, ...] = ()

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]:
        from sklearn import metrics

        values, truth, weights = held_rows(output, target, weight)
        if not len(truth) or not np.isfinite(values).all():
            return dict.fromkeys(METRICS, math.nan)
        truth = truth.reshape(-1).astype(int)
        logits = cumulative_logits(torch.from_numpy(values), self.base)
        guess = ranks_of(logits).numpy()
        held = Field.dense(torch.from_numpy(truth))
        total, count = CumulativeLink(self.base)(torch.from_numpy(values), held, torch.from_numpy(weights))
        reached = [truth > cut for cut in range(logits.shape[1])]
        areas = [
            metrics.roc_auc_score(one, logits[:, cut].numpy(), sample_weight=weights)
            for cut, one in enumerate(reached)
            if one.any() and not one.all()
        ]
        f1 = metrics.f1_score(
            truth, guess, labels=np.unique(truth), average="macro", sample_weight=weights, zero_division=0.0
        )
        return {
            "kappa": 1 - float(of_kappa(guess, truth)(weights[None])[0]),
            "accuracy": float(np.average(guess == truth, weights=weights)),
            "mae": float(np.average(np.abs(guess - truth), weights=weights)),
            "f1_macro": float(f1),
            "auc": float(np.mean(areas)) if areas else math.nan,
            "log_loss": float(total / count),
        }

    def reweighted(self, output: Array, target: Array) -> Reweighted | None:
        """The primary error under many weightings of these rows; None where there is no form for it."""
        truth = target.reshape(-1)
        guess = ranks_of(cumulative_logits(torch.from_numpy(output), self.base)).numpy().astype(float)
        if self.primary == "kappa":
            return of_kappa(guess, truth)
        if self.primary in ("accuracy", "mae"):
            return of_mean((guess != truth).astype(float) if self.primary == "accuracy" else np.abs(guess - truth))
        return None

    def higher_is_better(self, metric: str) -> bool:
        return higher_is_better(metric)


def ranks_of(logits: Tensor) -> Tensor:
    """[N] the median class of cumulative logits [N, C - 1]."""
    return (logits >= 0).sum(1)


@dataclass(frozen=True)
class Ordinal(Fitted[OrdinalCodec]):
    """A target whose classes have an order: grades, stages, ratings.

    classes: their labels from the lowest to the highest, or how many (targets are then 0 .. C - 1); by value if not given and all are numbers.
    head: if None, the network's usual head gives one score, and the thresholds are the same for every row (proportional odds, as the head
    `proportional` has it). Any other head lets the distances of the thresholds vary with the row; they rise all the same. metric: kappa (quadratic weights), accuracy,
    mae (in ranks), f1_macro, auc or log_loss. The other settings as in `Binary`.
    """

    kind: ClassVar[str] = "ordinal"
    metric_names: ClassVar[tuple[str, ...]] = METRICS
    losses: ClassVar[Mapping[str, Loss]] = {"cumulative_link": CumulativeLink()}

    name: str
    _: KW_ONLY
    columns: Sequence[str] | None = None
    weight: float = 1.0
    metric: str = "kappa"
    classes: int | Sequence[str | int | float] | None = None
    loss: Loss = losses["cumulative_link"]
    head: HeadSettings | None = None
    source: str | None = None
    fitted: OrdinalCodec | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", target_columns(self.name, self.columns))
        check_settings(self, known=METRICS)
        given = self._given()
        if self.classes is not None and (len(given) < 2 or len(set(given)) < len(given) or "" in given):
            raise ConfigError(
                f"task '{self.name}': classes must be a number of at least 2, or at least two different labels from the lowest to the highest, "
                f"got {self.classes!r}"
            )
        if isinstance(self.loss, CumulativeLink):
            object.__setattr__(self, "loss", CumulativeLink(self.codec.base))

    def _given(self) -> tuple[str, ...]:
        classes: Sequence[object] = range(self.classes) if isinstance(self.classes, int) else self.classes or ()
        return (classes,) if isinstance(classes, str) else tuple(as_label(label) for label in classes)

    def headed(self, head: HeadSettings) -> HeadSettings:
        """The proportional-odds form around a head."""
        return ProportionalFrom(head)

    def unfitted(self) -> OrdinalCodec:
        return OrdinalCodec(ClassCodec(self.name, target_columns(self.name, self.columns), self._given()))

    @property
    def metrics(self) -> OrdinalMetrics:
        return OrdinalMetrics(self.metric, self.codec.base)

    def decode(self, output: Tensor) -> dict[str, Any]:
        """{name: the median class, name_probability: its chance, name_probability_LABEL: each class's chance} for outputs [N, C - 1]."""
        logits = cumulative_logits(output.double(), self.codec.base)
        reached = torch.nn.functional.pad(torch.sigmoid(logits), (1, 1))
        reached[:, 0] = 1.0
        chance = reached[:, :-1] - reached[:, 1:]
        rank = ranks_of(logits)
        labels = self.codec.ranks.classes or tuple(str(one) for one in range(chance.shape[1]))
        out: dict[str, Any] = {
            self.name: [labels[code] for code in rank.tolist()],
            f"{self.name}_probability": chance.gather(1, rank.unsqueeze(1)).squeeze(1).cpu().numpy(),
        }
        return out | {
            f"{self.name}_probability_{label}": chance[:, index].cpu().numpy() for index, label in enumerate(labels)
        }

    def averaged(self, outputs: Tensor) -> Tensor:
        """[N, C - 1] the outputs that give the mean chances over the members of an ensemble, from their outputs [M, N, C - 1]."""
        base = self.codec.base
        logits = cumulative_logits(outputs.double().flatten(0, 1), base).reshape(outputs.shape)
        return outputs_of(mean_logit(logits), base).to(outputs.dtype)

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        """[C - 1] the outputs whose class chances are the weighted shares; zeros where there is no label."""
        if not isinstance(self.loss, CumulativeLink):
            return None
        cells = cell_weight(target, weight).double().reshape(-1)
        labels = target.filled().reshape(-1).long()
        total = torch.zeros(self.outputs + 1, dtype=torch.float64, device=cells.device).index_add_(0, labels, cells)
        if not bool(cells.sum() > 0):
            return total[1:]
        return outputs_of(logits_of(total / cells.sum()), self.codec.base)

    def check(self, target: Field) -> None:
        """Raises DataError unless every label is a class number in 0 .. C - 1."""
        values = target.values[target.held()]
        whole = not values.is_floating_point()
        if len(values) and not (whole and bool(((values >= 0) & (values <= self.outputs)).all())):
            raise DataError(
                f"task '{self.name}' has {self.outputs + 1} ordered classes: whole numbers from 0 to {self.outputs} are expected, "
                f"got {values.dtype} from {values.min():g} to {values.max():g}; number the classes from 0, or give more classes"
            )
