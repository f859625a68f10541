"""What a user may say about how categories, texts and dates become inputs. Plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cotrain.core.errors import ConfigError, nearest, unknown

CategoryEncoding = Literal["auto", "codes", "hash", "target", "both"]
DatePart = Literal["year", "month", "day", "weekday", "hour", "minute", "dayofyear", "weekend", "elapsed"]
TextAnalyzer = Literal["auto", "word", "char"]
TextEncoding = Literal["auto", "bag", "tokens"]
TextTokenizer = Literal["auto", "word", "bpe", "character", "pretrained"]


@dataclass(frozen=True)
class CategorySettings:
    """How labels become inputs.

    encoding: `codes`, a code a label, of which a network learns an embedding; `hash`, codes of buckets, for labels without end, of
    which new ones keep coming; `target`, the smoothed mean of each task's target for that label, fitted out of fold on training rows;
    `both`, codes and means; `auto`, codes of the `most` most frequent labels.
    rare: labels seen fewer times than this in training share one code; 2 pools what was seen once.
    most: with `auto`, so many labels have a code of their own at most, and the others share one.
    buckets: of `hash`. smoothing: of `target`, how many rows of all labels count beside a label's own (10 is a common choice).
    folds: of `target`.
    """

    encoding: CategoryEncoding = "auto"
    rare: int = 2
    most: int = 1000
    buckets: int = 1024
    smoothing: float = 10.0
    folds: int = 5

    def __post_init__(self) -> None:
        here = "data.categories"
        if self.encoding not in get_args(CategoryEncoding):
            known = get_args(CategoryEncoding)
            raise ConfigError(f"{here}.encoding: " + unknown("encoding", str(self.encoding), known))
        _at_least(f"{here}.rare", self.rare, 1, "1 gives every label its own code")
        _at_least(f"{here}.most", self.most, 1, "1000 is the default")
        _at_least(f"{here}.buckets", self.buckets, 2, "1024 is the default")
        _at_least(f"{here}.folds", self.folds, 2, "with fewer, a row would see its own target")
        if not 0 <= self.smoothing < float("inf"):
            raise ConfigError(
                f"{here}.smoothing: a finite number of rows of at least 0 is expected, got {self.smoothing}; 10 is the default"
            )


@dataclass(frozen=True)
class TextSettings:
    """How texts become inputs: as weights of words (TF-IDF), or as sequences of tokens.

    encoding: `bag`, a weight a word; `tokens`, a code a token, for encoders of texts; `auto`, tokens where the column's encoder reads them.
    broken: bytes that are no UTF-8 are refused, or made missing; either way they are counted and the first is named.
    Of bags. features: words kept at most, the most frequent; a row holds as many numbers. ngrams: fewest and most words in a row that
    count as one. analyzer: `word`; `char`, pieces of letters; `auto`, letters where the texts have few blanks.
    min_count: training texts a word must stand in; of tokens, how often one must be met in training.
    Of tokens. tokenizer: `word`, `bpe` (byte pairs), `character`, `auto` (words, characters where the texts have few blanks), or `pretrained`:
    that of `pretrained`, a folder or a name on the hub; an encoder with a pretrained model brings its own. vocabulary: codes at most, the
    most frequent. length: tokens of a text at most, the rest is cut off. lower: in small letters. Columns with the same of these share
    one tokenizer, trained on the texts of them all.
    """

    encoding: TextEncoding = "auto"
    features: int = 512
    ngrams: tuple[int, int] = (1, 2)
    min_count: int = 2
    analyzer: TextAnalyzer = "auto"
    tokenizer: TextTokenizer = "auto"
    pretrained: str | None = None
    vocabulary: int = 20_000
    length: int = 256
    lower: bool = True
    broken: Literal["refuse", "missing"] = "refuse"

    def __post_init__(self) -> None:
        here = "data.text"
        _at_least(f"{here}.features", self.features, 1, "512 is the default")
        _at_least(f"{here}.min_count", self.min_count, 1, "1 counts every word")
        _at_least(f"{here}.vocabulary", self.vocabulary, 3, "two codes are reserved; 20000 is the default")
        _at_least(f"{here}.length", self.length, 1, "256 is the default")
        if len(self.ngrams) != 2 or not 1 <= self.ngrams[0] <= self.ngrams[1]:
            raise ConfigError(
                f"{here}.ngrams: the fewest and the most words in a row are expected, at least 1 and rising, "
                f"got {list(self.ngrams)}; for example [1, 2]"
            )
        for key, kinds in (
            ("analyzer", TextAnalyzer), ("encoding", TextEncoding), ("tokenizer", TextTokenizer), ("broken", Literal["refuse", "missing"]),
        ):  # fmt: skip
            if getattr(self, key) not in get_args(kinds):
                raise ConfigError(f"{here}.{key}: " + unknown(key, str(getattr(self, key)), get_args(kinds)))
        if (self.tokenizer == "pretrained") != (self.pretrained is not None):
            raise ConfigError(
                f"{here}.pretrained: a pretrained tokenizer needs both words, got tokenizer '{self.tokenizer}' and pretrained "
                f"{self.pretrained!r}; write for example {{tokenizer: pretrained, pretrained: bert-base-uncased}}"
            )
        self._refuse_idle(here)

    def of(self, encoding: Literal["bag", "tokens"]) -> TextSettings:
        """The same for one encoding, without what is said of the other.

        >>> TextSettings(length=9).of("bag").length, TextSettings(length=9).of("tokens").length
        (256, 9)
        """
        idle = TOKENS_ONLY if encoding == "bag" else BAGS_ONLY
        plain: dict[str, Any] = {part.name: part.default for part in fields(self) if part.name in idle}
        return replace(self, encoding=encoding, **plain)

    def _refuse_idle(self, here: str) -> None:
        """Raises ConfigError for a setting that the encoding, or the tokenizer, does not read."""
        idle = {"bag": TOKENS_ONLY, "tokens": BAGS_ONLY}.get(self.encoding, ())
        why, instead = f"encoding '{self.encoding}'", "or choose the other encoding"
        if self.tokenizer == "pretrained" and self.encoding != "bag":
            idle, why, instead = (*idle, *TRAINED_ONLY), "a pretrained tokenizer", "or train a tokenizer"
        for part in fields(self):
            if part.name in idle and getattr(self, part.name) != part.default:
                raise ConfigError(
                    f"{here}.{part.name}: {why} does not read it, got {getattr(self, part.name)!r}; take it out, {instead}"
                )


BAGS_ONLY = ("features", "ngrams", "analyzer")
TOKENS_ONLY = ("tokenizer", "pretrained", "vocabulary", "length", "lower")
TRAINED_ONLY = ("vocabulary", "lower", "min_count")
"""Settings of texts that bags alone, tokens alone, and tokenizers trained here alone read."""


@dataclass(frozen=True)
class DateSettings:
    """How dates become inputs.

    parts: those wanted; None takes year, month, weekday and hour where they vary in training, and with 1,000 rows or more day,
    day of the year and minute too. `weekend` and `elapsed` (days since the earliest training date) come only when asked for.
    zone: the time zone, such as Europe/Berlin, in which hours and days are meant, for dates that know theirs; None: UTC.
    """

    parts: tuple[DatePart, ...] | None = None
    zone: str | None = None

    def __post_init__(self) -> None:
        known = get_args(DatePart)
        wrong = [str(part) for part in self.parts or () if part not in known]
        if wrong:
            raise ConfigError("data.dates.parts: " + unknown("part", wrong[0], known))
        if self.parts is not None and not self.parts:
            raise ConfigError(
                f"data.dates.parts: at least one part is expected, got none; leave it out, or name some of {', '.join(known)}"
            )
        if self.zone is not None and not _is_zone(self.zone):
            zones = sorted(available_timezones())
            guess = nearest(self.zone, zones)
            raise ConfigError(
                f"data.dates.zone: unknown time zone '{self.zone}'; "
                + (f"did you mean '{guess}'?" if guess else "write it like Europe/Berlin")
            )


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _at_least(key: str, value: int, least: int, why: str) -> None:
    if value < least:
        raise ConfigError(f"{key}: a count of at least {least} is expected, got {value}; {why}")
