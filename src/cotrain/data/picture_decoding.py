"""One picture from its bytes, or from an array, as whole numbers of 0 to 255. Pillow decodes; it is imported when it is needed.

Shapes: C channels, H x W places.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cotrain.core.errors import MissingExtraError

if TYPE_CHECKING:
    from PIL import Image

Raw = bytes | NDArray[Any]
"""A picture as it lies in a file, or as an array [H, W] or [H, W, C]."""

_GREY = ("1", "L", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_DEEP = 257
"""65535 / 255: from 16 bits to 8."""


class BrokenPictureError(Exception):
    """A picture that cannot be read; its text is the reason, in a few words."""


def pillow() -> Any:
    """The module `PIL.Image`. Raises MissingExtraError where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("reading pictures", "image") from error
    return Image


def look(raw: Raw) -> tuple[tuple[int, int], int]:
    """((height, width), channels: 1 or 3) of a picture, of which only the beginning is decoded. Raises BrokenPictureError."""
    if isinstance(raw, np.ndarray):
        grey = raw.ndim == 2 or raw.shape[2] == 1
        return (int(raw.shape[0]), int(raw.shape[1])), 1 if grey else 3
    with _opened(raw) as image:
        wide, high = image.size
        turned = _orientation(image) in (5, 6, 7, 8)
        grey = image.mode in (*_GREY, "LA")
        return ((wide, high) if turned else (high, wide)), 1 if grey else 3


def decoded(raw: Raw, size: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    """[C, H, W] uint8: the picture upright, in the wanted channels, resized. Raises BrokenPictureError.

    Places that are transparent lie on white; 16 bits a channel are brought to 8; CMYK, palettes and others become red, green, blue.
    Arrays may hold whole numbers of 0 to 255, truth values, or fractions of 0 to 1.

    >>> decoded(np.array([[0.0, 1.0]]), (1, 2), 1).tolist()
    [[[0, 255]]]
    """
    if isinstance(raw, np.ndarray) and raw.dtype == np.uint8 and raw.shape == (*size, 3)[: 2 if channels == 1 else 3]:
        return raw[None] if channels == 1 else np.ascontiguousarray(raw.transpose(2, 0, 1))  # as it should be already
    image = from_array(raw) if isinstance(raw, np.ndarray) else from_bytes(raw, size)
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    high, wide = size
    if image.size != (wide, high):
        image = image.resize((wide, high), pillow().Resampling.BILINEAR)
    cells = np.asarray(image, dtype=np.uint8)
    return cells[None] if channels == 1 else np.ascontiguousarray(cells.transpose(2, 0, 1))


def from_bytes(raw: bytes, size: tuple[int, int]) -> Image.Image:
    """The picture upright, in a mode of 8 bits without transparency. A JPEG is decoded no larger than `size` needs."""
    from PIL import ImageOps

    with _opened(raw) as image:
        try:
            side = 2 * max(size)
            if image.format == "JPEG" and image.mode in ("L", "RGB"):
                image.draft(image.mode, (side, side))
            image.load()
            if _orientation(image) > 1:
                image = ImageOps.exif_transpose(image)
            return opaque(image)
        except BrokenPictureError:
            raise
        except Exception as error:
            raise BrokenPictureError(_reason(error)) from error


def opaque(image: Image.Image) -> Image.Image:
    """The picture in mode L or RGB: deep ones in 8 bits, transparent places on white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return from_array(np.asarray(image))
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        clear = image.convert("RGBA")
        ground = pillow().new("RGBA", clear.size, (255, 255, 255, 255))
        return pillow().alpha_composite(ground, clear).convert("L" if image.mode in ("L", "LA", "La") else "RGB")  # type: ignore[no-any-return]
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")


def from_array(cells: NDArray[Any]) -> Image.Image:
    """An array [H, W] or [H, W, C] as a picture, C of 1, 3 or 4 (the fourth is opacity). Raises BrokenPictureError for other numbers."""
    if cells.ndim == 3 and cells.shape[2] == 1:
        cells = cells[:, :, 0]
    if cells.ndim not in (2, 3) or (cells.ndim == 3 and cells.shape[2] not in (3, 4)) or not cells.size:
        raise BrokenPictureError(
            f"an array of shape [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] is expected, got {list(cells.shape)}"
        )
    image: Image.Image = pillow().fromarray(as_bytes(cells))
    return opaque(image) if image.mode == "RGBA" else image


def as_bytes(cells: NDArray[Any]) -> NDArray[np.uint8]:
    """Whole numbers of 0 to 255 as they are, of up to 65535 from 16 bits to 8; truth values and fractions of 0 to 1 times 255.

    >>> as_bytes(np.array([0, 257, 65535], dtype=np.uint16)).tolist(), as_bytes(np.array([0.0, 0.5])).tolist()
    ([0, 1, 255], [0, 128])
    """
    if cells.dtype == np.uint8:
        return np.ascontiguousarray(cells)
    if cells.dtype == np.bool_:
        return cells.astype(np.uint8) * np.uint8(255)
    low, high = float(cells.min()), float(cells.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0:
        raise BrokenPictureError(f"values of 0 to 255, or fractions of 0 to 1, are expected, got {low:g} to {high:g}")
    if cells.dtype.kind == "f":
        if high > 1:
            raise BrokenPictureError(
                f"fractions of 0 to 1 are expected, got up to {high:g}; divide by the largest value there can be, or give uint8"
            )
        return np.asarray((cells * 255).round(), dtype=np.uint8)
    deep = cells.dtype in (np.uint16, np.dtype(">u2")) or high > 255
    if high > 65535:
        raise BrokenPictureError(f"values of 0 to 255 are expected, got up to {high:g}")
    return np.asarray((cells / _DEEP).round() if deep else cells, dtype=np.uint8)


def _opened(raw: bytes) -> Image.Image:
    try:
        image: Image.Image = pillow().open(io.BytesIO(raw))
    except MissingExtraError:
        raise
    except Exception as error:
        what = f"no kind of picture that is known ({len(raw)} bytes, beginning {raw[:8]!r})" if raw else "an empty file"
        unknown = type(error).__name__ == "UnidentifiedImageError"
        raise BrokenPictureError(what if unknown or not raw else _reason(error)) from error
    return image


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation: 1 upright, 2 to 8 mirrored or turned."""
    try:
        turned = image.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001 (damaged EXIF says nothing)
        return 1
    return turned if isinstance(turned, int) else 1


def _reason(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return (said[0] if said else type(error).__name__)[:160]
