"""Categories: labels as codes, fitted on the training rows.

Code 0: never seen in training (a new label, or a missing cell where training had none). Code 1: missing. Code 2: rare, the
labels seen fewer than `rare` times, pooled. From 3 on: the known labels, the most frequent first, equals in order of the word.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.data.column_settings import LabelName
from cotrain.data.columns import Change, Part
from cotrain.data.typed import as_words

TRUTH = ("true", "false")
"""Truth values are the same label however they are written: TRUE, True, true."""

UNSEEN, MISSING, RARE, KNOWN = 0, 1, 2, 3


def as_label_words(series: pl.Series) -> pl.Series:
    """Any column as words, truth values in small letters however they are written.

    >>> as_label_words(pl.Series(["TRUE", "Rom"])).to_list(), as_label_words(pl.Series([True])).to_list()
    (['true', 'Rom'], ['true'])
    """
    words = as_words(series)
    small = words.str.to_lowercase()
    return small.zip_with(small.is_in(TRUTH).fill_null(False), words)


def unseen_note(series: pl.Series, new: NDArray[np.bool_]) -> list[str]:
    """A sentence on the cells that are new, with up to three of them; none where none is.

    >>> unseen_note(pl.Series("city", ["Rom", "Oslo"]), np.array([False, True]))
    ["column 'city': 1 cells never seen in training ('Oslo')"]
    """
    if not new.any():
        return []
    fresh = as_words(series.filter(pl.Series(new)).drop_nulls().unique()).sort().head(3).to_list()
    shown = ", ".join(f"'{label}'" for label in fresh) or "missing, which training never had"
    return [f"column '{series.name}': {int(new.sum())} cells never seen in training ({shown})"]


@dataclass(frozen=True)
class CategoryEncoder:
    """One column of labels. `labels` have codes of their own, `pooled` share one, `missing`: training had missing cells.

    fill: the label that stands for a missing cell, or None where missing is a code of its own.
    """

    kind: ClassVar[str] = "category"
    field: ClassVar[str] = "categories"

    name: str
    labels: tuple[str, ...]
    pooled: tuple[str, ...]
    missing: bool
    fill: str | None = None

    @staticmethod
    def fit(
        series: pl.Series,
        *,
        rare: int = 2,
        most: int | None = None,
        missing: LabelName = "code",
        label: str | None = None,
    ) -> CategoryEncoder:
        """Fitted on the training rows of a column of any type; the order of the rows does not matter.

        rare: labels seen fewer times are pooled. most: so many labels have codes of their own at most, the most frequent ones.
        missing, label: see `ImputeSettings.categories`. Raises DataError if missing cells are to become a constant and no word was told.

        >>> encoder = CategoryEncoder.fit(pl.Series("city", ["Rom", "Rom", "Bari", None]), rare=2)
        >>> encoder.encode(pl.Series(["Rom", "Bari", "Oslo", None])).tolist()
        [3, 2, 0, 1]
        """
        words = as_words(series)
        if words.drop_nulls().str.to_lowercase().is_in(TRUTH).all():
            words = words.str.to_lowercase()
        counts = _counted(words)
        fill = label if missing == "constant" else None
        if missing == "constant" and fill is None:
            raise DataError(
                f"data.impute.label: 'constant' was told no word for column '{series.name}'; give `label`, for example label: unknown"
            )
        if missing == "most_frequent" and counts.height:
            fill = str(counts["word"][0])
        if fill is not None and words.has_nulls():
            words = words.fill_null(fill)
            counts = _counted(words)
        whole = counts.filter(pl.col("count") >= rare).height
        own = whole if most is None else min(whole, most)
        labels = counts.head(own)["word"].to_list()
        pooled = counts.slice(own)["word"].sort().to_list()
        return CategoryEncoder(series.name, tuple(labels), tuple(pooled), words.has_nulls(), fill)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column read."""
        return (self.name,)

    @property
    def features(self) -> tuple[str, ...]:
        """The name of the codes."""
        return (self.name,)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """How many codes the feature has."""
        return (self.cardinality,)

    @property
    def quantiles(self) -> tuple[tuple[float, ...], ...]:
        """None: codes have no order."""
        return ()

    @property
    def note(self) -> str:
        """How the column is encoded, in a few words."""
        pooled = f", {len(self.pooled)} rare labels pooled" if self.pooled else ""
        filled = "" if self.fill is None else f", missing is '{self.fill}'"
        return f"{len(self.labels)} labels{pooled}" + (", missing is one more" if self.missing else filled)

    @property
    def cardinality(self) -> int:
        """How many codes there are: the three of their own and the known labels."""
        return KNOWN + len(self.labels)

    def part(self, frame: pl.DataFrame) -> Part:
        """The codes of any rows, and a note on cells never seen in training."""
        series = frame[self.name]
        codes = self.encode(series)
        return Part([codes], notes=unseen_note(series, codes == UNSEEN) if self.labels or self.pooled else [])

    def changes(self, frame: pl.DataFrame) -> list[Change]:
        """Which cells of any rows are filled."""
        if self.fill is None:
            return []
        return [
            Change(
                "missing cell filled", self.name, frame[self.name].is_null().to_numpy(), f"with the label '{self.fill}'"
            )
        ]

    def encode(self, series: pl.Series) -> NDArray[np.int64]:
        """[B] int64 codes."""
        words = as_words(series)
        if self.fill is not None:
            words = words.fill_null(self.fill)
        if all(label in TRUTH for label in (*self.labels, *self.pooled)):
            words = words.str.to_lowercase()
        known = {label: KNOWN + place for place, label in enumerate(self.labels)} | dict.fromkeys(self.pooled, RARE)
        if not known:
            codes = pl.select(pl.repeat(UNSEEN, len(words), dtype=pl.Int64)).to_series()
        else:
            codes = words.replace_strict(list(known), list(known.values()), default=UNSEEN, return_dtype=pl.Int64)
        out = codes.to_numpy().astype(np.int64, copy=True)
        if words.has_nulls():
            out[words.is_null().to_numpy()] = MISSING if self.missing else UNSEEN
        return out

    def decode(self, codes: NDArray[np.int64]) -> list[str | None]:
        """The labels behind codes; None for unseen, missing and rare."""
        table = [None, None, None, *self.labels]
        return [table[code] for code in codes.tolist()]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal encoder."""
        return {"kind": self.kind, **asdict(self), "labels": list(self.labels), "pooled": list(self.pooled)}

    @staticmethod
    def from_json(value: dict[str, Any]) -> CategoryEncoder:
        """The encoder `to_json` wrote."""
        known = {key: one for key, one in value.items() if key != "kind"}
        return CategoryEncoder(**(known | {"labels": tuple(value["labels"]), "pooled": tuple(value["pooled"])}))


def _counted(words: pl.Series) -> pl.DataFrame:
    """The different words with their counts, the most frequent first, equals in order of the word."""
    counts = words.drop_nulls().alias("word").value_counts(name="count")
    return counts.sort(["count", "word"], descending=[True, False])
