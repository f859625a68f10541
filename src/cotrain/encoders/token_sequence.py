"""Texts as sequences of vectors: what every encoder of texts begins with.

Shapes: B rows, S steps (the longest row's tokens), D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.signals import Signal
from cotrain.core.spec import InputSpec

NOTHING = 1
"""The code that stands where a row has no token any more."""


def check_tokens(encoder: str, inputs: InputSpec) -> None:
    """Raises ConfigError for an input that is no text as tokens, or where there is none."""
    for name, spec in inputs.items():
        if spec.kind != "tokens":
            columns = ", ".join(spec.names[:3]) + (" ..." if len(spec.names) > 3 else "")
            hint = (
                "say data.text.encoding: tokens"
                if spec.kind == "bag"
                else "take these columns out of `inputs`, or name inputs with an encoder of their own and a fusion"
            )
            raise ConfigError(
                f"encoder '{encoder}' reads texts as tokens; input '{name}' is of kind '{spec.kind}' ({columns}); {hint}"
            )
    if not inputs:
        raise ConfigError(f"encoder '{encoder}' was given no text; name a column of texts under inputs:")


def bases(inputs: InputSpec) -> tuple[tuple[int, ...], int]:
    """(where each input's codes begin in one table, its rows): inputs of the same vocabulary share their rows.

    >>> from cotrain.core.spec import FieldSpec
    >>> text = lambda size, word: FieldSpec("tokens", cardinalities=(size,), vocabulary=word)
    >>> bases({"a": text(10, "v"), "b": text(5, "w"), "c": text(10, "v")})
    ((0, 10, 0), 15)
    """
    begin: dict[str, int] = {}
    rows = 0
    for name, spec in inputs.items():
        key = spec.vocabulary or f" {name}"  # one without a word of its own is shared with none
        if key not in begin:
            begin[key] = rows
            rows += spec.cardinalities[0]
    return tuple(begin[spec.vocabulary or f" {name}"] for name, spec in inputs.items()), rows


def joined(fields: Sequence[Field], begin: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """(codes, which field each is of, mask), all [B, S]: the fields' tokens of a row one after the other.

    begin: added to each field's codes. S is at least 1, so that a batch without any token has a shape too; where no token is, the code is 1
    and the mask False. A row that does not have a field has no tokens of it.

    >>> line = lambda values, ends: Field(torch.tensor(values), torch.ones(2, dtype=torch.bool), torch.tensor(ends))
    >>> codes, _, mask = joined([line([2, 3, 4], [0, 2, 3]), line([5], [0, 0, 1])], [0, 10])
    >>> codes.tolist(), mask.tolist()
    ([[2, 3], [4, 15]], [[True, True], [True, True]])
    """
    lengths = [torch.where(one.present, one.lengths(), 0) for one in fields]
    total = torch.stack(lengths).sum(0)
    steps = max(int(total.max()) if len(total) else 0, 1)
    codes = torch.full((len(total), steps), NOTHING, dtype=torch.int64, device=total.device)
    which = torch.zeros_like(codes)
    before = torch.zeros_like(total)
    for place, (one, length) in enumerate(zip(fields, lengths, strict=True)):
        row = one.row_of_value()
        offsets = one.offsets if one.offsets is not None else torch.arange(len(total) + 1, device=total.device)
        step = torch.arange(len(row), device=row.device) - offsets[row] + before[row]
        held = one.present[row]
        row, step = row[held], step[held]
        codes[row, step] = one.values[held].reshape(-1) + begin[place]
        which[row, step] = place
        before = before + length
    return codes, which, torch.arange(steps, device=total.device) < total.unsqueeze(1)


class TokenSequence(nn.Module):
    """{input: Field} -> a sequence [B, S, D]: a vector a token, plus one of its column where there are several; dropout.

    width: D of the vectors; out: of the sequence, by W x + b, where another is asked for. Columns of the same vocabulary share its vectors.
    Initial values: vectors normal with variance 1 / D, so that each is about 1 long; those of columns 0.
    """

    def __init__(self, encoder: str, inputs: InputSpec, width: int, *, dropout: float, out: int | None = None) -> None:
        super().__init__()
        check_tokens(encoder, inputs)
        self.names = tuple(inputs)
        self.begin, rows = bases(inputs)
        self.table = nn.Embedding(rows, width)
        nn.init.normal_(self.table.weight, std=width**-0.5)
        self.columns = nn.Parameter(torch.zeros(len(inputs), width)) if len(inputs) > 1 else None
        self.dropout = nn.Dropout(dropout)
        self.project = None if out is None else nn.Linear(width, out)
        self.width = width if out is None else out

    def forward(self, fields: Mapping[str, Field]) -> Signal:
        codes, which, mask = joined([fields[name] for name in self.names], self.begin)
        values: Tensor = self.table(codes)
        if self.columns is not None:
            values = values + self.columns[which]
        values = self.dropout(values)
        if self.project is not None:
            values = self.project(values)
        return Signal(values.masked_fill(~mask.unsqueeze(-1), 0.0), "sequence", mask)


class FeatureDropout(nn.Module):
    """Dropout of whole features of a row: [..., B, S, D], each of a row's D numbers left out at all its steps or at none, the others / (1 - p).

    So it commutes with pooling: dropout after the largest value over a text, as in Kim 2014, is the same. Dropout of single steps would
    not: the largest of values that are 1 / (1 - p) too large is too large.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        return x * F.dropout(x.new_ones(*x.shape[:-2], 1, x.shape[-1]), self.p)


def real(signal: Signal) -> Tensor:
    """The values of a sequence with 0 wherever no step is real, so that what is beside a row never reaches it."""
    if signal.mask is None:
        return signal.values
    return signal.values.masked_fill(~signal.mask.unsqueeze(-1), 0.0)
