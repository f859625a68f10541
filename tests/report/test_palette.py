"""Colours keep their contrast on light and on dark, and keep apart for eyes that miss one of the three cones.

Dichromacy is simulated with the matrices of Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, severity 1; distance is in OKLab.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import cotrain.report.page as page

CSS = (Path(page.TEMPLATES) / "report.css").read_text(encoding="utf-8")
Array = NDArray[np.float64]
Array = NDArray[np.float64]
EYES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def palette(scheme: str) -> dict[str, str]:
    light, dark = CSS.split("@media screen and (prefers-color-scheme: dark)")[:2]
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
    return found | (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", dark)) if scheme == "dark" else {})


def linear(color: str) -> Array:
    c = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def oklab(rgb: Array) -> Array:
    to_cones = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
    to_lab = [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099],
              [0.0259040371, 0.7827717662, -0.808675766]]  # fmt: skip
    return np.array(to_lab) @ np.cbrt(np.array(to_cones) @ np.clip(rgb, 0, 1))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_reach_a_contrast_of_four_and_a_half(scheme: str) -> None:
    colors = palette(scheme)
    for ink in ("ink", "muted", "link", "good", "bad", "mixed", "same", "unsure"):
        for ground in ("paper", "card"):
            assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)
    for tone in ("good", "bad", "mixed", "same", "unsure"):
        for ink in ("ink", "muted", tone):
            assert contrast(colors[ink], colors[f"{tone}-soft"]) >= 4.5, (ink, tone)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_reach_a_contrast_of_three(scheme: str) -> None:
    colors = palette(scheme)
    for index in range(8):
        assert contrast(colors[f"c{index}"], colors["card"]) >= 3.0, index


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("eyes", [*EYES, "all three cones"])
def test_series_colours_keep_apart(scheme: str, eyes: str) -> None:
    colors = palette(scheme)
    seen = np.array(EYES.get(eyes, np.eye(3)))
    places = [oklab(seen @ linear(colors[f"c{index}"])) for index in range(8)]
    closest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(places, 2))
    assert closest >= 0.08


def test_the_two_ends_of_the_heat_map_differ_for_everyone() -> None:
    for scheme in ("light", "dark"):
        colors = palette(scheme)
        for matrix in EYES.values():
            low, high = (oklab(np.array(matrix) @ linear(colors[name])) for name in ("low", "high"))
            assert float(np.linalg.norm(low - high)) >= 0.15
