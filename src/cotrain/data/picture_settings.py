"""What a user may say about how pictures become inputs. Plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from cotrain.core.errors import ConfigError, unknown

BrokenAction = Literal["missing", "drop", "refuse"]

LARGEST = 256
"""Training pictures that are all of one size keep it, if no side is longer than this."""

OTHERWISE = (64, 64)
"""Height and width of pictures that come in several sizes, or in a large one, where none is said."""


@dataclass(frozen=True)
class ImageSettings:
    """How pictures become inputs: values of 0 to 255, all of one size, standardised by channel with what the training rows say.

    size: height and width that every picture is resized to (bilinear, over all the places a new one covers), or one number for both; `auto`,
    the size of the training pictures if all have the same and no side is above 256, else 64 x 64.
    channels: 1 (grey), 3 (red, green, blue) or `auto`, 1 if no training picture has colours. Transparent places lie on white.
    folder: where relative paths begin, a folder or a zip file; without it, where the table's file lies.
    broken: what becomes of a picture that is not there or cannot be decoded: `missing`, the row has no picture; `drop`, the same, and a row of the
    training split leaves it; `refuse`, nothing is done until it is mended. It is counted and named with its row and the reason.
    cache_mib: decoded pictures are kept, in a file mapped into memory, if they take at most so many MiB; else each is decoded whenever it is
    needed.
    """

    size: int | tuple[int, int] | Literal["auto"] = "auto"
    channels: Literal["auto", 1, 3] = "auto"
    folder: str | None = None
    broken: BrokenAction = "missing"
    cache_mib: int = 2048

    def __post_init__(self) -> None:
        if self.size != "auto":
            sides = (self.size, self.size) if isinstance(self.size, int) else tuple(self.size)
            if len(sides) != 2 or any(isinstance(one, bool) or not isinstance(one, int) or one < 1 for one in sides):
                raise ConfigError(
                    f"data.image.size: auto, one number or [height, width] of at least 1 is expected, got {self.size!r}; for example 32"
                )
        if self.channels not in ("auto", 1, 3):
            raise ConfigError(
                f"data.image.channels: auto, 1 (grey) or 3 (red, green, blue) is expected, got {self.channels!r}"
            )
        if self.broken not in get_args(BrokenAction):
            raise ConfigError("data.image.broken: " + unknown("action", str(self.broken), get_args(BrokenAction)))
        if self.cache_mib < 0:
            raise ConfigError(
                f"data.image.cache_mib: 0 or more is expected, got {self.cache_mib}; 0 keeps no decoded picture"
            )

    @property
    def sides(self) -> tuple[int, int] | None:
        """(height, width), None for `auto`."""
        if self.size == "auto":
            return None
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def beside(self, folder: Path) -> ImageSettings:
        """The same with a relative `folder` moved into another one."""
        if self.folder is None:
            return self
        return ImageSettings(self.size, self.channels, str(folder / self.folder), self.broken, self.cache_mib)
