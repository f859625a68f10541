"""Our spaces and trials in Optuna's words, and its answer in ours. Imports optuna: load it late.

A choice is a categorical of positions (0, 1, ...), whatever its options are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from cotrain.search.domains import Choice, Domain, Float, Integer
from cotrain.search.optuna_storage import STUDY, FinishedTrials
from cotrain.search.problem import Problem
from cotrain.search.space import Parameter, Parameters
from cotrain.search.trial import Trial

FARTHEST = 1e9
"""Nothing is farther beyond a bound than this, so that sums stay finite."""


def ask(sampler: BaseSampler, problem: Problem, trials: Sequence[Trial], number: int) -> Parameters:
    """What an Optuna sampler that was just made proposes for trial `number` after these trials."""
    storage = FinishedTrials(directions(problem), translated(problem, trials), running_trial(number))
    trial = Study(STUDY, storage, sampler=sampler, pruner=NopPruner()).ask()

    def value_of(parameter: Parameter) -> Any:
        domain = parameter.domain
        if isinstance(domain, Choice):
            return domain.options[trial.suggest_categorical(parameter.name, range(len(domain.options)))]
        if isinstance(domain, Integer):
            step = {} if domain.log else {"step": domain.step}
            return int(trial.suggest_int(parameter.name, domain.low, top(domain), log=domain.log, **step))
        return float(trial.suggest_float(parameter.name, domain.low, domain.high, log=domain.log))

    return problem.space.settle(value_of)


def distribution(domain: Domain) -> BaseDistribution:
    """A domain as Optuna's distribution."""
    if isinstance(domain, Choice):
        return CategoricalDistribution(range(len(domain.options)))
    if isinstance(domain, Float):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    return IntDistribution(domain.low, top(domain), log=domain.log, step=domain.step)


def top(domain: Integer) -> int:
    """The greatest value that is a whole number of steps above the lowest."""
    return domain.nth(domain.count - 1)


def directions(problem: Problem) -> list[StudyDirection]:
    """One direction an objective."""
    return [
        StudyDirection.MAXIMIZE if objective.maximize else StudyDirection.MINIMIZE for objective in problem.objectives
    ]


def running_trial(number: int, intermediate: dict[int, float] | None = None) -> FrozenTrial:
    """The trial that is asked about."""
    return FrozenTrial(
        number, TrialState.RUNNING, None, None, None, {}, {}, {}, {}, dict(intermediate or {}), trial_id=number
    )


_SEEN: OrderedDict[str, dict[int, tuple[Trial, FrozenTrial]]] = OrderedDict()
_PROBLEMS = 8
"""Translations of so many problems are kept; finished trials never change, so that keeping them changes no answer."""


def translated(problem: Problem, trials: Sequence[Trial]) -> list[FrozenTrial]:
    """Complete and pruned trials in Optuna's words, by number; failed ones say nothing."""
    seen = _SEEN.setdefault(problem.fingerprint, {})
    _SEEN.move_to_end(problem.fingerprint)
    while len(_SEEN) > _PROBLEMS:
        _SEEN.popitem(last=False)
    found = []
    for trial in sorted(trials, key=lambda one: one.number):
        if problem.losses(trial) is None:
            continue
        known = seen.get(trial.number)
        if known is None or known[0] is not trial:
            known = seen[trial.number] = (trial, _frozen(problem, trial))
        found.append(known[1])
    return found


def _frozen(problem: Problem, trial: Trial) -> FrozenTrial:
    active = problem.space.active(trial.parameters)
    values = {
        one.name: one.domain.index(trial.parameters[one.name])
        if isinstance(one.domain, Choice)
        else trial.parameters[one.name]
        for one in active
    }
    complete = trial.state == "complete"
    excesses = {
        constraint.name: min(excess, FARTHEST)
        for constraint, excess in zip(problem.constraints, problem.excesses(trial), strict=True)
    }
    made = create_trial(
        state=TrialState.COMPLETE if complete else TrialState.PRUNED,
        params=values,
        distributions={one.name: distribution(one.domain) for one in active},
        values=[trial.values[objective.name] for objective in problem.objectives] if complete else None,
        intermediate_values=dict(trial.intermediate),
        constraints=excesses or None,
    )
    made.number = trial.number
    made._trial_id = trial.number
    return made


def worth_ending(pruner: BasePruner, problem: Problem, others: Sequence[FrozenTrial], trial: FrozenTrial) -> bool:
    """Whether an Optuna pruner would end the running trial, the others being as they are."""
    storage = FinishedTrials(directions(problem), others, trial)
    return bool(pruner.prune(Study(STUDY, storage, pruner=pruner), trial))
