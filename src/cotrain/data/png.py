"""A picture as the bytes of a PNG file, so that a page can show it."""

from __future__ import annotations

import struct
import zlib

import torch
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(picture: Tensor, *, most: int = 224) -> bytes:
    """A picture [C, H, W], uint8 or float of 0 to 1, as a PNG file: one channel grey, three in colour, of any other number their mean.

    most: a longer side is made this long, by means of what falls together. Raises DataError for what is no picture.

    Source: ISO/IEC 15948, 8 bits, no interlace, filter 0.

    >>> png(torch.zeros(1, 2, 3))[:8] == SIGNATURE
    True
    """
    if picture.dim() != 3 or not picture.numel():
        raise DataError(f"a picture [C, H, W] is expected, got a tensor of shape {tuple(picture.shape)}")
    values = picture.float() if picture.is_floating_point() else picture.float() / 255
    values = values if len(values) in (1, 3) else values.mean(0, keepdim=True)
    longest = max(values.shape[1:])
    if longest > most:
        high, wide = (max(1, round(side * most / longest)) for side in values.shape[1:])
        values = F.adaptive_avg_pool2d(values, (high, wide))
    cells = (values.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    height, width, channels = cells.shape
    lines = b"".join(b"\0" + bytes(cells[line].flatten().tolist()) for line in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines, 9)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
