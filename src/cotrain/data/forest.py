"""Outlying rows by an isolation forest, kept as plain numbers: random trees set a row apart the sooner the odder it is.

For a row x, h(x) is the mean over trees of the length of its way to a leaf, plus the mean way c(m) on among the m training rows that
share the leaf; with n rows a tree the score is 2^(-h(x) / c(n)), near 1 for a row set apart at once. A row is an outlier if its score
is above that of the share `contamination` of training rows.
Source: Liu, Ting & Zhou, Isolation Forest, ICDM 2008. Grown by scikit-learn; the trees are stored as JSON and walked here, with equal
scores to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.state import plain
from cotrain.data.column_settings import OutlierSettings
from cotrain.data.columns import Change, Part
from cotrain.data.numbers import as_floats

_LARGEST = 3e38
_ROWS = 65_536


@dataclass(frozen=True)
class ForestEncoder:
    """The flag of outlying rows, from all number columns at once; a missing cell stands at the training median.

    fills: one a column. Nodes of all trees one after the other: `left`, `right` (-1 at a leaf, else a node), `column`, `threshold`
    (a cell of at most it goes left), `length` (at a leaf: the way to it and on). roots: of the trees. full: T c(n). offset: of scores.
    """

    kind: ClassVar[str] = "isolation_forest"
    field: ClassVar[str] = "numbers"
    features: ClassVar[tuple[str, ...]] = ("row is an outlier",)
    cardinalities: ClassVar[tuple[int, ...]] = ()
    quantiles: ClassVar[tuple[tuple[float, ...], ...]] = ((0.0, 1.0),)
    note: ClassVar[str] = "outlying rows flagged"

    columns: tuple[str, ...]
    fills: tuple[float, ...]
    roots: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    column: tuple[int, ...]
    threshold: tuple[float, ...]
    length: tuple[float, ...]
    full: float
    offset: float

    @staticmethod
    def fit(frame: pl.DataFrame, columns: Sequence[str], settings: OutlierSettings, seed: int) -> ForestEncoder:
        """Grown on the training rows of `frame`, in an order of their own, so that theirs does not matter."""
        from sklearn.ensemble import IsolationForest

        values = [as_floats(frame[name]) for name in columns]
        fills = [float(np.median(held)) if len(held := one[np.isfinite(one)]) else 0.0 for one in values]
        rows = _matrix(values, fills)
        rows = rows[np.lexsort(rows.T)]
        forest = IsolationForest(
            n_estimators=settings.trees,
            max_samples=min(settings.samples, len(rows)),
            contamination=settings.contamination,
            random_state=seed % 2**32,
        ).fit(rows)
        left: list[int] = []
        right: list[int] = []
        column: list[int] = []
        roots: list[int] = []
        threshold: list[float] = []
        length: list[float] = []
        for grown in forest.estimators_:
            tree, start = grown.tree_, len(left)
            roots.append(start)
            for found, part in ((left, tree.children_left), (right, tree.children_right)):
                found += np.where(part < 0, -1, part + start).tolist()
            column += np.maximum(tree.feature, 0).tolist()
            threshold += tree.threshold.tolist()
            length += (tree.compute_node_depths() + average_way(tree.n_node_samples) - 1.0).tolist()
        return ForestEncoder(
            tuple(columns),
            tuple(fills),
            tuple(roots),
            *(tuple(left), tuple(right), tuple(column), tuple(threshold), tuple(length)),
            full=float(len(roots) * average_way(np.array([forest.max_samples_]))[0]),
            offset=float(forest.offset_),
        )

    def scores(self, frame: pl.DataFrame) -> NDArray[np.float64]:
        """[B] minus the score of every row, as scikit-learn's `score_samples`: the lower, the odder."""
        rows = _matrix([as_floats(frame[name]) for name in self.columns], self.fills)
        left, right, column = np.array(self.left), np.array(self.right), np.array(self.column)
        threshold, length = np.array(self.threshold), np.array(self.length)
        out = np.empty(len(rows))
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            each = np.arange(len(part))
            ways = np.zeros(len(part))
            for root in self.roots:
                node = np.full(len(part), root)
                while (inner := left[node] >= 0).any():
                    below = part[each, column[node]] <= threshold[node]
                    node = np.where(inner, np.where(below, left[node], right[node]), node)
                ways += length[node]
            out[start : start + _ROWS] = -(2.0 ** -(ways / self.full if self.full else ways * 0 + 1.0))
        return out

    def odd(self, frame: pl.DataFrame) -> NDArray[np.bool_]:
        """[B] bool, True for an outlying row."""
        return np.asarray(self.scores(frame) - self.offset < 0)

    def part(self, frame: pl.DataFrame) -> Part:
        """The flag of any rows."""
        return Part([self.odd(frame).astype(np.float32)])

    def changes(self, frame: pl.DataFrame) -> list[Change]:
        """Which rows are flagged."""
        return [Change("outlying row flagged", None, self.odd(frame), f"by {len(self.roots)} isolation trees")]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal encoder, to the last bit."""
        return {"kind": self.kind, **plain(asdict(self))}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ForestEncoder:
        """The encoder `to_json` wrote."""
        known: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in value.items()}
        del known["kind"]
        return ForestEncoder(**known)


def average_way(counts: NDArray[Any]) -> NDArray[np.float64]:
    """c(m) = 2 H(m - 1) - 2 (m - 1) / m, the mean way in a random tree of m rows, with H(i) = ln i + Euler's .5772; c(2) = 1, c(1) = 0.

    >>> average_way(np.array([1, 2, 256])).round(4).tolist()
    [0.0, 1.0, 10.2448]
    """
    many = np.maximum(counts, 3).astype(np.float64)
    way = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.asarray(np.where(counts <= 1, 0.0, np.where(counts == 2, 1.0, way)))


def _matrix(values: Sequence[NDArray[np.float64]], fills: Sequence[float]) -> NDArray[np.float32]:
    """[B, C] float32, missing cells filled, cells within what float32 holds."""
    filled = [np.where(np.isfinite(one), one, fill) for one, fill in zip(values, fills, strict=True)]
    out: NDArray[np.float32] = np.clip(np.stack(filled, 1), -_LARGEST, _LARGEST).astype(np.float32)
    return out
