"""Small drawings as SVG, made of numbers only: a bar for a share and a curve for a small multiple. Colours come from the page."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 240.0
HEIGHT = 72.0


def bar(share: float | None) -> str:
    """A bar from 0 to 1 for a share; a share below 0 is drawn as an empty bar with a mark at its start.

    >>> bar(None)
    ''
    """
    if share is None:
        return ""
    length = 100.0 * min(1.0, max(0.0, share))
    tone = "gain" if share > 0 else "loss"
    filled = length if share > 0 else 3.0
    return (
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="track" width="100" height="8" rx="1"/>'
        f'<rect class="{tone}" width="{filled:.1f}" height="8" rx="1"/></svg>'
    )


def shares(values: Sequence[float]) -> str:
    """A column for each share, as high as it is beside the largest; a line at the height of even use.

    >>> shares([0.75, 0.25]).count('class="share"')
    2
    """
    most, step = max(values, default=0.0), 100.0 / max(len(values), 1)
    if most <= 0:
        return ""
    columns = "".join(
        f'<rect class="share" x="{at * step + 0.12 * step:.2f}" y="{24 * (1 - max(value, 0.0) / most):.2f}" '
        f'width="{0.76 * step:.2f}" height="{max(24 * max(value, 0.0) / most, 0.6):.2f}"/>'
        for at, value in enumerate(values)
    )
    even = 24 * (1 - 1 / (len(values) * most))
    return (
        '<svg class="experts" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f'{columns}<line class="even" x1="0" x2="100" y1="{even:.2f}" y2="{even:.2f}"/></svg>'
    )


def curve(points: Sequence[tuple[float, float | None]], *, marked: float | None = None) -> str:
    """A curve through (x, y) with gaps where y is missing, and a ring at x = `marked`; "" where fewer than one y is known.

    >>> curve([(1, 0.5), (2, None)]).count("<circle")
    1
    """
    known = [(x, y) for x, y in points if y is not None]
    if not known:
        return ""
    left, right = points[0][0], points[-1][0]
    low, high = min(y for _, y in known), max(y for _, y in known)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - left) / (right - left) if right > left else 0.5
        up = (y - low) / (high - low) if high > low else 0.5
        return 4 + across * (WIDTH - 8), HEIGHT - 5 - up * (HEIGHT - 10)

    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            pieces.append([])
        else:
            pieces[-1].append(place(x, y))
    lines = "".join(
        f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in piece)}"/>'
        for piece in pieces
        if len(piece) > 1
    )
    dots = "".join(
        f'<circle class="dot" cx="{piece[0][0]:.1f}" cy="{piece[0][1]:.1f}" r="2"/>'
        for piece in pieces
        if len(piece) == 1
    )
    ring = ""
    for x, y in known:
        if x == marked:
            across, up = place(x, y)
            ring = f'<circle class="ring" cx="{across:.1f}" cy="{up:.1f}" r="4"/>'
    return (
        f'<svg class="curve" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" aria-hidden="true" focusable="false">'
        f'<line class="axis" x1="0" y1="{HEIGHT - 0.5:g}" x2="{WIDTH:g}" y2="{HEIGHT - 0.5:g}"/>{lines}{dots}{ring}</svg>'
    )
