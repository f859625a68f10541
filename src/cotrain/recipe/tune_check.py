"""What of a search can be known before any trial: values no config may have, a sampler or a pruner that does not serve it, a place nobody answers at."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from cotrain.core.errors import ConfigError, StudyError
from cotrain.recipe.build import build_choice
from cotrain.recipe.problems import ConfigProblems, Keys, Problem
from cotrain.recipe.tune import Tuning, middle
from cotrain.recipe.tune_settings import COSTS
from cotrain.search import domains
from cotrain.search.database import connect
from cotrain.search.fits import refuse_pruning, refuse_unfit
from cotrain.search.gallery import PRUNERS, SAMPLERS
from cotrain.search.space import Parameter, Parameters


def check_search(search: Tuning) -> None:
    """Raises ConfigProblems with everything that is wrong, each with its place, before anything is trained or written."""
    problems = [*_of_values(search), *_of_methods(search)]
    if problems:
        origin = search.source.origin
        raise ConfigProblems(origin.ordered(problems), origin.file or "the config")


def _of_values(search: Tuning) -> Iterator[Problem]:
    """What is wrong with an option of a choice or an end of a range, wherever else it may be taken."""
    for parameter in search.open.space.parameters:
        way = search.open.ways[parameter.name]
        for value in extremes(parameter):
            for parents in itertools.product(*parameter.when.values()):
                above = dict(zip(parameter.when, parents, strict=True))
                try:
                    search.closed(begin_with(search, {**above, parameter.name: value}))
                except ConfigProblems as error:
                    yield from (one for one in error.problems if _belongs(one.path, way))


def extremes(parameter: Parameter) -> tuple[Any, ...]:
    """All options of a choice, both ends of a range."""
    domain = parameter.domain
    return domain.options if isinstance(domain, domains.Choice) else (domain.at(0.0), domain.at(1.0))


def begin_with(search: Tuning, values: Parameters) -> Parameters:
    """Parameters with these values, and beside them what the search begins with."""
    known = {**(search.open.default or {}), **values}
    return search.open.space.settle(lambda one: known[one.name] if one.name in known else middle(one))


def _belongs(path: str, way: str) -> bool:
    return path == way or path.startswith((f"{way}.", f"{way}["))


def _of_methods(search: Tuning) -> Iterator[Problem]:
    settings, problem = search.settings, search.problem
    sampler = build_choice(SAMPLERS, settings.sampler)

    def fits() -> None:
        refuse_unfit(sampler, problem)
        sampler.most(problem)

    yield from _refused(search, ("tune", "sampler"), fits)
    if settings.pruner is not None:
        pruner = build_choice(PRUNERS, settings.pruner)
        yield from _refused(search, ("tune", "pruner"), lambda: refuse_pruning(pruner, problem))
        late = [name for name in settings.objectives if name in COSTS]
        if len(settings.objectives) == 1 and late:
            message = f"a pruner compares trials by what they reach while they run, and '{late[0]}' does not change; leave the pruner out"
            yield search.source.origin.problem(("tune", "pruner"), message)
    if settings.storage is not None:
        place = settings.storage
        yield from _refused(search, ("tune", "storage"), lambda: connect(place).close())


def _refused(search: Tuning, keys: Keys, ask: Callable[[], None]) -> Iterator[Problem]:
    try:
        ask()
    except (ConfigError, StudyError) as error:
        yield search.source.origin.problem(keys, str(error))
