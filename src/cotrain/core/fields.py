"""Field and Batch: one named input or target of some rows, and the rows themselves.

Shapes: B rows in the batch, N values held by a field (N = B for one value a row; more or fewer where rows are ragged).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cotrain.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Field:
    """One input or target of B rows, with what is missing said beside the values and never inside them.

    values: [N, ...]. Without offsets N = B; with them the values of row b are `values[offsets[b]:offsets[b + 1]]`.
    present: [B] bool, this row has the field at all (as input or as target).
    offsets: [B + 1] int64 rising from 0 to N, or None; for tokens, boxes, events.
    valid: bool, shaped like the leading axes of `values` ([N] or [N, C] ...), or None when every cell holds.
    weight: [B] finite weights >= 0 of the rows for this field alone (a target's own), beside the batch's, or None.
    Absent or invalid places hold finite filler, so that no mask is ever undone by NaN x 0.

    >>> words = Field(torch.arange(5), torch.tensor([True, False, True]), offsets=torch.tensor([0, 2, 2, 5]))
    >>> len(words), words.select(torch.tensor([2, 0])).values.tolist()
    (3, [2, 3, 4, 0, 1])
    """

    values: Tensor
    present: Tensor
    offsets: Tensor | None = None
    valid: Tensor | None = None
    weight: Tensor | None = None

    @staticmethod
    def dense(values: Tensor, valid: Tensor | None = None) -> Field:
        """A field in which every row is present: values [B, ...]."""
        return Field(values, torch.ones(len(values), dtype=torch.bool, device=values.device), None, valid)

    def __len__(self) -> int:
        return len(self.present)

    def check(self, name: str) -> None:
        """Raises DataError, naming the field, if lengths, offsets or masks contradict each other."""
        rows = len(self.present)
        for what, mask in (("present", self.present), ("valid", self.valid)):
            if mask is not None and mask.dtype != torch.bool:
                raise DataError(f"field '{name}': {what} must be bool, got {mask.dtype}; compare with 0 to make it so")
        if self.offsets is None:
            if len(self.values) != rows:
                raise DataError(
                    f"field '{name}': {len(self.values)} values for {rows} rows; give offsets if rows are ragged"
                )
        else:
            steps = self.offsets.tolist()
            if len(steps) != rows + 1 or steps[0] != 0 or steps[-1] != len(self.values) or steps != sorted(steps):
                raise DataError(
                    f"field '{name}': offsets must be {rows + 1} numbers rising from 0 to {len(self.values)} "
                    f"({rows} rows, {len(self.values)} values), got {steps[:8]}{' ...' if len(steps) > 8 else ''}"
                )
        if self.valid is not None and self.valid.shape != self.values.shape[: self.valid.dim()]:
            raise DataError(
                f"field '{name}': valid has shape {tuple(self.valid.shape)}, values {tuple(self.values.shape)}; "
                "valid must match the leading axes of values"
            )
        if self.weight is not None:
            if self.weight.shape != (rows,):
                raise DataError(
                    f"field '{name}': weight has shape {tuple(self.weight.shape)} for {rows} rows; give one a row"
                )
            check_weights(self.weight, f"field '{name}'")

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Field:
        """The same field on another device."""

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device, non_blocking=non_blocking)

        return Field(
            self.values.to(device, non_blocking=non_blocking),
            self.present.to(device, non_blocking=non_blocking),
            move(self.offsets),
            move(self.valid),
            move(self.weight),
        )

    def select(self, rows: Tensor) -> Field:
        """The field of the given rows ([M] int64 row numbers, or [B] bool), in that order."""
        if rows.dtype == torch.bool:
            rows = rows.nonzero().squeeze(1)
        present = self.present[rows]
        weight = None if self.weight is None else self.weight[rows]
        if self.offsets is None:
            return Field(self.values[rows], present, None, None if self.valid is None else self.valid[rows], weight)
        starts, lengths = self.offsets[:-1][rows], self.lengths()[rows]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        cells = torch.arange(int(offsets[-1]), device=rows.device)
        index = cells - offsets[:-1].repeat_interleave(lengths) + starts.repeat_interleave(lengths)
        return Field(self.values[index], present, offsets, None if self.valid is None else self.valid[index], weight)

    def lengths(self) -> Tensor:
        """[B] how many values each row holds (1 everywhere without offsets)."""
        if self.offsets is None:
            return torch.ones(len(self), dtype=torch.int64, device=self.present.device)
        return self.offsets[1:] - self.offsets[:-1]

    def row_of_value(self) -> Tensor:
        """[N] the row each value belongs to."""
        rows = torch.arange(len(self), device=self.present.device)
        return rows if self.offsets is None else rows.repeat_interleave(self.lengths())

    def padded(self) -> tuple[Tensor, Tensor]:
        """Ragged values as ([B, S, ...], mask [B, S]), S the longest row; filler is 0. `values[mask]` gives the ragged values back.

        Without offsets S = 1 and the mask is `present`.
        """
        if self.offsets is None:
            return self.values.unsqueeze(1), self.present.unsqueeze(1)
        lengths = self.lengths()
        longest = int(lengths.max()) if len(lengths) else 0
        mask = torch.arange(longest, device=lengths.device) < lengths.unsqueeze(1)
        out = self.values.new_zeros((len(self), longest, *self.values.shape[1:]))
        out[mask] = self.values
        return out, mask

    def held(self) -> Tensor:
        """Bool, True where a value really is one: `valid` and `present` together, shaped like `valid` or [N]."""
        present = self.present if self.offsets is None else self.present[self.row_of_value()]
        if self.valid is None:
            return present
        return self.valid & present.reshape(-1, *([1] * (self.valid.dim() - 1)))

    def filled(self) -> Tensor:
        """`values` with 0 wherever none is held, so that whatever stands there (NaN too) reaches no loss and no gradient."""
        held = self.held()
        held = held.reshape(*held.shape, *([1] * (self.values.dim() - held.dim())))
        return torch.where(held, self.values, self.values.new_zeros(()))

    @staticmethod
    def cat(fields: Sequence[Field]) -> Field:
        """Rows of several fields (one at least), one after the other; ragged if any of them is."""
        values = torch.cat([one.values for one in fields])
        present = torch.cat([one.present for one in fields])
        offsets = None
        if any(one.offsets is not None for one in fields):
            lengths = torch.cat([one.lengths() for one in fields])
            offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        valid = None
        depth = max(one.valid.dim() if one.valid is not None else 0 for one in fields)
        if depth:
            valid = torch.cat([one._valid_to(depth) for one in fields])
        weight = None
        if any(one.weight is not None for one in fields):
            ones = [one.present.to(torch.float32) * 0 + 1 if one.weight is None else one.weight for one in fields]
            weight = torch.cat(ones)
        return Field(values, present, offsets, valid, weight)

    def _valid_to(self, depth: int) -> Tensor:
        """`valid` over the first `depth` axes of the values; True everywhere where there was none."""
        shape = self.values.shape[:depth]
        if self.valid is None:
            return self.present.new_ones(shape)
        return self.valid.reshape(*self.valid.shape, *([1] * (depth - self.valid.dim()))).expand(shape)


MAIN = "main"
"""What the only source is called."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one source, ready for a step.

    source: which source the rows come from. inputs: {name: Field}. targets: {task: Field}; a task may be absent.
    weight: [B] finite row weights >= 0, or None. row: [B] int64, the rows' numbers in their source; they stay on the CPU.
    """

    inputs: Mapping[str, Field]
    targets: Mapping[str, Field] = field(default_factory=dict)
    weight: Tensor | None = None
    row: Tensor | None = None
    source: str = MAIN

    def __len__(self) -> int:
        for one in self.inputs.values():
            return len(one)
        raise DataError(f"the batch of source '{self.source}' has no input; give at least one Field as inputs")

    def check(self) -> None:
        """Raises DataError if any two fields disagree on the number of rows, one contradicts itself, or a weight is none."""
        rows = len(self)
        for kind, fields in (("input", self.inputs), ("target", self.targets)):
            for name, one in fields.items():
                one.check(name)
                if len(one) != rows:
                    raise DataError(
                        f"{kind} '{name}' has {len(one)} rows, the batch of source '{self.source}' has {rows}"
                    )
        for kind, beside in (("weight", self.weight), ("row", self.row)):
            if beside is not None and beside.shape != (rows,):
                raise DataError(
                    f"{kind} has shape {tuple(beside.shape)}, the batch of source '{self.source}' has {rows} rows; give one a row"
                )
        if self.weight is not None:
            check_weights(self.weight, f"the batch of source '{self.source}'")

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The same batch on another device."""
        return replace(
            self,
            inputs={name: one.to(device, non_blocking=non_blocking) for name, one in self.inputs.items()},
            targets={name: one.to(device, non_blocking=non_blocking) for name, one in self.targets.items()},
            weight=None if self.weight is None else self.weight.to(device, non_blocking=non_blocking),
        )

    def select(self, rows: Tensor) -> Batch:
        """The given rows ([M] int64 row numbers, or [B] bool), in that order."""
        return replace(
            self,
            inputs={name: one.select(rows) for name, one in self.inputs.items()},
            targets={name: one.select(rows) for name, one in self.targets.items()},
            weight=None if self.weight is None else self.weight[rows],
            row=None if self.row is None else self.row[rows.to(self.row.device)],
        )


def check_weights(weight: Tensor, where: str) -> None:
    """Raises DataError naming the first row whose weight is negative or not finite."""
    sound = (weight >= 0) & weight.isfinite()
    if not bool(sound.all()):
        row = int((~sound).nonzero()[0])
        raise DataError(
            f"weights must be finite and >= 0, got {float(weight[row])} in row {row} of {where}; use 0 to leave a row out"
        )


def cell_weight(target: Field, weight: Tensor | None) -> Tensor:
    """weight x valid for every cell of a target, shaped like `target.held()`, float32 or wider.

    This one rule gives missing cells, row weights and tagging alike: a row's weight goes to each of its values. A target's own
    `weight` multiplies the batch's.

    >>> tags = Field(torch.zeros(3), torch.tensor([True, True]), torch.tensor([0, 2, 3]), torch.tensor([True, False, True]))
    >>> cell_weight(tags, torch.tensor([1.0, 0.5])).tolist()
    [1.0, 0.0, 0.5]
    """
    held = target.held()
    if target.weight is not None:
        weight = target.weight if weight is None else weight * target.weight
    if weight is None:
        return held.to(torch.float32)
    if target.offsets is not None:
        weight = weight[target.row_of_value()]
    weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
    return held * weight.reshape(-1, *([1] * (held.dim() - 1)))


def label_count(target: Field, weight: Tensor | None) -> Tensor:
    """The sum of weight x valid, 0-dim float64: how much one batch's labels count for in `L_k = all sums / all counts`."""
    return cell_weight(target, weight).sum(dtype=torch.float64)


def weighted(element: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """(sum, count) of element losses: sum of weight x valid x element, and sum of weight x valid.

    element: shaped like `target.held()`, [N] or [N, C]; any further axes of it are averaged, so that a row counts once.
    Elements that do not count cannot spoil the sum, NaN included; for the gradient the element must be made from `target.filled()`.
    Raises DataError for an element of another shape.

    >>> two = Field(torch.zeros(2), torch.tensor([True, False]))
    >>> [float(x) for x in weighted(torch.tensor([3.0, float("nan")]), two, None)]
    [3.0, 1.0]
    """
    cells = cell_weight(target, weight)
    if element.shape[: cells.dim()] != cells.shape:
        raise DataError(
            f"element losses must be shaped like the target's cells {tuple(cells.shape)}, got {tuple(element.shape)}; "
            "give one a value (or one a cell where single cells can be missing)"
        )
    if element.dim() > cells.dim():
        element = element.flatten(cells.dim()).mean(-1)
    return torch.where(cells > 0, element * cells, element.new_zeros(())).sum(), cells.sum()
