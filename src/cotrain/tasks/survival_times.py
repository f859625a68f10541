"""Times until an event, some cut short: intervals at quantiles of the training rows' events, and curves from hazards.

N rows, K intervals (e_(j-1), e_j] with e_0 = 0, T times asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.errors import DataError
from cotrain.core.fields import Field
from cotrain.losses.ordered import with_base
from cotrain.tasks.numbers import read_numbers
from cotrain.tasks.yes_no import coded, yes_and_no

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SurvivalCodec:
    """values [B, 4] = (s, d, time, event): s intervals survived, d whether the event came in interval s, then what stood in the columns.

    A row whose event came at time t has s intervals before the one that holds t, and d = 1; one lost from sight at time t has survived those
    intervals whose middle it passed (d = 0), and so has one whose event came after the last interval. A row that lacks time or event is not present.
    edges: [K] the ends of the intervals, quantiles of the event times of the training rows, the last the largest of them. pair: (no, yes) of the
    event's column. base: [K] logits of the training rows' hazards.

    Source: M. F. Gensheimer, B. Narasimhan, PeerJ 7:e6257, 2019 (the rule of the middle).

    >>> rows = pl.DataFrame({"days": [2.0, 4.0, 3.5, 9.0], "died": [1, 1, 0, 0]})
    >>> codec = SurvivalCodec("life", ("days", "died"), bins=2).fit(rows)
    >>> codec.edges, codec.encode(rows).values[:, :2].tolist()
    ((3.0, 4.0), [[0.0, 1.0], [1.0, 1.0], [2.0, 0.0], [2.0, 0.0]])
    """

    classed: ClassVar[bool] = False
    """Its cells are no classes, whatever few values they have."""

    task: str
    columns: tuple[str, ...]
    bins: int = 20
    positive: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    pair: tuple[str, str] = ("0", "1")
    base: tuple[float, ...] = ()

    @property
    def outputs(self) -> int:
        return len(self.edges)

    def fit(self, frame: pl.DataFrame) -> SurvivalCodec:
        """The codec with the intervals and hazards of these rows. Raises DataError for times below 0, words, and rows without a single event."""
        pair = yes_and_no(self.task, frame[self.columns[1]], self.positive)
        time, event, held = replace(self, pair=pair)._read(frame)
        came = time[held & (event > 0.5)]
        if not len(came) or not came.max() > 0:
            raise DataError(
                f"task '{self.task}': the training rows hold no event after time 0 ('{pair[1]}' in column '{self.columns[1]}'), so no time can be learnt; "
                "check the column, or name under positive: the label that means that the event came"
            )
        edges = np.unique(np.quantile(came, np.linspace(0, 1, self.bins + 1)[1:]))
        found = replace(self, pair=pair, edges=tuple(float(edge) for edge in edges if edge > 0))
        values = found.encode(frame).values[torch.from_numpy(held)].numpy()
        events = np.bincount(values[values[:, 1] > 0.5, 0].astype(int), minlength=found.outputs)[: found.outputs]
        risk = (values[:, :1] + (values[:, 1:2] > 0.5) > np.arange(found.outputs)).sum(0)
        share = (events + 0.5) / (risk + 1.0)
        return replace(found, base=tuple(np.log(share / (1 - share)).tolist()))

    def encode(self, frame: pl.DataFrame) -> Field:
        """[B, 4]. Raises DataError before `fit`, and for times that are none."""
        if not self.edges:
            raise DataError(
                f"task '{self.task}': its intervals are not known yet; fit the codec on the training rows first"
            )
        time, event, held = self._read(frame)
        edges = np.array(self.edges)
        middles = (edges + np.r_[0.0, edges[:-1]]) / 2
        into = np.searchsorted(edges, time, side="left")
        came = held & (event > 0.5) & (into < len(edges))
        passed = np.searchsorted(middles, time, side="right")
        survived = np.where(came, into, passed)
        values = np.stack([survived, came, time, event], 1)
        return Field(torch.from_numpy(np.where(held[:, None], values, 0.0).astype(np.float32)), torch.from_numpy(held))

    def notes(self, frame: pl.DataFrame) -> list[str]:
        """Rows whose event column says neither yes nor no."""
        cells = coded(frame[self.columns[1]], self.pair, self.positive)
        strange = int((np.isnan(cells) & frame[self.columns[1]].is_not_null().to_numpy()).sum())
        if not strange:
            return []
        return [
            f"task '{self.task}': {strange} cells of column '{self.columns[1]}' are neither '{self.pair[0]}' nor '{self.pair[1]}'; they count as missing"
        ]

    def _read(self, frame: pl.DataFrame) -> tuple[Array, Array, NDArray[np.bool_]]:
        time = read_numbers(self.task, self.columns[:1], frame)[:, 0]
        below = time < 0
        if below.any():
            row = int(below.argmax())
            raise DataError(
                f"task '{self.task}': column '{self.columns[0]}', row {row + 1}: times of 0 or more expected, got {time[row]:g} "
                f"({int(below.sum())} such rows); correct them or leave them empty"
            )
        event = coded(frame[self.columns[1]], self.pair, self.positive)
        held = ~np.isnan(time) & ~np.isnan(event)
        return np.where(held, time, 0.0), np.where(held, event, 0.0), held

    def to_json(self) -> dict[str, Any]:
        """The codec as plain JSON; `from_json` is its inverse."""
        return {
            "task": self.task,
            "columns": list(self.columns),
            "bins": self.bins,
            "positive": list(self.positive),
            "edges": list(self.edges),
            "pair": list(self.pair),
            "base": list(self.base),
        }

    @staticmethod
    def from_json(stored: dict[str, Any]) -> SurvivalCodec:
        """The codec `to_json` was asked of."""
        no, yes = stored["pair"]
        return SurvivalCodec(
            stored["task"],
            tuple(stored["columns"]),
            stored["bins"],
            tuple(stored["positive"]),
            tuple(float(edge) for edge in stored["edges"]),
            (no, yes),
            tuple(float(logit) for logit in stored["base"]),
        )


@dataclass(frozen=True)
class Curves:
    """Survival curves of N rows. log_survival: [N, K + 1] log S at 0 and at the intervals' ends. edges: [K + 1], 0 first.

    Within an interval the hazard is constant, so that log S is straight; after the last end S stays where it is.
    """

    log_survival: Array
    edges: Array

    @staticmethod
    def of(output: Tensor, codec: SurvivalCodec) -> Curves:
        """From outputs [N, K]: S(e_j) = prod_(i <= j) (1 - h_i), h = sigmoid(output + base)."""
        steps = -F.softplus(with_base(output.detach().double().cpu(), codec.base)).numpy()
        whole = np.concatenate([np.zeros((len(steps), 1)), steps.cumsum(1)], 1)
        return Curves(whole, np.r_[0.0, np.array(codec.edges)])

    def at(self, times: Array) -> Array:
        """[N, T] S(t)."""
        asked = np.clip(times, 0.0, self.edges[-1])
        right = np.clip(np.searchsorted(self.edges, asked, side="left"), 1, len(self.edges) - 1)
        share = (asked - self.edges[right - 1]) / (self.edges[right] - self.edges[right - 1])
        out: Array = np.exp(self.log_survival[:, right - 1] * (1 - share) + self.log_survival[:, right] * share)
        return out

    def median(self) -> Array:
        """[N] the time by which half the rows like this one have met the event; NaN where more than half outlive the last interval."""
        half = math.log(0.5)
        below = self.log_survival <= half
        right = np.where(below.any(1), below.argmax(1), 1)
        rows = np.arange(len(right))
        before, after = self.log_survival[rows, right - 1], self.log_survival[rows, right]
        share = np.divide(before - half, before - after, out=np.zeros(len(rows)), where=before > after)
        found = self.edges[right - 1] + share * (self.edges[right] - self.edges[right - 1])
        return np.where(below.any(1), found, np.nan)

    def mean(self) -> Array:
        """[N] the mean time up to the last interval's end: the integral of S."""
        hazard = -np.diff(self.log_survival, axis=1)
        share = np.where(hazard > 1e-12, -np.expm1(-hazard) / np.maximum(hazard, 1e-300), 1.0)
        out: Array = (np.exp(self.log_survival[:, :-1]) * share * np.diff(self.edges)).sum(1)
        return out
