"""Columns encoded and targets coded as an earlier run did, so that weights learnt there mean here what they meant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cotrain.core.spec import Codec
from cotrain.data.columns import FoldedEncoder
from cotrain.data.encode import AnyEncoder, TableEncoder


@dataclass(frozen=True)
class Earlier:
    """What is kept of an earlier run. name: for notes. encoder: of its inputs. codecs: {task: fitted codec} of tasks that are the same here.

    same_rows: its training rows were those of this run, row for row; only then statistics of targets, which hold for training rows out of
    fold, can be kept.
    """

    name: str
    encoder: TableEncoder
    codecs: Mapping[str, Codec]
    same_rows: bool = False

    def reused(self, columns: Collection[str]) -> tuple[AnyEncoder, ...]:
        """Its encoders that read these columns only, in its own order; a column's encoders stay together or not at all."""
        anew = {
            name
            for one in self.encoder.encoders
            if isinstance(one, FoldedEncoder) and not self.same_rows
            for name in one.columns
        }
        kept = set(columns) - anew
        return tuple(one for one in self.encoder.encoders if set(one.columns) <= kept)

    def notes(self, columns: Sequence[str]) -> list[str]:
        """What is kept, what is new and what is gone, for a table with these input columns."""
        kept = {name for one in self.reused(columns) for name in one.columns}
        said = [
            f"warm start: columns are encoded as in '{self.name}': {_listed([one for one in columns if one in kept])}"
        ]
        fresh = [one for one in columns if one not in kept]
        gone = [one for one in self.encoder.columns if one not in columns]
        said += [f"encoded anew: {_listed(fresh)}"] if fresh else []
        said += [f"no longer read: {_listed(gone)}"] if gone else []
        said += [f"tasks coded as there: {_listed(list(self.codecs))}"] if self.codecs else []
        return ["; ".join(said)]

    @property
    def digest(self) -> str:
        """A word that changes with everything kept."""
        kept = {name: codec.to_json() for name, codec in self.codecs.items()}
        text = json.dumps([self.encoder.to_json(), kept, self.same_rows], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _listed(names: Sequence[str], most: int = 20) -> str:
    return (", ".join(names[:most]) or "none") + (f" and {len(names) - most} more" if len(names) > most else "")
