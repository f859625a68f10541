"""Which settings mattered: the share of an objective's variance that each of them explains (fANOVA, by Optuna over scikit-learn's forest).

Source: F. Hutter, H. Hoos & K. Leyton-Brown, An Efficient Approach for Assessing Hyperparameter Importance, ICML 2014.
"""

from __future__ import annotations

from collections.abc import Sequence

from cotrain.search.extras import require
from cotrain.search.problem import Problem
from cotrain.search.trial import Trial

LEAST = 8
"""With fewer complete trials nothing is said."""


def importances(problem: Problem, trials: Sequence[Trial], objective: str, *, seed: int = 0) -> dict[str, float]:
    """{parameter: share of the variance}, the greatest first, adding up to 1; empty where trials are few or all alike.

    Parameters that are there under a choice alone are left out: what they do is part of what the choice does.
    """
    complete = [trial for trial in trials if trial.state == "complete"]
    always = [parameter.name for parameter in problem.space.parameters if not parameter.when]
    varied = [name for name in always if len({str(trial.parameters[name]) for trial in complete}) > 1]
    place = [one.name for one in problem.objectives].index(objective)
    if len(complete) < LEAST or len({trial.values[objective] for trial in complete}) < 2 or not varied:
        return {}
    require("importances", "optuna")
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.pruners import NopPruner
    from optuna.study import Study

    from cotrain.search.optuna_storage import STUDY, FinishedTrials
    from cotrain.search.optuna_words import directions, running_trial, translated

    last = 1 + max(trial.number for trial in trials)
    storage = FinishedTrials(directions(problem), translated(problem, complete), running_trial(last))
    found = get_param_importances(
        Study(STUDY, storage, pruner=NopPruner()),
        evaluator=FanovaImportanceEvaluator(seed=seed),
        params=varied,
        target=lambda trial: trial.values[place],
    )
    return {name: float(share) for name, share in found.items()}
