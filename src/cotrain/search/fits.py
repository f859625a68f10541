"""Which samplers and pruners serve a problem; the others are refused with those that do."""

from __future__ import annotations

from cotrain.core.errors import ConfigError
from cotrain.search.domains import Choice
from cotrain.search.gallery import SAMPLERS
from cotrain.search.problem import Problem
from cotrain.search.protocol import Pruner, Sampler


def asked_of(problem: Problem) -> dict[str, str]:
    """What a problem asks of a sampler, and by what: {"choices": "sharing"}."""
    space = problem.space
    choices = [one.name for one in space.parameters if isinstance(one.domain, Choice)]
    numbers = [one.name for one in space.parameters if not isinstance(one.domain, Choice)]
    conditional = [one.name for one in space.parameters if one.when]
    asked = {
        "choices": choices,
        "numbers": numbers,
        "conditions": conditional,
        "constraints": [constraint.name for constraint in problem.constraints],
    }
    return {what: ", ".join(names) for what, names in asked.items() if names}


def lacks(sampler: Sampler | type[Sampler], problem: Problem) -> str | None:
    """The first thing a problem asks for that a sampler cannot do, in words; None: it serves."""
    least, most = sampler.objectives
    count = len(problem.objectives)
    if count < least:
        return f"is for {least} objectives or more, and there is {count}"
    if most is not None and count > most:
        names = ", ".join(objective.name for objective in problem.objectives)
        return f"serves one objective, and there are {count} ({names})"
    words = {
        "choices": "cannot vary choices",
        "numbers": "cannot vary numbers",
        "conditions": "cannot vary parameters that are there under a choice alone",
        "constraints": "does not heed constraints",
    }
    for what, by in asked_of(problem).items():
        if what not in sampler.can:
            return f"{words[what]} ({by})"
    return None


def refuse_unfit(sampler: Sampler, problem: Problem) -> None:
    """Raises ConfigError if the sampler cannot serve the problem, naming those that can."""
    lack = lacks(sampler, problem)
    if lack is not None:
        able = [name for name, cls in SAMPLERS.items() if lacks(cls, problem) is None]
        raise ConfigError(f"sampler '{sampler.name}' {lack}; those that can: {', '.join(able)}")


def refuse_pruning(pruner: Pruner, problem: Problem) -> None:
    """Raises ConfigError if trials of the problem cannot be ended early."""
    if len(problem.objectives) > 1:
        names = ", ".join(objective.name for objective in problem.objectives)
        raise ConfigError(
            f"pruner '{pruner.name}' serves one objective, and there are {len(problem.objectives)} ({names}); "
            "leave the pruner out, or make the others constraints"
        )
