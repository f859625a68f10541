"""Yes or no where another yes/no task holds (bought given clicked), trained on all rows through the joint event."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Field, cell_weight
from cotrain.core.spec import HeadSettings, Loss, Task
from cotrain.losses.binary_cross_entropy import LEAST_SHARE
from cotrain.losses.joint_event import joint_cross_entropy, log_chances
from cotrain.tasks.averaging import mean_logit
from cotrain.tasks.binary import METRICS as OF_YES
from cotrain.tasks.binary import BinaryMetrics
from cotrain.tasks.checks import check_settings, target_columns
from cotrain.tasks.conditional_codec import ConditionalCodec
from cotrain.tasks.decision import check_decision
from cotrain.tasks.fitted import Fitted
from cotrain.tasks.labels import ClassCodec, as_label
from cotrain.tasks.reweighted import Reweighted, of_auc
from cotrain.tasks.scores import Array, held_rows, higher_is_better
from cotrain.tasks.settled import Settled, chances, settle

METRICS = (*OF_YES, "joint_auc", "joint_log_loss")


@dataclass(frozen=True)
class ConditionalMetrics:
    """Scores of logits [N, 1 + parents] against targets [N, 2] (joint event, condition).

    Those of `binary` are of P(task | parents), on the rows where the parents hold. joint_auc, joint_log_loss: of the joint event, over all
    rows; NaN where the parents' logits are not there.
    """

    primary: str = "auc"
    threshold: float = 0.5

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]:
        from sklearn import metrics

        logits, values, weights = held_rows(output, target, weight)
        here = values[:, 1] > 0.5 if len(values) else np.zeros(0, dtype=bool)
        found = BinaryMetrics(self.primary, self.threshold).of(logits[here, 0], values[here, 0], weights[here])
        found |= {"joint_auc": math.nan, "joint_log_loss": math.nan}
        if logits.ndim < 2 or logits.shape[1] < 2 or not len(logits) or np.isnan(logits).any():
            return found
        event = values[:, 0] > 0.5
        yes, no = (one.numpy() for one in log_chances(torch.from_numpy(np.clip(logits, -700.0, 700.0))))
        found["joint_log_loss"] = float(np.average(-np.where(event, yes, no), weights=weights))
        if event.any() and not event.all():
            found["joint_auc"] = float(metrics.roc_auc_score(event, yes, sample_weight=weights))
        return found

    def reweighted(self, output: Array, target: Array) -> Reweighted | None:
        """The error under many weightings at once, for the area of P(task | parents)."""
        if self.primary != "auc":
            return None
        here = target[:, 1] > 0.5
        errors = of_auc(output[here, 0], target[here, 0])
        return lambda weights: errors(weights[:, here])

    def higher_is_better(self, metric: str) -> bool:
        return higher_is_better(metric)


@dataclass(frozen=True)
class Conditional(Fitted[ConditionalCodec]):
    """A yes/no target that is defined only where another task holds: a purchase given a click.

    given: the task it depends on, of kind `binary` or `conditional` (purchase given cart given click). The head answers the logit a of
    P(task | given); the loss is the cross-entropy of the joint event with P = sigmoid(a) sigmoid(b), b the logit of the given task, over all
    rows, so that no row is left out for its missing click. Where the given task is no, the joint event is no; where both labels are missing,
    the row says nothing. Trained without its parent (the single-task network of a comparison) it learns from the rows where the parent holds.
    metric: by default the area under the ROC curve of P(task | given) on the rows where the given task holds. The other settings as in
    `binary`; a tuned threshold is that of P(task | given).

    Source: X. Ma et al., Entire Space Multi-Task Model, SIGIR 2018.
    """

    kind: ClassVar[str] = "conditional"
    metric_names: ClassVar[tuple[str, ...]] = METRICS
    losses: ClassVar[Mapping[str, Loss]] = {"cross_entropy": joint_cross_entropy}

    name: str
    _: KW_ONLY
    given: str
    columns: Sequence[str] | None = None
    weight: float = 1.0
    metric: str = "auc"
    threshold: float | Literal["tuned"] = 0.5
    tune_for: Literal["f1", "balanced_accuracy", "accuracy"] | Mapping[str, float] | None = None
    positive: str | int | bool | Sequence[str | int] | None = None
    loss: Loss = joint_cross_entropy
    head: HeadSettings | None = None
    source: str | None = None
    fitted: ConditionalCodec | None = field(default=None, metadata={"setting": False})
    parents: tuple[ClassCodec, ...] = field(default=(), metadata={"setting": False})
    alone: bool = field(default=False, metadata={"setting": False})
    learnt: Settled | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", target_columns(self.name, self.columns))
        check_settings(self, known=METRICS)
        check_decision(self.name, self.threshold, self.tune_for, "none", ())
        if not isinstance(self.given, str) or not self.given:
            raise ConfigError(f"task '{self.name}': given must name the task it depends on, got {self.given!r}")

    def unfitted(self) -> ConditionalCodec:
        labels = self.positive
        words: Sequence[object] = () if labels is None else labels if isinstance(labels, (list, tuple)) else (labels,)
        columns = target_columns(self.name, self.columns)
        own = ClassCodec(self.name, columns, (), True, tuple(as_label(word) for word in words))
        return ConditionalCodec(own, self.parents)

    def linked(self, tasks: Mapping[str, Task]) -> Conditional:
        """The same task, knowing how its parents' labels are read."""
        parents: list[ClassCodec] = []
        parent: Any = tasks.get(self.given)
        while parent is not None and len(parents) < len(tasks):
            codec = parent.codec
            parents.append(codec.own if isinstance(codec, ConditionalCodec) else codec)
            parent = tasks.get(getattr(parent, "given", ""))
        return replace(self, parents=tuple(parents))

    def by_itself(self) -> Conditional:
        """The same task without its parent: learnt from the rows where the parent holds."""
        return replace(self, alone=True)

    def learns_from(self, target: Field) -> Tensor:
        """[B] the rows that teach the task: where its parents hold if it stands alone, else all that are present."""
        return target.present & (target.values[:, 1] > 0.5) if self.alone else target.present

    @property
    def metrics(self) -> ConditionalMetrics:
        return ConditionalMetrics(self.metric, self.cut)

    @property
    def cut(self) -> float:
        """The chance from which the task says yes: the one given, or the tuned one (0.5 until there is one)."""
        if not isinstance(self.threshold, str):
            return self.threshold
        return 0.5 if self.learnt is None or self.learnt.threshold is None else self.learnt.threshold

    def decode(self, output: Tensor) -> dict[str, Any]:
        """{name: label of P(task | given), name_probability: that chance, name_joint_probability: of the joint event} for logits [N, k]."""
        logits = output.detach().double().cpu()
        probability = chances(logits[:, 0].numpy())
        yes = torch.from_numpy(probability >= self.cut).long()
        labels: Any = self.codec.labels(yes) if self.codec.classes else yes.numpy()
        found = {self.name: labels, f"{self.name}_probability": probability}
        if logits.shape[1] > 1:
            found[f"{self.name}_joint_probability"] = log_chances(logits)[0].exp().numpy()
        return found

    def told(self, output: Tensor) -> Tensor:
        """[N, 1] P(task | given) from its logit: what other tasks are told in a cascade."""
        return torch.sigmoid(output)

    def averaged(self, outputs: Tensor) -> Tensor:
        """[N, 1] the logit of the mean chance over the members of an ensemble, from their logits [M, N, 1]."""
        return mean_logit(outputs)

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        """[2] the logits of the weighted share of yes where the parents hold, and of that where they do: their product is the share of joint
        events. [1] the first of them for a task that stands alone. Shares are kept 1e-6 away from 0 and 1; 0 where there is no label.
        """
        if self.loss is not joint_cross_entropy:
            return None
        cells = cell_weight(target, weight).double()
        event, holds = (target.filled().double() * cells.unsqueeze(1)).sum(0)
        if not bool(cells.sum() > 0):
            return cells.new_zeros(1 if self.alone else 2)
        shares = torch.stack([event / holds.clamp_min(1e-300), holds / cells.sum()]).clamp(LEAST_SHARE, 1 - LEAST_SHARE)
        return torch.logit(shares)[: 1 if self.alone else 2]

    @property
    def settles(self) -> bool:
        return self.threshold == "tuned"

    def settled(self, output: Tensor, target: Field, weight: Tensor | None) -> Conditional:
        """The task with the threshold of P(task | given) that these rows say, where the parents hold."""
        logits, values, weights = held_rows(output, target, weight)
        here = values[:, 1] > 0.5
        aim = (self.tune_for or "f1") if self.threshold == "tuned" else None
        return self.with_settled(settle(self.name, logits[here, 0], values[here, 0], weights[here], aim=aim))

    def with_settled(self, learnt: Settled | None) -> Conditional:
        """The same task with what was learnt on validation rows; None takes it away."""
        return replace(self, learnt=learnt)

    def deciding(self, threshold: float) -> Conditional:
        """The same task with this threshold, in place of the one given or tuned."""
        return replace(self, threshold=threshold, tune_for=None)

    def check(self, target: Field) -> None:
        """Raises DataError unless the target holds joint event and condition, each 0 or 1, no event without its condition."""
        values = target.filled()
        fits = values.dim() == 2 and values.shape[1] == 2
        if not fits or not bool((((values == 0) | (values == 1)).all()) & (values[:, 0] <= values[:, 1]).all()):
            raise DataError(
                f"task '{self.name}' is conditional: targets [rows, 2] are expected, the joint event and whether '{self.given}' holds, "
                f"got shape {tuple(values.shape)}; make them with cotrain.tasks.conditional_codec.joint_target"
            )
