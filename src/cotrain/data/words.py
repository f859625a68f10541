"""Texts as bags of words: how often each of a fixed number of words stands in a text, rare words weighing more.

A word that stands n times in a text and in d of the D training texts has the weight (1 + ln n) (1 + ln((1 + D) / (1 + d))), and the
weights of a text are divided by their Euclidean length. The vocabulary holds the words that stand in at least `min_count` training
texts, the most frequent `features` of them. `words` may be runs of letters, or pieces of n letters where a language has no blanks.

A missing text has no words, and a mark of its own where training texts were missing.

Source: Salton & Buckley, "Term-weighting approaches in automatic text retrieval", Information Processing & Management 24(5), 1988; the
formulas are those of scikit-learn's TfidfVectorizer with sublinear_tf, which does the counting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.state import plain
from cotrain.data.columns import Change, Part
from cotrain.data.decoded import Broken, decoded

TOKEN = r"(?u)\b\w+\b"
BLANKS = 0.05
"""Texts with fewer blanks a letter are read by pieces of letters: English has about 0.18, Chinese, Japanese and Thai next to none."""

_ROWS = 1 << 15

Analyzer = Literal["word", "char"]


def analyzer_for(texts: pl.Series) -> Analyzer:
    """How texts are best taken apart: by words, or by letters where they have few blanks.

    >>> analyzer_for(pl.Series(["the room was clean"])), analyzer_for(pl.Series(["房间很干净，服务也很好"]))
    ('word', 'char')
    """
    sample = texts.drop_nulls().head(2000)
    letters = int(sample.str.len_chars().sum() or 0)
    blanks = int(sample.str.count_matches(r"\s").sum() or 0)
    return "char" if letters and blanks / letters < BLANKS else "word"


@dataclass(frozen=True)
class BagEncoder:
    """One column of texts as [B, C] weights of words.

    vocabulary: C words, sorted. idf: [C] the logarithmic factor of each. ngrams: (fewest, most) words, or letters, in a row that count
    as one. indicator: training texts were missing, so that a mark of its own follows.
    """

    kind: ClassVar[str] = "text"
    field: ClassVar[str] = "words"

    name: str
    vocabulary: tuple[str, ...]
    idf: tuple[float, ...]
    analyzer: Analyzer
    ngrams: tuple[int, int]
    indicator: bool
    broken: Broken = "refuse"

    @staticmethod
    def fit(
        series: pl.Series,
        *,
        features: int = 512,
        ngrams: tuple[int, int] = (1, 2),
        min_count: int = 2,
        analyzer: Analyzer | None = None,
        broken: Broken = "refuse",
    ) -> BagEncoder:
        """Fitted on the training rows of a column; the order of the rows does not matter.

        features: words at most. min_count: training texts a word must stand in (where no word does, every word counts). analyzer:
        by words or letters; None looks at the texts. broken: what becomes of bytes that are no text.

        >>> encoder = BagEncoder.fit(pl.Series("review", ["good food", "good wine", "bad food"]), ngrams=(1, 1), min_count=2)
        >>> encoder.vocabulary, [round(float(one), 3) for one in encoder.encode(pl.Series(["good bad good"]))[0]]
        (('food', 'good'), [0.0, 1.0])
        """
        texts, _ = decoded(series, broken)
        held = texts.drop_nulls()
        how = analyzer or analyzer_for(held)
        vocabulary, idf = _counted(held.to_list(), features, ngrams, min_count, how)
        if not vocabulary:
            vocabulary, idf = _counted(held.to_list(), features, ngrams, 1, how)
        return BagEncoder(series.name, vocabulary, idf, how, (ngrams[0], ngrams[1]), texts.has_nulls(), broken)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column read."""
        return (self.name,)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the weights."""
        names = tuple(f"{self.name}: {word}" for word in self.vocabulary)
        return (*names, f"{self.name} is missing") if self.indicator or not names else names

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """None: these are weights."""
        return ()

    @property
    def quantiles(self) -> tuple[tuple[float, ...], ...]:
        """None: most weights are 0."""
        return ()

    @property
    def note(self) -> str:
        """How the column is encoded, in a few words."""
        low, high = self.ngrams
        runs = "" if high == 1 else f" in a row up to {high}" if low == 1 else f" in rows of {low} to {high}"
        what = "words" if self.analyzer == "word" else "letters"
        return f"TF-IDF of {len(self.vocabulary)} {what}{runs}" + (", missing cells marked" if self.indicator else "")

    def part(self, frame: pl.DataFrame) -> Part:
        """The weights of any rows."""
        return Part(self.encode(frame[self.name]))

    def changes(self, frame: pl.DataFrame) -> list[Change]:
        """Bytes that were no text."""
        _, broken = decoded(frame[self.name], self.broken)
        return [Change("text not decoded", self.name, broken, "made missing")]

    def encode(self, series: pl.Series) -> NDArray[np.float32]:
        """[B, C] float32 weights, and the mark of missing texts where there is one; each text by itself."""
        texts, _ = decoded(series, self.broken)
        out = np.zeros((len(texts), len(self.features)), dtype=np.float32)
        if self.vocabulary:
            vectorizer = _vectorizer(self.analyzer, self.ngrams, vocabulary=list(self.vocabulary))
            vectorizer.idf_ = np.asarray(self.idf)
            for start in range(0, len(texts), _ROWS):
                piece = texts.slice(start, _ROWS).fill_null("").to_list()
                out[start : start + len(piece), : len(self.vocabulary)] = vectorizer.transform(piece).toarray()
        if len(self.features) > len(self.vocabulary):
            out[:, -1] = texts.is_null().to_numpy()
        return out

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal encoder, to the last bit."""
        return {"kind": self.kind, **plain(vars(self))}

    @staticmethod
    def from_json(value: dict[str, Any]) -> BagEncoder:
        """The encoder `to_json` wrote."""
        known: dict[str, Any] = {key: one for key, one in value.items() if key != "kind"}
        return BagEncoder(**(known | {key: tuple(value[key]) for key in ("vocabulary", "idf", "ngrams")}))


def _counted(
    texts: list[str], features: int, ngrams: tuple[int, int], min_count: int, analyzer: Analyzer
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """(words, logarithmic factors), both empty where no word stands in enough texts."""
    vectorizer = _vectorizer(analyzer, ngrams, max_features=features, min_df=min_count)
    try:
        vectorizer.fit(texts)
    except ValueError:  # what scikit-learn says of an empty vocabulary
        return (), ()
    return tuple(vectorizer.get_feature_names_out().tolist()), tuple(vectorizer.idf_.tolist())


def _vectorizer(analyzer: Analyzer, ngrams: tuple[int, int], **more: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=analyzer, ngram_range=tuple(ngrams), token_pattern=TOKEN if analyzer == "word" else None,
        sublinear_tf=True, norm="l2", dtype=np.float64, **more,
    )  # fmt: skip
