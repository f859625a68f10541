"""Categories as target statistics: for every label the mean of what is to be predicted, drawn towards the mean of all rows.

A label that came n_c times in training with mean m_c has the statistic (n_c m_c + s m) / (n_c + s): m is the mean of all training
rows, s the `smoothing`, so that a label seen s times counts half by itself. A label never seen, and a missing cell, has m.

A training row would see its own target in its label's mean, and a network would learn to read it off. So the statistics of training
rows are fitted out of fold: those of a row in fold f count the rows of the other folds only. Rows that come later have the
statistics of all training rows. A row's fold is a hash of its place and the seed, so that no list of folds has to be kept.

Source: Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes in classification and prediction
problems", SIGKDD Explorations 3(1), 2001: a blend of the label's mean and the mean of all with a weight lambda(n), here n / (n + s), the
empirical Bayes weight where s is the variance within labels over the variance between them. Differences: the out-of-fold values, and that m is the mean of all training rows in every fold, so that a label met in
one fold only has the same m everywhere and tells nothing of its fold. Values are scaled to unit spread for a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.fields import Field
from cotrain.core.state import plain
from cotrain.data.bits import of_numbers
from cotrain.data.categories import as_label_words, unseen_note
from cotrain.data.columns import Part, rising

CLASSES = 8
"""So many classes of one target have a statistic each, the most frequent but one first."""

FOLDS = 5

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Lines = tuple[tuple[float, ...], ...]


def target_values(targets: Mapping[str, Field]) -> dict[str, Floats]:
    """{what is averaged: [N] numbers, NaN where the target is missing} of encoded targets {task: Field}.

    Whole numbers, one a row, are classes: each but the most frequent has its share, `CLASSES` of them at most. Other numbers have
    their mean, column by column, in the units they are encoded in; that of noughts and ones is the share of the ones.

    >>> import torch
    >>> found = target_values({"bought": Field.dense(torch.tensor([[1.0], [0.0]])), "kind": Field.dense(torch.tensor([2, 0]))})
    >>> {name: values.tolist() for name, values in found.items()}
    {'share of bought': [1.0, 0.0], 'share of kind 2': [1.0, 0.0]}
    """
    out: dict[str, Floats] = {}
    for task, target in targets.items():
        values, held = target.values.cpu().numpy(), target.held().cpu().numpy()
        if target.offsets is not None or values.ndim > 2:
            continue
        if values.dtype.kind in "iu" and values.size == len(values):
            out |= _shares(task, np.where(held.reshape(-1), values.reshape(-1), -1))
            continue
        flat = values.reshape(len(values), -1).astype(np.float64)
        flat = np.where(held.reshape(len(held), -1), flat, np.nan)
        for place in range(flat.shape[1]):
            column = flat[:, place]
            what = "share" if np.isin(column[np.isfinite(column)], (0.0, 1.0)).all() else "mean"
            out[f"{what} of {task}" + (f" {place + 1}" if flat.shape[1] > 1 else "")] = column
    return out


def _shares(task: str, codes: Ints) -> dict[str, Floats]:
    held = codes >= 0
    classes, counts = np.unique(codes[held], return_counts=True)
    chosen = np.sort(classes[np.lexsort((classes, -counts))][1 : CLASSES + 1])
    return {
        f"share of {task} {code}": np.where(held, (codes == code).astype(np.float64), np.nan)
        for code in chosen.tolist()
    }


def fold_of(places: Ints, folds: int, seed: int) -> Ints:
    """[N] the fold of rows by their place, from 0 on: a hash of the place modulo `folds`.

    >>> fold_of(np.arange(6), 5, 0).tolist() == fold_of(np.arange(6), 5, 0).tolist()
    True
    """
    return (of_numbers(places, seed, "fold") % np.uint64(folds)).astype(np.int64)


@dataclass(frozen=True)
class TargetEncoder:
    """One column of labels as S statistics of the targets.

    statistics: what each is (`mean of age`). labels: L known ones, sorted. table: [S][L] statistics of later rows. own: [folds][S][L]
    those of the training rows of a fold. prior: [S], for labels never seen and missing cells. scale: [S], the spread of the
    out-of-fold statistics, by which they are divided. indicator: training had missing cells, which get a mark of their own.
    """

    kind: ClassVar[str] = "target"
    field: ClassVar[str] = "numbers"

    name: str
    statistics: tuple[str, ...]
    labels: tuple[str, ...]
    table: Lines
    own: tuple[Lines, ...]
    prior: tuple[float, ...]
    scale: tuple[float, ...]
    smoothing: float
    seed: int
    indicator: bool
    quantiles: Lines = ()

    @staticmethod
    def fit(
        series: pl.Series, targets: Mapping[str, Floats], *, smoothing: float = 10.0, folds: int = FOLDS, seed: int = 0
    ) -> TargetEncoder:
        """Fitted on the training rows of a column of any type.

        targets: {what is averaged: [N] numbers, NaN where the target is missing}; such rows are left out of that statistic alone.

        >>> city = pl.Series("city", ["Rom", "Rom", "Oslo", "Oslo"])
        >>> encoder = TargetEncoder.fit(city, {"mean of age": np.array([1.0, 3.0, 5.0, 7.0])}, smoothing=2)
        >>> encoder.statistic("Rom"), encoder.statistic("Bari")   # (1 + 3 + 2 * 4) / (2 + 2), and the mean of all
        ([3.0], [4.0])
        """
        words = as_label_words(series)
        labels = tuple(words.drop_nulls().unique().sort().to_list())
        codes, fold = _codes(words, labels), fold_of(np.arange(len(words)), folds, seed)
        table, prior, scale, quantiles = [], [], [], []
        own: list[list[tuple[float, ...]]] = [[] for _ in range(folds)]
        for values in targets.values():
            held = np.isfinite(values)
            mean = float(np.sort(values[held]).mean()) if held.any() else 0.0
            line = _line(values, codes, held, len(labels), mean, smoothing)
            lines = [_line(values, codes, held & (fold != one), len(labels), mean, smoothing) for one in range(folds)]
            out_of_fold = np.sort(np.stack(lines)[fold, codes])
            spread = float(np.sqrt(np.square(out_of_fold - mean).mean())) if len(codes) else 0.0
            size = max(abs(mean), float(np.abs(line).max()))
            scale.append(spread if spread > 1e-9 * size else (size or 1.0))
            table.append(_plainly(line))
            for one, place in zip(own, lines, strict=True):
                one.append(_plainly(place))
            prior.append(mean)
            quantiles.append(rising(((out_of_fold - mean) / scale[-1]).astype(np.float32)))
        indicator = words.has_nulls()
        return TargetEncoder(
            series.name,
            tuple(targets),
            labels,
            tuple(table),
            tuple(tuple(one) for one in own),
            tuple(prior),
            tuple(scale),
            float(smoothing),
            seed,
            indicator,
            (*quantiles, (0.0, 1.0)) if indicator else tuple(quantiles),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The column read."""
        return (self.name,)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the numbers this column becomes."""
        names = tuple(f"{self.name}: {one}" for one in self.statistics)
        return (*names, f"{self.name} is missing") if self.indicator else names

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """None: these are numbers."""
        return ()

    @property
    def note(self) -> str:
        """How the column is encoded, in a few words."""
        said = f"{', '.join(self.statistics)} of {len(self.labels)} labels, out of {len(self.own)} folds in training"
        return said + (", missing cells marked" if self.indicator else "")

    def part(self, frame: pl.DataFrame) -> Part:
        """Any rows, by the statistics of all training rows, and a note on labels never seen in training."""
        words = as_label_words(frame[self.name])
        codes = _codes(words, self.labels)
        part = self._part(
            [np.append(line, mean)[codes] for line, mean in zip(self.table, self.prior, strict=True)], words
        )
        return replace(part, notes=unseen_note(frame[self.name], (codes < 0) & words.is_not_null().to_numpy()))

    def training_part(self, frame: pl.DataFrame, places: Ints) -> Part:
        """Training rows, each by the statistics of the folds it is not in; places: [B] where each stood when this was fitted."""
        words = as_label_words(frame[self.name])
        codes, fold = _codes(words, self.labels), fold_of(places, len(self.own), self.seed)
        lines = np.asarray(self.own, dtype=np.float64).reshape(len(self.own), len(self.prior), len(self.labels))
        return self._part(
            [np.c_[lines[:, place], np.full(len(lines), mean)][fold, codes] for place, mean in enumerate(self.prior)],
            words,
        )

    def statistic(self, label: str | None) -> list[float]:
        """[S] the statistics of one label for later rows, before they are scaled."""
        place = self.labels.index(label) if label in self.labels else None
        return [mean if place is None else line[place] for line, mean in zip(self.table, self.prior, strict=True)]

    def _part(self, columns: list[Floats], words: pl.Series) -> Part:
        values = [
            ((column - mean) / scale).astype(np.float32)
            for column, mean, scale in zip(columns, self.prior, self.scale, strict=True)
        ]
        missing = words.is_null().to_numpy()
        valid: list[NDArray[np.bool_] | None] = [~missing] * len(values) if missing.any() else [None] * len(values)
        return Part([*values, missing.astype(np.float32)], [*valid, None]) if self.indicator else Part(values, valid)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal encoder, to the last bit."""
        return {"kind": self.kind, **plain(vars(self))}

    @staticmethod
    def from_json(value: dict[str, Any]) -> TargetEncoder:
        """The encoder `to_json` wrote."""
        return TargetEncoder(**{key: _tuples(one) for key, one in value.items() if key != "kind"})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def _codes(words: pl.Series, labels: tuple[str, ...]) -> Ints:
    """[N] the place of every cell's label, -1 where it is unseen or missing."""
    if not labels:
        return np.full(len(words), -1, dtype=np.int64)
    places = words.replace_strict(list(labels), list(range(len(labels))), default=-1, return_dtype=pl.Int64)
    return np.where(words.is_null().to_numpy(), -1, places.fill_null(-1).to_numpy())


def _line(values: Floats, codes: Ints, held: NDArray[np.bool_], labels: int, mean: float, smoothing: float) -> Floats:
    """[L + 1] the statistic of every label over the held rows, the last one for no label; equal in any order of the rows."""
    held = held & (codes >= 0)
    codes, values = codes[held], values[held]
    order = np.lexsort((values, codes))
    sums = np.bincount(codes[order], values[order], minlength=labels + 1).astype(np.float64)
    weight = np.bincount(codes, minlength=labels + 1) + float(smoothing)
    return np.where(weight > 0, (sums + smoothing * mean) / np.where(weight > 0, weight, 1.0), mean)


def _plainly(line: Floats) -> tuple[float, ...]:
    return tuple(line[:-1].tolist())
