"""Categories as hashes: every label falls into one of a fixed number of buckets, one that training never showed as well.

Code 0 is missing; a label w has code 1 + h(w) mod buckets, h being the first 8 bytes of BLAKE2b over its UTF-8 letters, the same on
every machine. Nothing is learnt, so nothing has to be kept; labels of one bucket cannot be told apart. With L labels in n
buckets a label shares its bucket with chance 1 - (1 - 1/n)^(L - 1).

Source: Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009, without the sign, since codes are embedded.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.data.categories import as_label_words
from cotrain.data.columns import Part


def bucket(word: str, buckets: int) -> int:
    """The bucket of a word, from 0 on.

    >>> bucket("Rom", 16) == bucket("Rom", 16), 0 <= bucket("Oslo", 16) < 16
    (True, True)
    """
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big") % buckets


@dataclass(frozen=True)
class HashEncoder:
    """One column of labels in `buckets` buckets; code 0 is missing.

    >>> HashEncoder("city", 1).encode(pl.Series(["Rom", "Oslo", None])).tolist()
    [1, 1, 0]
    """

    kind: ClassVar[str] = "hash"
    field: ClassVar[str] = "categories"

    name: str
    buckets: int

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
        """How many codes there are: the buckets, and one for missing."""
        return (self.buckets + 1,)

    @property
    def quantiles(self) -> tuple[tuple[float, ...], ...]:
        """None: codes have no order."""
        return ()

    @property
    def note(self) -> str:
        """How the column is encoded, in a few words."""
        return f"labels hashed into {self.buckets} buckets"

    def part(self, frame: pl.DataFrame) -> Part:
        """The codes of any rows."""
        return Part([self.encode(frame[self.name])])

    def encode(self, series: pl.Series) -> NDArray[np.int64]:
        """[B] int64 codes."""
        words = as_label_words(series)
        labels = words.drop_nulls().unique().to_list()
        if not labels:
            return np.zeros(len(words), dtype=np.int64)
        codes = [1 + bucket(label, self.buckets) for label in labels]
        return words.replace_strict(labels, codes, default=0, return_dtype=pl.Int64).fill_null(0).to_numpy().copy()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal encoder."""
        return {"kind": self.kind, **asdict(self)}

    @staticmethod
    def from_json(value: dict[str, Any]) -> HashEncoder:
        """The encoder `to_json` wrote."""
        return HashEncoder(value["name"], value["buckets"])
