"""Large text files piece by piece: whole lines, cut where no quote is open, unpacked and decoded on the way."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from cotrain.core.errors import DataError
from cotrain.data.packed import GZIP_ERRORS
from cotrain.data.sniff import encoding_of

PIECE = 1 << 24
"""Bytes read at once; what is in memory is a few times that, as words and as numbers."""

LONGEST = 8
"""So many pieces without a place to cut are one quote that was never closed."""


def opened(path: Path) -> BinaryIO:
    """The file's bytes, unpacked if they are gzip, whatever its name."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb") if packed else path.open("rb"))


def beginning(path: Path, size: int) -> bytes:
    """The first bytes, unpacked. Raises DataError for a damaged file."""
    try:
        with opened(path) as file:
            return file.read(size)
    except GZIP_ERRORS as error:
        raise _broken(path, error) from error


def pieces(path: Path, encoding: str | None, *, quoted: bool, size: int | None = None) -> Iterator[tuple[int, bytes]]:
    r"""(number of its first line, whole lines as UTF-8) of a text file, piece after piece.

    quoted: line ends inside double quotes do not end a row, so no piece is cut there. Raises DataError for a stream that breaks off,
    a quote that is never closed, letters of another encoding than that of the first piece.
    """
    size = size or PIECE
    try:
        with opened(path) as file:
            line, rest = 1, b""
            first, found = True, encoding or "utf-8"
            while block := file.read(size):
                if first:
                    found = encoding or encoding_of(_without_half(block))
                    if found == "utf-8-sig":
                        block, found = block.removeprefix(b"\xef\xbb\xbf"), "utf-8"
                    first = False
                rest += block
                cut = last_end(rest) if quoted else rest.rfind(b"\n") + 1
                if not cut and len(rest) > LONGEST * size:
                    raise DataError(
                        f"'{path}', from line {line} on: no row ends within {len(rest)} bytes; a quote is opened and never closed, or this is "
                        "no text table. Correct it, or give the right `separator` and `format`"
                    )
                if cut:
                    yield line, decoded(path, rest[:cut], found, line, given=encoding is not None)
                    line += rest.count(b"\n", 0, cut)
                    rest = rest[cut:]
            if rest:
                yield line, decoded(path, rest, found, line, given=encoding is not None)
    except GZIP_ERRORS as error:
        raise _broken(path, error) from error


def last_end(data: bytes) -> int:
    r"""Where the last row ends that ends for certain: after the last line end before which quotes come in pairs; 0 if there is none.

    >>> last_end(b'a,b\n1,"x\ny"\n2,"z\n')
    12
    """
    end = data.rfind(b"\n") + 1
    quotes = data.count(b'"', 0, end)
    while end and quotes % 2:
        before = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(b'"', before, end)
        end = before
    return end


def decoded(path: Path, data: bytes, encoding: str, line: int, *, given: bool) -> bytes:
    """Lines as UTF-8 with plain line ends."""
    plain = encoding.lower().replace("-", "")
    if plain.startswith(("utf16", "utf32")):
        raise DataError(
            f"'{path}' is written in {encoding}, which is not read piece by piece; write it as UTF-8, or set data.stream to false"
        )
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        what = "the right `encoding`" if given else "its `encoding`, which is found out from the file's beginning alone"
        raise DataError(
            f"'{path}', from line {line} on, is not written in '{encoding}' ({error}); give {what}"
        ) from error
    if plain != "utf8":
        data = text.encode("utf-8")
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def _without_half(block: bytes) -> bytes:
    """The block up to its last line end, so that no letter is cut in two."""
    end = block.rfind(b"\n")
    return block if end < 0 else block[: end + 1]


def _broken(path: Path, error: Exception) -> DataError:
    return DataError(f"'{path}' is damaged or only half there ({error}); fetch or pack it again")
