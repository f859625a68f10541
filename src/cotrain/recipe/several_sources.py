"""Several tables of a config made ready: those without inputs of their own go through one encoder, fitted on the rows of all of them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cotrain.core.errors import ConfigError, DataError
from cotrain.data.earlier import Earlier
from cotrain.data.pieces import LargeTable
from cotrain.data.prepare import Prepared
from cotrain.data.read import Table
from cotrain.data.together import prepare_together
from cotrain.recipe.config import Config
from cotrain.recipe.inputs import InputSettings, matches
from cotrain.recipe.one_source import Loaded, Opened, columns_of, large_rows, opened, placed, read_rows
from cotrain.recipe.problems import ConfigProblems
from cotrain.recipe.source_section import problem_of


def load_sources(config: Config, earlier: Mapping[str, Earlier]) -> dict[str, Loaded]:
    """{source: its rows, ready}. earlier: {source: what an earlier run fitted for it}. Raises as `load_rows`, every problem with the source
    it is in.
    """
    tables: dict[str, Table | LargeTable] = {}
    for name in config.sources:
        ours = config.of_source(name)
        with of_source(config, name):
            tables[name] = large_rows(ours) or read_rows(ours)
    every = {name: columns_of(tables[name]) for name in config.shared}
    ready: dict[str, Opened] = {}
    for name in config.sources:
        with of_source(config, name):
            ours = narrowed(config, name, columns_of(tables[name]), every)
            ready[name] = opened(ours, tables[name])
    done = shared_rows(config, {name: ready[name] for name in config.shared}, earlier)
    for name, one in ready.items():
        if name not in done:
            with of_source(config, name):
                done[name] = _own(one, name, earlier.get(name))
    return {name: ready[name].loaded(done[name]) for name in config.sources}


def _own(one: Opened, name: str, earlier: Earlier | None) -> Prepared:
    try:
        return one.prepared(earlier, source=name)
    except (ConfigError, DataError) as error:
        raise placed(one.config, error) from error


def shared_rows(config: Config, ready: Mapping[str, Opened], earlier: Mapping[str, Earlier]) -> dict[str, Prepared]:
    """The rows of sources that go through one encoder, which an earlier run fitted in part where they have one there."""
    if len(ready) < 2:
        return {}
    fused = config.fused_sources
    marks = [one.digest() for one in ready.values()]
    beside = None if None in marks else hashlib.blake2b(repr(marks).encode(), digest_size=16).hexdigest()
    with of_source(config, None):
        steps = {
            name: dataclasses.replace(one, fused=fused).preparing(name, beside, earlier.get(name))
            for name, one in ready.items()
        }
        return prepare_together(steps, next((earlier[name] for name in ready if name in earlier), None))


def narrowed(config: Config, name: str, columns: list[str], every: Mapping[str, list[str]]) -> Config:
    """The config of one source, without what it says of columns that this source lacks and another one has."""
    ours = config.of_source(name)
    if config.sources[name].own:
        elsewhere = {column for source, one in every.items() if source != name for column in one}
        kept = ours
    else:
        elsewhere = {column for one in every.values() for column in one}
        inputs = {key: _there(given, columns, elsewhere) for key, given in ours.inputs.items()}
        kept = dataclasses.replace(ours, inputs={key: given for key, given in inputs.items() if given.columns})
    common = config.data
    gone = {column for column in (*common.kinds, *common.per_column) if column not in columns and column in elsewhere}
    if not gone:
        return kept
    data = dataclasses.replace(
        kept.data,
        kinds={column: kind for column, kind in kept.data.kinds.items() if column not in gone},
        per_column={column: said for column, said in kept.data.per_column.items() if column not in gone},
    )
    return dataclasses.replace(kept, data=data)


def _there(given: InputSettings, columns: list[str], every: set[str]) -> InputSettings:
    """An input without the names and patterns that mean columns of other sources only."""
    words = [word for word in given.columns if matches(word, columns) or not matches(word, list(every))]
    if all(word.startswith("-") for word in words):
        words = []
    return dataclasses.replace(given, columns=tuple(words))


@contextmanager
def of_source(config: Config, name: str | None) -> Iterator[None]:
    """Problems met inside are said of this source (of all, where it is None), with the lines of its own keys."""
    try:
        yield
    except ConfigProblems as error:
        if name is None:
            raise
        own = config.sources[name].own
        raise ConfigProblems(
            [problem_of(one, name, own) for one in error.problems], config.origin.file or "the config"
        ) from error
    except DataError as error:
        raise DataError(str(error) if name is None else f"source '{name}': {error}") from error
