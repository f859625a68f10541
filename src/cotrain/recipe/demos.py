"""Demos on real data that ships with scikit-learn: each writes its table and its config, and the ordinary commands do the rest."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from cotrain.core.errors import ConfigError, RunError, unknown

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


DEMOS = {"cancer": (cancer, CANCER)}
"""Name to the function that gives the table, and the config's text."""


def write_demo(name: str, folder: str | Path) -> Path:
    """Writes table and config of a demo into `folder` (made if need be) and answers the config's path.

    Files of the same content are left alone; others are never overwritten. Raises ConfigError for an unknown name, RunError
    where a different file stands in the way.
    """
    if name not in DEMOS:
        raise ConfigError(unknown("demo", name, sorted(DEMOS)))
    make, text = DEMOS[name]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"{name}.csv", make().write_csv())
    _write(folder / f"{name}.yaml", text)
    return folder / f"{name}.yaml"


def _write(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise RunError(
            f"expected to write {path}, but another file of that name is there; move it away or name another --folder"
        )
