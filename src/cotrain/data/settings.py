"""What a user may say about the data: how to read it, how to split it, how to encode it. Plain frozen values.

`DataSettings` is the `data:` part of a config; relative paths in it are taken as they stand, `beside` moves them to a folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from cotrain.core.errors import ConfigError, unknown
from cotrain.data.column_settings import ColumnSettings, ImputeSettings, OutlierSettings, Said, ScalingSettings
from cotrain.data.feature_settings import CategorySettings, DateSettings, TextSettings
from cotrain.data.picture_settings import ImageSettings

MISSING = ("", "?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", "<NA>", "NaT")
"""Words that stand for a missing cell unless they are kept. `none` in small letters is not one: it is a common label."""

METHODS = ("random", "stratified", "group", "time", "column", "files")


@dataclass(frozen=True)
class ReadSettings:
    """How to read a file; whatever is None is found out and said.

    format: csv, parquet, jsonl, arrow or npz. header: is the first line the columns' names? columns: the names, or a text
    file with one name a line, for files without a header. separator, decimal (`.` or `,`) and encoding are for text files.
    missing: words beside `MISSING` that stand for a missing cell. keep: words of `MISSING` that are real labels here.
    """

    format: Literal["csv", "parquet", "jsonl", "arrow", "npz"] | None = None
    header: bool | None = None
    columns: tuple[str, ...] | str | None = None
    separator: str | None = None
    decimal: Literal[".", ","] | None = None
    encoding: str | None = None
    missing: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Every word that stands for a missing cell."""
        return tuple(word for word in dict.fromkeys((*MISSING, *self.missing)) if word not in self.keep)


@dataclass(frozen=True)
class SplitSettings:
    """Which rows train, which stop training early, which are touched once at the end.

    method: `random`; `stratified` over all targets at once; `group` (`by`: rows of one group stay together); `time` (`by`:
    the earliest train, the latest test); `column` (`by`: a column that says train, valid or test, or holds the words given in
    `train`, `valid`, `test`); `files` (`valid`, `test`: paths; `data.path` trains).
    fractions: of rows for train, valid and test; they add up to 1; a 0 leaves a split out. Default .7 / .1 / .2.
    Raises ConfigError for anything else, naming it.
    """

    method: Literal["random", "stratified", "group", "time", "column", "files"] = "random"
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    by: str | None = None
    train: tuple[str, ...] | str | None = None
    valid: tuple[str, ...] | str | None = None
    test: tuple[str, ...] | str | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError("data.split.method: " + unknown("method", str(self.method), METHODS))
        if len(self.fractions) != 3 or any(not 0 <= one <= 1 for one in self.fractions):
            raise ConfigError(
                "data.split.fractions: three shares between 0 and 1 are expected (train, valid, test), "
                f"got {list(self.fractions)}; for example [0.7, 0.1, 0.2]"
            )
        if abs(sum(self.fractions) - 1) > 1e-6 or self.fractions[0] == 0:
            raise ConfigError(
                "data.split.fractions must add up to 1 and leave rows for training, "
                f"got {list(self.fractions)} = {sum(self.fractions):g}; for example [0.7, 0.1, 0.2]"
            )
        if self.method in ("group", "time", "column") and not self.by:
            raise ConfigError(
                f"data.split: method '{self.method}' needs to know the column; give `by`, "
                f"for example {{method: {self.method}, by: patient}}"
            )
        if self.method in ("random", "stratified", "files") and self.by:
            raise ConfigError(
                f"data.split: method '{self.method}' does not look at a column, but `by` is '{self.by}'; "
                "take it out, or use method group, time or column"
            )
        used = {"column": ("train", "valid", "test"), "files": ("valid", "test")}.get(self.method, ())
        idle = [name for name in ("train", "valid", "test") if getattr(self, name) is not None and name not in used]
        if idle:
            raise ConfigError(
                f"data.split: method '{self.method}' does not read `{idle[0]}`, but it is {getattr(self, idle[0])!r}; "
                "take it out, or use method files (paths of `valid` and `test`) or column (words of `train`, `valid`, `test`)"
            )
        if self.method == "files" and self.valid is None and self.test is None:
            raise ConfigError(
                "data.split: method 'files' needs at least one of `valid` and `test`, each a path; `data.path` trains"
            )

    def beside(self, folder: Path) -> SplitSettings:
        """The same with relative paths of given files moved into `folder`."""
        if self.method != "files":
            return self
        valid = str(folder / self.valid) if isinstance(self.valid, str) else self.valid
        test = str(folder / self.test) if isinstance(self.test, str) else self.test
        return replace(self, valid=valid, test=test)


