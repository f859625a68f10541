"""Texts: joint and single-task networks side by side, and TF-IDF with a linear model beside them.

    python examples/texts.py FOLDER               makes the tables once
    python benchmarks/texts.py druglib            five folds; networks as examples/druglib.yaml says
    python benchmarks/texts.py snips              the official test requests, five seeds
    python benchmarks/texts.py druglib --folds 1 --epochs 1      quick, to see that it runs

Prints Markdown for docs/results.md. What was trained is kept under runs/texts/, and a run that was interrupted goes on where it stopped. The
linear model: words and pairs of words of each text (sublinear TF-IDF, met twice at least), logistic or ridge regression, its one strength of
regularisation chosen by the validation rows, then fitted on training and validation rows together; networks never train on validation rows.
Gains of druglib: 1 - the ratio of errors, averaged over folds as logarithms, with Student's interval over the folds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse
import scipy.stats
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from tables_of_results import interval, markdown, row, spread

from cotrain.data.settings import SplitSettings
from cotrain.recipe.compare import compare
from cotrain.recipe.compare_settings import CompareSettings
from cotrain.recipe.config import Config, load_config
from cotrain.tasks.scores import error_of

ROOT = Path(__file__).resolve().parent.parent
STRENGTHS = (0.3, 1.0, 3.0, 10.0)
TEXTS = {"druglib": ("benefits", "side_effects_told", "comments"), "snips": ("text",)}
CLASSES = {"druglib": ("effectiveness", "side_effects"), "snips": ("intent",)}
NUMBERS = {"druglib": ("rating",), "snips": ()}
FOLDS = 10


def config_of(name: str, seeds: int, epochs: int | None, fold: int | None = None) -> Config:
    """The example's config for so many seeds. fold: of druglib, which two tenths of the reviews test; the next tenth chooses."""
    config = load_config(ROOT / "examples" / f"{name}.yaml")
    train = dataclasses.replace(config.train, epochs=config.train.epochs if epochs is None else epochs)
    compared = CompareSettings(seeds=tuple(range(seeds)), boosting=False)
    data = config.data
    if fold is not None:
        tenths = [str((2 * fold + step) % FOLDS) for step in range(FOLDS)]
        split = SplitSettings("column", by="fold", test=tuple(tenths[:2]), valid=(tenths[2],), train=tuple(tenths[3:]))
        data = dataclasses.replace(data, split=split)
    return dataclasses.replace(config, train=train, compare=compared, data=data)


def outcome(config: Config, folder: Path) -> dict[str, Any]:
    """compare.json of one comparison, which goes on where it was interrupted."""
    path = compare(config, folder=folder, resume=folder.exists(), progress=print)
    found: dict[str, Any] = json.loads((path / "compare.json").read_text(encoding="utf-8"))
    return found


def linear(name: str, frame: pl.DataFrame, parts: dict[str, np.ndarray[Any, Any]]) -> dict[str, float]:
    """{task: accuracy of classes, RMSE of numbers} of the linear model on the test rows. parts: {split: row numbers}."""

    def features(known: list[str]) -> dict[str, Any]:
        rows = np.concatenate([parts[split] for split in known])
        blocks: dict[str, list[Any]] = {"fit": [], **{split: [] for split in parts}}
        for column in TEXTS[name]:
            texts = frame[column].fill_null("").to_numpy()
            counter = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
            blocks["fit"].append(counter.fit_transform(texts[rows]))
            for split in parts:
                blocks[split].append(counter.transform(texts[parts[split]]))
        return {key: scipy.sparse.hstack(one).tocsr() for key, one in blocks.items()}

    choosing, final = features(["train"]), features(["train", "valid"])
    scores = {}
    for task in (*CLASSES[name], *NUMBERS[name]):
        y = frame[task].to_numpy()
        classes = task in CLASSES[name]

        def made(strength: float, classes: bool = classes) -> Any:
            return LogisticRegression(C=strength, max_iter=2000) if classes else Ridge(alpha=1 / strength)

        def score(model: Any, x: Any, truth: Any, classes: bool = classes) -> float:
            found = model.predict(x)
            return float(np.mean(found == truth)) if classes else float(np.sqrt(np.mean((found - truth) ** 2)))

        train, both = y[parts["train"]], np.concatenate([y[parts["train"]], y[parts["valid"]]])
        tried = {
            one: score(made(one).fit(choosing["fit"], train), choosing["valid"], y[parts["valid"]]) for one in STRENGTHS
        }
        best = max(tried, key=tried.__getitem__) if classes else min(tried, key=tried.__getitem__)
        scores[task] = score(made(best).fit(final["fit"], both), final["test"], y[parts["test"]])
    return scores


