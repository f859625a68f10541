"""Bytes as texts: decoded as UTF-8, and what is none named with its row."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.data.clean import Step
from cotrain.data.settings import DataSettings
from cotrain.data.typed import as_words

Broken = Literal["refuse", "missing"]


def decoded(series: pl.Series, broken: Broken = "refuse") -> tuple[pl.Series, NDArray[np.bool_]]:
    r"""(texts, [B] which cells are bytes that are no UTF-8) of a column of words, of bytes or of whatever has words.

    broken: `refuse` raises DataError naming the first such row and how many there are; `missing` makes them missing.

    >>> texts, wrong = decoded(pl.Series("note", [b"good", b"\xff\xfe", None]), "missing")
    >>> texts.to_list(), wrong.tolist()
    (['good', None, None], [False, True, False])
    """
    if series.dtype != pl.Binary:
        return as_words(series), np.zeros(len(series), dtype=np.bool_)
    texts = [_text(cell) for cell in series.to_list()]
    wrong = np.array(
        [text is None and cell is not None for text, cell in zip(texts, series, strict=True)], dtype=np.bool_
    )
    words = pl.Series(series.name, [text or None for text in texts], dtype=pl.String)
    if broken == "refuse" and wrong.any():
        row, count = int(wrong.argmax()), int(wrong.sum())
        raise DataError(
            f"column '{series.name}', row {row + 1}: text written in UTF-8 is expected, got bytes that are none "
            f"({bytes(series[row])[:12]!r}; {count} such cells of {len(series)}); write the column as text, or set "
            "data.text.broken to missing"
        )
    return words, wrong


def decoded_texts(frame: pl.DataFrame, settings: DataSettings) -> tuple[pl.DataFrame, list[Step]]:
    """(frame, steps) with those columns of bytes as texts that are said to be (`data.kinds`); what is no text is refused or made missing."""
    steps: list[Step] = []
    changed: list[pl.Series] = []
    for name, kind in settings.kinds.items():
        if kind == "text" and frame.schema.get(name) == pl.Binary:
            words, wrong = decoded(frame[name], settings.of(name).text.broken)
            changed.append(words)
            if wrong.any():
                detail = f"made missing; the first in row {int(wrong.argmax()) + 1}"
                steps.append(Step("text not decoded", name, int(wrong.sum()), detail))
    return (frame.with_columns(changed) if changed else frame), steps


def _text(cell: bytes | None) -> str | None:
    if cell is None:
        return None
    try:
        return cell.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
