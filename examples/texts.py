"""Makes the tables of texts of the example configs from public data sets that you bring.

    python examples/texts.py FOLDER

FOLDER holds, in these places:

    druglib/drugLibTrain_raw.tsv.gz        Drug Review Dataset (Druglib.com), data set 461 of the UCI repository, its two parts pooled or the training part
    sentiment_sentences/imdb_labelled.txt, amazon_cells_labelled.txt, yelp_labelled.txt    Sentiment Labelled Sentences, data set 331 of the UCI repository
    snips_nlu/train.jsonl, valid.jsonl     SNIPS custom intent engines 2017 (github.com/sonos/nlu-benchmark): {"intent": ..., "parts": [[text, slot], ...]}

The tables are written to examples/data/, beside the configs that read them. A set that is not there is left out, and that is said.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
from tables import write

FOLDS = 10
"""Into so many parts the reviews fall; the config's split, and each fold of the benchmark, takes some of them."""

EFFECTIVENESS = (
    "Ineffective",
    "Marginally Effective",
    "Moderately Effective",
    "Considerably Effective",
    "Highly Effective",
)
SIDE_EFFECTS = ("No Side Effects", "Mild Side Effects", "Moderate Side Effects", "Severe Side Effects", "Extremely Severe Side Effects")  # fmt: skip


def druglib(folder: Path) -> pl.DataFrame:
    """Reviews of medicines in three texts: how effective (5 ordered words), how bad the side effects (5), and a rating of 1 to 10.

    fold: 0 to 9, by a hash of the row's texts, so that a review that comes twice is in one fold.
    """
    frame = pl.read_csv(folder / "druglib" / "drugLibTrain_raw.tsv.gz", separator="\t", infer_schema_length=None)
    texts = {"benefitsReview": "benefits", "sideEffectsReview": "side_effects_told", "commentsReview": "comments"}
    tidy = pl.col(pl.String).str.replace_all(r"\s+", " ").str.strip_chars(' "')
    frame = frame.drop(frame.columns[0]).with_columns(tidy)
    frame = frame.rename({"urlDrugName": "drug", "sideEffects": "side_effects", **texts})
    whole = frame.select(pl.concat_str(list(texts.values()), separator="\n", ignore_nulls=True)).to_series()
    marks = [int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) for text in whole]
    return frame.with_columns(fold=pl.Series([mark % FOLDS for mark in marks]))


def snips(folder: Path) -> pl.DataFrame:
    """Requests to a voice assistant, which of seven intents they have, and which slots they fill (a set of names, 39 in all).

    The official validation part tests. Every tenth request of the training part chooses when to stop.
    """
    parts = []
    for file, split in (("train", "train"), ("valid", "test")):
        rows = pl.read_ndjson(folder / "snips_nlu" / f"{file}.jsonl", schema={"intent": pl.String, "parts": pl.List(pl.List(pl.String))})  # fmt: skip
        text = pl.col("parts").list.eval(pl.element().list.first()).list.join("").str.strip_chars()
        slots = pl.col("parts").list.eval(pl.element().list.last().drop_nulls().unique()).list.sort()
        parts.append(rows.select("intent", text=text, slots=slots, split=pl.lit(split)))
    train = parts[0].with_columns(
        split=pl.when(pl.int_range(pl.len()) % 10 == 9).then(pl.lit("valid")).otherwise(pl.col("split"))
    )
    return pl.concat([train, parts[1]])


DOMAINS = {"imdb_labelled": "films", "amazon_cells_labelled": "phones", "yelp_labelled": "restaurants"}


def sentiment(folder: Path) -> pl.DataFrame:
    """Sentences of three kinds of reviews, 1,000 each, and whether they are positive or negative.

    fold: 0 to 9, by a hash of the sentence, so that one that comes twice is in one fold.
    """
    rows = []
    for file, domain in DOMAINS.items():
        lines = (folder / "sentiment_sentences" / f"{file}.txt").read_text("utf-8").split("\n")
        for line in filter(None, lines):
            text, _, label = line.rpartition("\t")
            words = " ".join(text.split())
            fold = int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest()) % FOLDS
            rows.append((words, "positive" if label.strip() == "1" else "negative", domain, fold))
    return pl.DataFrame(rows, ["text", "sentiment", "domain", "fold"], orient="row")


TABLES: dict[str, Callable[[Path], pl.DataFrame]] = {"druglib": druglib, "sentiment": sentiment, "snips": snips}


def make(folder: Path, into: Path) -> list[Path]:
    """Write every table whose source is in `folder`; the paths written."""
    return write(TABLES, folder, into)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make(Path(sys.argv[1]), Path(__file__).parent / "data")
