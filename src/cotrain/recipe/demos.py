"""Demos on real data that ships with scikit-learn: each writes its rows and its config, and the ordinary commands do the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from cotrain.core.errors import ConfigError, RunError, unknown
from cotrain.data.packed import ZIP_ERRORS
from cotrain.recipe.placed_digits import place

CANCER = """\
# Breast-cancer biopsies (scikit-learn's copy of the Wisconsin diagnostic set): 569 rows. From the mean and the standard error of
# ten measurements of the cell nuclei in a picture, predict the diagnosis and two of the worst measurements.
name: cancer
data:
  path: cancer.csv
  split: {method: stratified, fractions: [0.6, 0.15, 0.25]}
inputs: ["mean *", "* error"]
tasks:
  diagnosis: binary
  worst radius: regression
  worst concavity: regression
encoder: {name: mlp, widths: [64, 64], dropout: 0.1}
sharing: hard
balance: sum
train: {epochs: 100, batch_size: 64, optimizer: {name: adamw, lr: 0.003}, early_stopping: {patience: 15}}
compare:
  seeds: 5
  variants:
    nash_mtl: {balance: nash_mtl}
seed: 0
"""


def cancer() -> pl.DataFrame:
    """569 rows: diagnosis, worst radius, worst concavity, and the mean and the standard error of ten measurements."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    names = [str(name) for name in found.feature_names]
    frame = pl.DataFrame(dict(zip(names, found.data.T, strict=True)))
    diagnosis = pl.Series("diagnosis", [str(found.target_names[label]) for label in found.target])
    inputs = [name for name in names if name.startswith("mean ") or name.endswith(" error")]
    return frame.select("worst radius", "worst concavity", *inputs).insert_column(0, diagnosis)


DIGITS = """\
# Handwritten digits (scikit-learn's copy of the test part of the UCI set, 8 x 8): each put at a random size and place on a noisy canvas
# of 24 x 24. Two tasks on one convolutional trunk: which digit it is, and where it is.
name: digits
data:
  path: digits.npz
  split: {method: stratified, fractions: [0.6, 0.15, 0.25]}
inputs: [picture]
tasks:
  digit: {kind: multiclass, head: {name: linear, pool: max}}
  where: {kind: box, columns: [x0, y0, x1, y1], size: [24, 24], head: {name: mlp, widths: [64], pool: grid, cells: 3}}
encoder: {name: convnet, widths: [16, 32, 64]}
sharing: hard
balance: sum
augment:
  picture: {crop: 4}                # pushed about by up to 4 pixels; the box goes with it
train: {epochs: 15, batch_size: 32, optimizer: {name: adamw, lr: 0.003}, early_stopping: null}
compare: {seeds: 5}
seed: 0
"""


def digits() -> dict[str, Any]:
    """1,797 pictures [24, 24] of 0 to 255, the digit in each, and the corners of its box in pixels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    placed = place(torch.from_numpy(found.images / 16).float(), canvas=24, heights=(8, 18), noise=0.1)
    corners = {name: placed.boxes[:, side].numpy() for side, name in enumerate(("x0", "y0", "x1", "y1"))}
    return {"picture": placed.pictures.numpy(), "digit": found.target.astype(np.int64), **corners}


DEMOS: dict[str, tuple[Callable[[], pl.DataFrame | dict[str, Any]], str]] = {
    "cancer": (cancer, CANCER),
    "digits": (digits, DIGITS),
}
"""Name to the function that gives the rows (a table, or arrays by name), and the config's text."""


def write_demo(name: str, folder: str | Path) -> Path:
    """Writes rows and config of a demo into `folder` (made if need be) and answers the config's path.

    Files of the same content are left alone; others are never overwritten. Raises ConfigError for an unknown name, RunError
    where a different file stands in the way.
    """
    if name not in DEMOS:
        raise ConfigError(unknown("demo", name, sorted(DEMOS)))
    make, text = DEMOS[name]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = make()
    if isinstance(rows, pl.DataFrame):
        _write(folder / f"{name}.csv", rows.write_csv())
    else:
        _write_arrays(folder / f"{name}.npz", rows)
    _write(folder / f"{name}.yaml", text)
    return folder / f"{name}.yaml"


def _write(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise _in_the_way(path)


def _write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    if not path.exists():
        np.savez(path, **arrays)
        return
    same = False
    with suppress(ValueError, *ZIP_ERRORS), np.load(path) as found:
        same = set(found) == set(arrays) and all(np.array_equal(found[name], one) for name, one in arrays.items())
    if not same:
        raise _in_the_way(path)


def _in_the_way(path: Path) -> RunError:
    return RunError(
        f"expected to write {path}, but another file of that name is there; move it away or name another --folder"
    )
