"""Numbers and lists as a reader wants them: significant digits, units, a true minus, names cut to a width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

MISSING = "–"
THIN = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def fixed(value: float | None, decimals: int, *, signed: bool = False) -> str:
    """A number with a fixed number of decimals and a true minus; "–" where it is missing.

    >>> fixed(-1234.5, 1), fixed(0.25, 2, signed=True), fixed(-0.001, 2), fixed(None, 2)
    ('−1,234.5', '+0.25', '0.00', '–')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{abs(value):,.{decimals}f}"
    if not text.strip("0.,"):
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def decimals_for(values: Iterable[float | None], *, digits: int = 4) -> int:
    """Decimals that give the largest of these values that many significant digits, so that a row of a table lines up.

    >>> decimals_for([0.91234, 0.5]), decimals_for([12.3456]), decimals_for([43210.0]), decimals_for([])
    (4, 2, 0, 4)
    """
    sizes = [abs(value) for value in values if value is not None and math.isfinite(value)]
    largest = max(sizes, default=0.0)
    if largest == 0 or 1e-2 <= largest <= 1:
        return digits
    return min(8, max(0, digits - 1 - math.floor(math.log10(largest))))


def significant(value: float | None, *, digits: int = 3) -> str:
    """A lone number with that many significant digits; very small and very large ones in powers of ten.

    >>> significant(0.0012345), significant(1234.5), significant(3e-7), significant(2.0)
    ('0.00123', '1,234', '3×10⁻⁷', '2')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    if power < -4 or power > 8:
        mantissa = f"{abs(value) / 10**power:.{digits - 1}f}".rstrip("0").rstrip(".")
        raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{MINUS if value < 0 else ''}{mantissa}×10{raised}"
    text = fixed(value, max(0, digits - 1 - power))
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(value: float | None, *, decimals: int = 1, signed: bool = True) -> str:
    """A share as per cent: .031 is "+3.1 %".

    >>> percent(-0.0312).replace(THIN, " "), percent(0.5, decimals=0, signed=False).replace(THIN, " ")
    ('−3.1 %', '50 %')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    return fixed(100 * value, decimals, signed=signed) + f"{THIN}%"


def interval(low: float | None, high: float | None) -> str:
    """The two ends of an interval in per cent: "−1.2 to +4.0 %".

    >>> interval(-0.012, 0.04).replace(THIN, " ")
    '−1.2 to +4.0 %'
    """
    if low is None or high is None:
        return MISSING
    return f"{fixed(100 * low, 1, signed=True)} to {percent(high)}"


def count(value: float | None) -> str:
    """A whole number with separators.

    >>> count(1234567), count(None)
    ('1,234,567', '–')
    """
    return fixed(value, 0)


def scaled(value: float | None, unit: str = "") -> str:
    """A large number with k, M, G, T and an optional unit.

    >>> scaled(1_234_567).replace(THIN, " "), scaled(950, "FLOP").replace(THIN, " ")
    ('1.23 M', '950 FLOP')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    prefix, factor = next(((prefix, factor) for prefix, factor in PREFIXES if abs(value) >= 0.9995 * factor), ("", 1.0))
    suffix = f"{prefix}{unit}"
    return significant(value / factor) + (f"{THIN}{suffix}" if suffix else "")


def duration(seconds: float | None) -> str:
    """A time: "0.84 s", "12.3 s", "2 min 5 s", "3 h 12 min".

    >>> [duration(s).replace(THIN, " ") for s in (0.0042, 12.34, 125, 11520)]
    ['4.2 ms', '12.3 s', '2 min 5 s', '3 h 12 min']
    """
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 0.1:
        return f"{significant(1000 * seconds, digits=2)}{THIN}ms"
    if seconds < 60:
        return f"{significant(seconds)}{THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{THIN}min" + (f" {rest}{THIN}s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}{THIN}h" + (f" {minutes}{THIN}min" if minutes else "")


def memory(mebibytes: float | None) -> str:
    """A size in memory.

    >>> memory(512.3).replace(THIN, " "), memory(3072).replace(THIN, " ")
    ('512 MiB', '3 GiB')
    """
    if mebibytes is None or not math.isfinite(mebibytes):
        return MISSING
    if mebibytes >= 1024:
        return f"{significant(mebibytes / 1024)}{THIN}GiB"
    return f"{significant(mebibytes)}{THIN}MiB"


def shorten(name: str, width: int) -> str:
    """A name cut in its middle, so that both ends stay readable.

    >>> shorten("mean_concave_points_of_nucleus", 13)
    'mean_c…ucleus'
    """
    name = " ".join(name.split())
    if len(name) <= width:
        return name
    front = width // 2
    back = width - front - 1
    return name[:front] + "…" + (name[-back:] if back else "")


def plural(number: float | None, noun: str, nouns: str | None = None) -> str:
    """A count with its noun.

    >>> plural(1, "task"), plural(3, "task"), plural(2, "box", "boxes")
    ('1 task', '3 tasks', '2 boxes')
    """
    return f"{count(number)} {noun if number == 1 else nouns or noun + 's'}"


def listed(names: Sequence[str], *, limit: int = 4) -> str:
    """Names as a phrase.

    >>> listed(["a", "b", "c"]), listed(list("abcdef"), limit=3)
    ('a, b and c', 'a, b, c and 3 more')
    """
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
