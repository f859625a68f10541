"""Texts as tokens: each row a sequence of codes, in a ragged field that is the column's own.

Codes lie below the size of the vocabulary; 0 is an unknown token, 1 is free for an encoder's own marks. A text of no token is a row of
length 0; a missing one is not present.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec
from cotrain.core.state import plain
from cotrain.data.columns import Change, field_name
from cotrain.data.decoded import Broken, decoded
from cotrain.data.feature_settings import TextSettings
from cotrain.data.tokenizer import RESERVED, opened, pretrained, size_of, trained
from cotrain.data.words import analyzer_for

_ROWS = 1 << 14


@dataclass(frozen=True)
class Tokenizer:
    """A fitted tokenizer. text: itself, as JSON. what: word, bpe or character, or the name of the pretrained one. size: its codes.

    ours: it was trained here, and its codes are used as they are. unknown: the code of an unknown token in a pretrained one.
    """

    text: str
    what: str
    size: int
    ours: bool = True
    unknown: int | None = None

    @property
    def mark(self) -> str:
        """A word for its vocabulary: fields that bear the same have the same codes."""
        return hashlib.blake2b(self.text.encode(), digest_size=8).hexdigest() if self.ours else self.what

    @staticmethod
    def fit(columns: Sequence[pl.Series], settings: TextSettings) -> Tokenizer:
        """Trained on the texts of all these columns together, as the settings say; a pretrained one is fetched."""
        if settings.tokenizer == "pretrained":
            name = str(settings.pretrained)
            text, unknown = pretrained(name)
            return Tokenizer(text, name, size_of(text) + RESERVED, False, unknown)
        texts = pl.concat([decoded(one, settings.broken)[0].drop_nulls().rename("text") for one in columns])
        how = settings.tokenizer
        if how == "auto":
            how = "character" if analyzer_for(texts) == "char" else "word"
        text = trained(
            texts.to_list(), how, vocabulary=settings.vocabulary, min_count=settings.min_count, lower=settings.lower
        )
        return Tokenizer(text, how, size_of(text))


@dataclass(frozen=True)
class TokenEncoder:
    """One column of texts as a ragged field [N] int64 of codes.

    tokenizer: fitted on training rows. length: tokens of a text at most, the rest is cut off and counted. broken: what becomes of bytes
    that are no text.

    >>> column = pl.Series("review", ["good food", "good wine!", None])
    >>> encoder = TokenEncoder("review", Tokenizer.fit([column], TextSettings(min_count=1)), length=2)
    >>> field, _ = encoder.whole(pl.DataFrame([column]))
    >>> field.lengths().tolist(), field.present.tolist(), int(field.values[0]) == int(field.values[2])
    ([2, 2, 0], [True, True, False], True)
    """

    kind: ClassVar[str] = "tokens"

    name: str
    tokenizer: Tokenizer
    length: int = 256
    broken: Broken = "refuse"

    @property
    def columns(self) -> tuple[str, ...]:
        """The column read."""
        return (self.name,)

    @property
    def field(self) -> str:
        """The field that is this column's own."""
        return field_name(self.name)

    @property
    def spec(self) -> FieldSpec:
        """What a network may know: the size of the vocabulary, and whose it is."""
        return FieldSpec("tokens", (self.name,), (self.tokenizer.size,), vocabulary=self.tokenizer.mark)

    @property
    def note(self) -> str:
        """How the column is encoded, in a few words."""
        what = {"word": "words", "bpe": "byte pairs", "character": "characters"}
        name = what[self.tokenizer.what] if self.tokenizer.ours else f"tokens of {self.tokenizer.what}"
        return f"{name}, {self.tokenizer.size} codes, at most {self.length} a text"

    def whole(self, frame: pl.DataFrame) -> tuple[Field, list[str]]:
        """(the codes, notes) of any rows. Raises DataError naming the first row whose bytes are no text, if such are refused."""
        texts, broken = decoded(frame[self.name], self.broken)
        lengths = np.zeros(len(texts), dtype=np.int64)
        codes: list[NDArray[np.int64]] = []
        for row, one in self._encoded(texts):
            lengths[row] = len(one.ids)
            codes.append(np.asarray(one.ids, dtype=np.int64))
        values = np.concatenate(codes) if codes else np.zeros(0, dtype=np.int64)
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), lengths.cumsum()])
        field = Field(
            torch.from_numpy(self._ours(values)),
            torch.from_numpy(texts.is_not_null().to_numpy().copy()),
            torch.from_numpy(offsets),
        )
        count = int(broken.sum())
        notes = [f"column '{self.name}': {count} cells are no text and were made missing, the first in row {int(broken.argmax()) + 1}"]  # fmt: skip
        return field, notes if count else []

    def changes(self, frame: pl.DataFrame) -> list[Change]:
        """Texts that were cut off, and bytes that were no text."""
        texts, broken = decoded(frame[self.name], self.broken)
        cut = np.zeros(len(texts), dtype=np.bool_)
        for row, one in self._encoded(texts):
            cut[row] = len(one.overflowing) > 0
        return [
            Change("text cut off", self.name, cut, f"after {self.length} tokens (data.text.length)"),
            Change("text not decoded", self.name, broken, "made missing"),
        ]

    def _encoded(self, texts: pl.Series) -> Iterator[tuple[int, Any]]:
        """(row, what the tokenizer says) of every text there is."""
        tokenizer = opened(self.tokenizer.text, self.length)
        held = np.flatnonzero(texts.is_not_null().to_numpy())
        for start in range(0, len(held), _ROWS):
            rows = held[start : start + _ROWS]
            yield from zip(rows.tolist(), tokenizer.encode_batch_fast(texts[rows].to_list()), strict=True)

    def _ours(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.tokenizer.ours:
            return values
        codes = values + RESERVED
        return codes if self.tokenizer.unknown is None else np.where(values == self.tokenizer.unknown, 0, codes)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal encoder, to the last bit."""
        return {"kind": self.kind, **plain({**vars(self), "tokenizer": vars(self.tokenizer)})}

    @staticmethod
    def from_json(value: dict[str, Any]) -> TokenEncoder:
        """The encoder `to_json` wrote."""
        known = {key: one for key, one in value.items() if key != "kind"}
        return TokenEncoder(**(known | {"tokenizer": Tokenizer(**value["tokenizer"])}))


def tokenizers(frame: pl.DataFrame, columns: Mapping[str, TextSettings]) -> dict[str, Tokenizer]:
    """{column: tokenizer} of those that become tokens; columns of the same settings, but for how long a text may be, share one, trained on
    the texts of them all.
    """
    ways = {name: replace(one, length=TextSettings.length) for name, one in columns.items() if one.encoding == "tokens"}
    fitted = {
        way: Tokenizer.fit([frame[name] for name, one in ways.items() if one == way], way)
        for way in dict.fromkeys(ways.values())
    }
    return {name: fitted[way] for name, way in ways.items()}
