"""Times until an event, with right censoring: logistic hazards in intervals, concordance, survival curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Field, cell_weight
from cotrain.core.spec import HeadSettings, Loss
from cotrain.losses.logistic_hazard import LogisticHazard
from cotrain.losses.ordered import unbased, with_base
from cotrain.tasks.checks import check_settings, target_columns
from cotrain.tasks.fitted import Fitted
from cotrain.tasks.labels import as_label
from cotrain.tasks.scores import held_rows, higher_is_better
from cotrain.tasks.survival_scores import concordance, integrated_brier
from cotrain.tasks.survival_times import Curves, SurvivalCodec

METRICS = ("concordance", "integrated_brier")


@dataclass(frozen=True)
class SurvivalMetrics:
    """Scores of outputs [N, K] against (s, d, time, event) [N, 4].

    concordance: Harrell's, of the predicted mean times. integrated_brier: of the predicted curves, up to the last event of the scored rows. NaN
    without an event.
    """

    codec: SurvivalCodec
    primary: str = "concordance"

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]:
        values, truth, weights = held_rows(output, target, weight)
        if not len(truth) or not np.isfinite(values).all():
            return dict.fromkeys(METRICS, math.nan)
        curves = Curves.of(torch.from_numpy(values), self.codec)
        time, event = truth[:, 2], truth[:, 3]
        return {
            "concordance": concordance(time, event, curves.mean(), weights),
            "integrated_brier": integrated_brier(time, event, curves.at, weights, self.codec.edges[-1]),
        }

    def higher_is_better(self, metric: str) -> bool:
        return higher_is_better(metric)


@dataclass(frozen=True)
class Survival(Fitted[SurvivalCodec]):
    """How long until an event, where some rows were lost from sight before it (right censoring).

    time, event: the two columns, or columns: [time, event]. The event's column says yes where the event came at that time and no where the row was
    seen that long without it. positive: the label or labels that mean yes. bins: how many intervals, at quantiles of the event times of the
    training rows; the hazard is constant within each. times: at which chances of survival are predicted, beside the median time.
    Chances beyond the last event of the training rows are not known and stay as they were there. metric: concordance (Harrell's) or integrated_brier
    (with inverse-probability-of-censoring weights). The other settings as in `Binary`. Cox's partial likelihood is not offered: it compares the rows
    of one batch with each other, so that it is no sum over rows.
    """

    kind: ClassVar[str] = "survival"
    metric_names: ClassVar[tuple[str, ...]] = METRICS
    losses: ClassVar[Mapping[str, Loss]] = {"logistic_hazard": LogisticHazard()}

    name: str
    _: KW_ONLY
    columns: Sequence[str] | None = None
    time: str | None = None
    event: str | None = None
    positive: str | int | bool | Sequence[str | int] | None = None
    bins: int = 20
    times: Sequence[float] = ()
    weight: float = 1.0
    metric: str = "concordance"
    loss: Loss = losses["logistic_hazard"]
    head: HeadSettings | None = None
    source: str | None = None
    fitted: SurvivalCodec | None = field(default=None, metadata={"setting": False})

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", self._two_columns())
        check_settings(self, known=METRICS)
        if isinstance(self.bins, bool) or not isinstance(self.bins, int) or not 1 <= self.bins <= 1000:
            raise ConfigError(f"task '{self.name}': bins must be a whole number from 1 to 1000, got {self.bins!r}")
        times = tuple(float(one) for one in self.times)
        if not all(0 < one < math.inf for one in times):
            raise ConfigError(f"task '{self.name}': times must be positive numbers, got {list(times)}")
        object.__setattr__(self, "times", times)
        if isinstance(self.loss, LogisticHazard):
            object.__setattr__(self, "loss", LogisticHazard(self.codec.base))

    def _two_columns(self) -> tuple[str, str]:
        """The columns of time and event, from either way of naming them."""
        given = () if self.columns is None else target_columns(self.name, self.columns, several=True)
        said = tuple(column for column in (self.time, self.event) if column is not None)
        both = given or said
        if len(both) != 2 or both[0] == both[1] or (given and said and given != said):
            raise ConfigError(
                f"task '{self.name}': survival needs two columns, how long and whether the event came, got "
                f"{', '.join(both) if both else 'none'}{' and ' + ', '.join(said) if given and said and given != said else ''}; "
                "write time: and event:, or columns: [time, event]"
            )
        return both[0], both[1]

    def unfitted(self) -> SurvivalCodec:
        given = self.positive
        yes: Sequence[object] = () if given is None else given if isinstance(given, (list, tuple)) else (given,)
        return SurvivalCodec(self.name, self._two_columns(), self.bins, tuple(as_label(label) for label in yes))

    @property
    def metrics(self) -> SurvivalMetrics:
        return SurvivalMetrics(self.codec, self.metric)

    def decode(self, output: Tensor) -> dict[str, Any]:
        """{name: median time until the event, NaN where more than half outlive the last interval; name_survival_TIME: chance of no event by then}."""
        if not len(output):
            nothing = np.zeros(0)
            return {self.name: nothing} | {f"{self.name}_survival_{one:g}": nothing for one in self.times}
        curves = Curves.of(output, self.codec)
        chances = curves.at(np.array(self.times))
        return {self.name: curves.median()} | {
            f"{self.name}_survival_{one:g}": chances[:, place] for place, one in enumerate(self.times)
        }

    def averaged(self, outputs: Tensor) -> Tensor:
        """[N, K] the outputs whose survival curve is the mean over the members of an ensemble, from their outputs [M, N, K]."""
        logits = with_base(outputs.double(), self.codec.base)
        alive = torch.exp(-F.softplus(logits).cumsum(-1)).mean(0)
        before = torch.cat([torch.ones_like(alive[:, :1]), alive[:, :-1]], 1)
        hazard = 1 - alive / before.clamp_min(1e-300)
        return unbased(torch.logit(hazard.clamp(1e-12, 1 - 1e-12)), self.codec.base).to(outputs.dtype)

    def reference(self, target: Field, weight: Tensor | None) -> Tensor | None:
        """[K] the outputs whose hazards are the weighted shares of events among the rows at risk, kept 1e-6 away from 0 and 1; 0 where none is."""
        if not isinstance(self.loss, LogisticHazard):
            return None
        values, cells = target.filled().double(), cell_weight(target, weight).double().unsqueeze(1)
        place = torch.arange(self.outputs, device=values.device)
        came = (values[:, :1] == place) & (values[:, 1:2] > 0.5)
        events, risk = (cells * came).sum(0), (cells * ((values[:, :1] > place) | came)).sum(0)
        share = (events / risk.clamp_min(1e-300)).clamp(1e-6, 1 - 1e-6)
        return torch.where(risk > 0, unbased(torch.logit(share), self.codec.base), torch.zeros_like(share))

    def check(self, target: Field) -> None:
        """Raises DataError unless targets are (s, d, time, event) with s from 0 to K, and below K where d is 1."""
        values = target.values[target.held()]
        if target.values.dim() != 2 or target.values.shape[1] != 4:
            raise DataError(
                f"task '{self.name}' is survival: targets [N, 4] as its codec encodes them are expected, got shape {tuple(target.values.shape)}; "
                "use task.refitted(frame).codec.encode(frame)"
            )
        survived, came = values[:, 0], values[:, 1]
        if len(values) and not bool(((survived >= 0) & (survived + came <= self.outputs)).all()):
            raise DataError(
                f"task '{self.name}' has {self.outputs} intervals, its targets name {float((survived + came).max()):g}; "
                "encode them with the codec that was fitted on the training rows"
            )
