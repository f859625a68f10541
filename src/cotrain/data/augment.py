"""Augmentation: training rows changed at random, with the targets that move along, as a pure function of the generator handed in.

Only training rows are augmented, batch by batch; what is drawn depends on (seed, epoch, step) alone, so that a resumed training meets the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError, unknown
from cotrain.core.fields import Batch, Field
from cotrain.core.randomness import generator
from cotrain.core.spec import InputSpec, Task
from cotrain.data.picture_colours import ColourSettings, coloured, erased
from cotrain.data.picture_moves import AffineSettings, Flip, affines, after, crops, flips, moved


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """How one input is changed while training. Pictures: flip, crop, affine, colour, erase, in this order. Tokens: token_dropout.

    flip: mirrored with a chance of a half along an axis: none, horizontal (left and right change places), vertical or both. crop: so many pixels of
    zeros around the picture, of which a crop of its own size is taken anywhere. affine: turned, resized, shifted and sheared. colour: brightness, contrast
    and saturation. erase: with a chance of a half a rectangle of at most this share of the area is wiped out, 0 to 1. token_dropout: chance that a token is
    made an unknown one, 0 to 1.
    """

    flip: Flip = "none"
    crop: int = 0
    affine: AffineSettings | None = None
    colour: ColourSettings | None = None
    erase: float = 0.0
    token_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.flip not in get_args(Flip):
            raise ConfigError(unknown("flip of an augmentation", str(self.flip), get_args(Flip)))
        if not isinstance(self.crop, int) or isinstance(self.crop, bool) or self.crop < 0:
            raise ConfigError(
                f"crop of an augmentation must be a whole number of pixels of at least 0, got {self.crop!r}"
            )
        if not 0 <= self.erase <= 1:
            raise ConfigError(f"erase of an augmentation must be a share from 0 to 1, got {self.erase}")
        if not 0 <= self.token_dropout < 1:
            raise ConfigError(
                f"token_dropout of an augmentation must be a chance of at least 0 and below 1, got {self.token_dropout}"
            )

    @property
    def moves(self) -> bool:
        """Whether places in a picture change."""
        return self.flip != "none" or self.crop > 0 or self.affine is not None

    @property
    def of_pictures(self) -> bool:
        """Whether anything is asked for that only a picture has."""
        return self.moves or self.colour is not None or self.erase > 0


@runtime_checkable
class Movable(Protocol):
    """A target's codec whose values lie in a picture. matrix: [B, 2, 3], where a point (in shares of the picture) goes."""

    def moved(self, field: Field, matrix: Tensor) -> Field: ...


class Augmentation:
    """Changes a batch at random; what it was given stays as it is.

    settings: {input: settings}. tasks: those whose targets lie in the picture (their codec has `moved`) move along with it.
    Raises ConfigError if two pictures are moved and a target lies in one of them.

    >>> mirror = Augmentation({"photo": AugmentSettings(flip="horizontal")})
    >>> photos = Batch({"photo": Field.dense(torch.tensor([0, 255], dtype=torch.uint8).repeat(4, 1, 1, 1))})
    >>> [row.flatten().tolist() for row in mirror(photos, torch.Generator().manual_seed(0)).inputs["photo"].values]
    [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]
    """

    def __init__(self, settings: Mapping[str, AugmentSettings], tasks: Iterable[Task] = ()) -> None:
        self.settings = dict(settings)
        self.movable = {task.name: task.codec for task in tasks if isinstance(task.codec, Movable)}
        moving = [name for name, one in self.settings.items() if one.moves]
        if len(moving) > 1 and self.movable:
            raise ConfigError(
                f"augment.{moving[1]}: {' and '.join(moving)} are both moved, but task '{next(iter(self.movable))}' lies in one picture; move one of them only"
            )

    def check(self, specs: InputSpec) -> None:
        """Raises ConfigError for an input that is not there, or for settings that it has no use for."""
        for name, one in self.settings.items():
            if name not in specs:
                raise ConfigError(f"augment.{name}: {unknown('input', name, list(specs))}")
            kind = specs[name].kind
            for asked, wanted, what in (
                (one.of_pictures, "image", "flip, crop, affine, colour and erase are for pictures"),
                (one.token_dropout > 0, "tokens", "token_dropout is for texts as tokens"),
            ):
                if asked and kind != wanted:
                    raise ConfigError(
                        f"augment.{name}: {what}, but this input is of kind '{kind}'; take the setting out"
                    )

    def __call__(self, batch: Batch, draws: torch.Generator) -> Batch:
        """The batch with its inputs changed, and with the targets that move along; pictures come out as float32 of 0 to 1.

        Raises DataError for an input that has no pictures [B, C, H, W] or no tokens.
        """
        inputs, targets = dict(batch.inputs), dict(batch.targets)
        for name, one in self.settings.items():
            if name not in inputs:
                continue  # of another source
            if one.of_pictures:
                inputs[name], matrix = _pictures(name, inputs[name], one, draws)
                if matrix is not None:
                    targets |= {
                        task: codec.moved(targets[task], matrix.to(targets[task].values.device))
                        for task, codec in self.movable.items()
                        if task in targets
                    }
            if one.token_dropout:
                inputs[name] = _tokens(name, inputs[name], one.token_dropout, draws)
        return replace(batch, inputs=inputs, targets=targets)

    def over(self, batches: Any, *, seed: int = 0) -> Augmented:
        """Batches augmented anew every epoch, as `Trainer.fit` takes them. batches: a function epoch -> iterable, or an iterable that can be had again.

        What is drawn for a step is a function of seed, epoch and the step's number.
        """
        return Augmented(batches, self, seed)


