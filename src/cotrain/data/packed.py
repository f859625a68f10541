"""What Python raises for packed data that is damaged: each way of packing has an error of its own."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from contextlib import suppress

GZIP_ERRORS: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error)

ZIP_ERRORS: tuple[type[Exception], ...] = (OSError, KeyError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)
"""RuntimeError: a password is asked for, or the way of packing is not known."""

with suppress(ImportError):  # Python can be built without it
    from lzma import LZMAError

    ZIP_ERRORS += (LZMAError,)