def majority(name: str, frame: pl.DataFrame, parts: dict[str, np.ndarray[Any, Any]]) -> dict[str, float]:
    """{task: accuracy of the most frequent class of the training rows, RMSE of their mean}."""
    scores = {}
    for task in (*CLASSES[name], *NUMBERS[name]):
        train, test = frame[task].to_numpy()[parts["train"]], frame[task].to_numpy()[parts["test"]]
        if task in CLASSES[name]:
            words, counts = np.unique(train, return_counts=True)
            scores[task] = float(np.mean(test == words[counts.argmax()]))
        else:
            scores[task] = float(np.sqrt(np.mean((test - train.mean()) ** 2)))
    return scores


def druglib(folds: int, epochs: int | None) -> None:
    """Joint against single-task over folds."""
    frame = pl.read_parquet(ROOT / "examples" / "data" / "druglib.parquet")
    scores: dict[str, dict[str, list[float]]] = {}
    primary: dict[str, str] = {}
    seconds: dict[str, list[float]] = {}
    for fold in range(folds):
        config = config_of("druglib", 1, epochs, fold)
        found = outcome(config, Path("runs/texts") / f"druglib-{fold}{'' if epochs is None else f'-{epochs}-epochs'}")
        primary = {task: about["primary"] for task, about in found["tasks"].items()}
        split = config.data.split
        parts = {
            part: np.flatnonzero(frame["fold"].cast(pl.String).is_in(list(getattr(split, part))).to_numpy())
            for part in ("train", "valid", "test")
        }
        for variant in (
            one for one in found["variants"] if one["cost"] is not None
        ):  # the constant stands in `majority`
            for task, values in variant["scores"].items():
                scores.setdefault(variant["name"], {}).setdefault(task, []).append(values[0])
            seconds.setdefault(variant["name"], []).append(variant["cost"]["seconds"])
        for name, one in (("TF-IDF + linear", linear), ("most frequent class, mean", majority)):
            for task, value in one("druglib", frame, parts).items():
                scores.setdefault(name, {}).setdefault(task, []).append(value)
    tasks = list(primary)
    print(f"\n### druglib, {folds} folds\n")
    print(row(["", *(f"{task} ({primary[task]})" for task in tasks), "seconds"]))
    print(row(["---"] * (len(tasks) + 2)))
    for name, by_task in scores.items():
        cost = f"{np.mean(seconds[name]):.3g}" if name in seconds else "-"
        print(row([name, *(spread(by_task.get(task)) for task in tasks), cost]))  # type: ignore[arg-type]
    print("\n" + row(["gain", *tasks]))
    print(row(["---"] * (len(tasks) + 1)))
    own = [name for name in scores if name in seconds]
    for name, base in [(one, own[0]) for one in own[1:]] + [(one, "TF-IDF + linear") for one in own]:
        cells = [gain_over(scores[name][task], scores[base][task], primary[task]) for task in tasks]
        print(row([f"{name} over {base}", *map(interval, cells)]))


def gain_over(ours: list[float], theirs: list[float], metric: str) -> dict[str, Any]:
    """1 - ratio of errors with Student's interval over folds; low and high are None with one fold."""
    logs = [math.log(error_of(metric, one) / error_of(metric, other)) for one, other in zip(ours, theirs, strict=True)]
    mean = float(np.mean(logs))
    found: dict[str, Any] = {"gain": 1 - math.exp(mean), "low": None, "high": None}
    if len(logs) > 1:
        wide = float(scipy.stats.t.ppf(0.975, len(logs) - 1)) * float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
        found |= {"low": 1 - math.exp(mean + wide), "high": 1 - math.exp(mean - wide)}
    return found


def snips(seeds: int, epochs: int | None) -> None:
    """Joint against single-task over seeds on the official test requests."""
    config = config_of("snips", seeds, epochs)
    found = outcome(config, Path("runs/texts") / f"snips{'' if epochs is None else f'-{epochs}-epochs'}")
    frame = pl.read_parquet(ROOT / "examples" / "data" / "snips.parquet")
    parts = {part: np.flatnonzero((frame["split"] == part).to_numpy()) for part in ("train", "valid", "test")}
    print(f"\n### snips, {seeds} seeds\n\n{markdown(found)}\n")
    print(f"TF-IDF + linear: intent (accuracy) {linear('snips', frame, parts)['intent']:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=["druglib", "snips"])
    parser.add_argument("--folds", type=int, default=5, choices=range(1, 6), help="of druglib")
    parser.add_argument("--seeds", type=int, default=5, help="of snips")
    parser.add_argument("--epochs", type=int, help="in place of the config's")
    given = parser.parse_args()
    for name in given.names:
        if name == "druglib":
            druglib(given.folds, given.epochs)
        else:
            snips(given.seeds, given.epochs)


if __name__ == "__main__":
    main()