@dataclass(frozen=True)
class DataSettings:
    """The `data:` part of a config.

    path: a file, a glob or several files. kinds: {column: kind} where the kind found is not the right one.
    drop_duplicates: drop repeated rows from the training split (they are always counted).
    impute: what stands where a cell is missing. outliers, scaling: of numbers. categories, text, dates: how these become inputs.
    per_column: {column: what holds for it instead}.
    weight: a column of non-negative row weights. cache: a folder for encoded data, or None to keep it in memory.
    stream: whether files are read piece by piece into shards on disk, so that memory does not grow with the rows; auto: where reading them
    whole would take more than a quarter of the machine's memory.
    """

    path: str | tuple[str, ...] = ""
    format: Literal["csv", "parquet", "jsonl", "arrow", "npz"] | None = None
    header: bool | None = None
    columns: tuple[str, ...] | str | None = None
    separator: str | None = None
    decimal: Literal[".", ","] | None = None
    encoding: str | None = None
    missing: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    split: SplitSettings = SplitSettings()
    drop_duplicates: bool = False
    impute: ImputeSettings = field(default_factory=ImputeSettings)
    outliers: OutlierSettings = field(default_factory=OutlierSettings)
    scaling: ScalingSettings = field(default_factory=ScalingSettings)
    categories: CategorySettings = field(default_factory=CategorySettings)
    text: TextSettings = field(default_factory=TextSettings)
    dates: DateSettings = field(default_factory=DateSettings)
    image: ImageSettings = field(default_factory=ImageSettings)
    per_column: Mapping[str, ColumnSettings] = field(default_factory=dict)
    weight: str | None = None
    cache: str | None = ".cotrain-cache"
    stream: bool | Literal["auto"] = "auto"

    def of(self, column: str) -> Said:
        """What holds for one column: what is said of it, else of all.

        >>> settings = DataSettings(per_column={"pay": ColumnSettings(scaling=ScalingSettings("robust"))})
        >>> settings.of("pay").scaling.name, settings.of("age").scaling.name, settings.of("pay").categories.rare
        ('robust', 'standard', 2)
        """
        said = self.per_column.get(column, ColumnSettings())
        return Said(
            said.impute or self.impute,
            self.impute.categories if said.impute is None else said.impute.of_labels,
            said.outliers or self.outliers,
            said.scaling or self.scaling,
            said.categories or self.categories,
            said.text or self.text,
            said.dates or self.dates,
            said.image or self.image,
        )

    @property
    def reading(self) -> ReadSettings:
        """The part that says how to read."""
        return ReadSettings(
            self.format, self.header, self.columns, self.separator, self.decimal, self.encoding, self.missing, self.keep
        )

    def beside(self, folder: Path) -> DataSettings:
        """The same with relative paths moved into `folder` (an absolute path stays)."""

        def move(path: str) -> str:
            return str(folder / path)

        paths = move(self.path) if isinstance(self.path, str) else tuple(move(one) for one in self.path)
        return replace(
            self,
            path=paths,
            split=self.split.beside(folder),
            columns=move(self.columns) if isinstance(self.columns, str) else self.columns,
            cache=None if self.cache is None else move(self.cache),
            image=self.image.beside(folder),
            per_column={
                name: one if one.image is None else replace(one, image=one.image.beside(folder))
                for name, one in self.per_column.items()
            },
        )