class Augmented:
    """A function epoch -> augmented batches (or lists of them, one a source) over any such function or iterable."""

    def __init__(self, source: Any, augmentation: Augmentation, seed: int) -> None:
        self.source, self.augmentation, self.seed = source, augmentation, seed
        self.rows: int | None = getattr(source, "rows", None)

    def __call__(self, epoch: int) -> Iterator[Batch | list[Batch]]:
        steps = self.source(epoch) if callable(self.source) else self.source
        for step, item in enumerate(steps):
            if isinstance(item, Batch):
                yield self._one(item, epoch, step)
            elif isinstance(item, list | tuple) and all(isinstance(one, Batch) for one in item):
                yield [self._one(one, epoch, step) for one in item]
            else:
                raise DataError(
                    f"augmentation changes a Batch, or a list of them, got a {type(item).__name__}; wrap rows in cotrain.Batch"
                )

    def __len__(self) -> int:
        return len(self.source)

    def of_size(self, size: int) -> Augmented:
        """The same rows in batches of another size, where the source can be had so."""
        make: Callable[[int], Any] | None = getattr(self.source, "of_size", None)
        return self if make is None else Augmented(make(size), self.augmentation, self.seed)

    def _one(self, batch: Batch, epoch: int, step: int) -> Batch:
        return self.augmentation(batch, generator(self.seed, "augment", batch.source, epoch, step))


def _pictures(
    name: str, field: Field, settings: AugmentSettings, draws: torch.Generator
) -> tuple[Field, Tensor | None]:
    """The field changed, and where points of each picture went, or None if they stayed."""
    if field.values.dim() != 4 or field.offsets is not None:
        raise DataError(
            f"input '{name}': augmentation of pictures needs values [B, C, H, W], got {tuple(field.values.shape)}"
        )
    values = field.values
    pictures = values if values.is_floating_point() else values.float() / 255
    rows, size = len(values), (values.shape[2], values.shape[3])
    matrix = None
    if settings.moves:
        matrix = flips(rows, settings.flip, draws)
        if settings.crop:
            matrix = after(crops(rows, settings.crop, size, draws), matrix)
        if settings.affine is not None:
            matrix = after(affines(rows, settings.affine, size, draws), matrix)
        fill = "zeros" if settings.affine is None else settings.affine.fill
        matrix = matrix.to(pictures.device)
        pictures = moved(pictures, matrix, exact=settings.affine is None, fill=fill)
    if settings.colour is not None:
        pictures = coloured(pictures, settings.colour, draws)
    if settings.erase:
        pictures = erased(pictures, settings.erase, draws)
    return replace(field, values=pictures), matrix


def _tokens(name: str, field: Field, chance: float, draws: torch.Generator) -> Field:
    """Tokens made unknown (code 0), each by itself; rows keep their lengths.

    Source: S. R. Bowman et al., Generating Sentences from a Continuous Space, CoNLL 2016, section 3.3: word dropout.
    """
    if field.offsets is None or field.values.is_floating_point():
        raise DataError(
            f"input '{name}': token_dropout needs ragged whole numbers, got {field.values.dtype} {tuple(field.values.shape)}"
        )
    lost = torch.rand(field.values.shape, generator=draws) < chance
    return replace(field, values=field.values.masked_fill(lost.to(field.values.device), 0))
