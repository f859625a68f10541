"""A study as Optuna sees it: finished trials to read, one running trial to write on, nothing kept. Imports optuna: load it late."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from cotrain.core.errors import StudyError

STUDY = "study"


def _unasked(*asked: object, **more: object) -> NoReturn:
    """Stands for what begins, ends or marks a study. Raises StudyError: a question to a sampler or pruner only reads, and draws values."""
    raise StudyError(
        "a sampler of Optuna wrote to its study when it was asked for values, which no version known to cotrain does"
    )


class FinishedTrials(BaseStorage):
    """The storage of one question: what Optuna's samplers and pruners read is the trials handed in, what they write goes with the object.

    Optuna's own storages copy every trial for every question; this one copies none, so that a sampler can be asked anew each time.
    """

    def __init__(
        self, directions: Sequence[StudyDirection], trials: Sequence[FrozenTrial], running: FrozenTrial
    ) -> None:
        self._directions = list(directions)
        self._trials = list(trials)
        self._running = running

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return STUDY

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        return self._running._trial_id

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._running

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        value = distribution.to_external_repr(param_value_internal)
        self._running.params = {**self._running.params, param_name: value}
        self._running.distributions = {**self._running.distributions, param_name: distribution}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._running.system_attrs = {**self._running.system_attrs, key: value}

    # what a question never asks for
    create_new_study: Any = _unasked
    delete_study: Any = _unasked
    get_all_studies: Any = _unasked
    set_study_user_attr: Any = _unasked
    set_study_system_attr: Any = _unasked
    set_trial_state_values: Any = _unasked
    set_trial_intermediate_value: Any = _unasked
    set_trial_user_attr: Any = _unasked
