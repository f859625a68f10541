"""How genomes of numbers, whole numbers and choices are crossed and mutated: pymoo's operators. Imports pymoo: load it late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating, MixedVariableSampling
from pymoo.core.variable import Choice, Integer, Real
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.mutation.rm import ChoiceRandomMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.selection.tournament import TournamentSelection, compare


def breeding(compete: Callable[..., Any], *, eta: float, prob: float) -> dict[str, Any]:
    """What pymoo's genetic algorithms take for genomes of all kinds.

    compete: who wins a tournament of two. eta, prob: spread and chance of the simulated binary crossover of numbers; choices are crossed
    uniformly. Numbers are mutated polynomially with an eta of 20, options drawn anew.
    """
    numbers = {"eta": eta, "prob": prob}
    return {
        "sampling": MixedVariableSampling(),
        "mating": MixedVariableMating(
            selection=TournamentSelection(func_comp=compete),
            crossover={
                Real: SBX(**numbers),
                Integer: SBX(**numbers, vtype=float, repair=RoundingRepair()),
                Choice: UX(),
            },
            mutation={
                Real: PM(eta=20),
                Integer: PM(eta=20, vtype=float, repair=RoundingRepair()),
                Choice: ChoiceRandomMutation(),
            },
            eliminate_duplicates=MixedVariableDuplicateElimination(),
            n_max_iterations=10,  # a small space runs out of genomes that differ; what is missing is drawn
        ),
        "eliminate_duplicates": MixedVariableDuplicateElimination(),
    }


def by_violation(pop: Any, pairs: Any, random_state: Any = None, algorithm: Any = None) -> Any:
    """The winner of each pair: who is less far beyond the constraints, else either.

    pymoo's own tournament of NSGA-III breaks ties with a generator nobody handed in, and could not be built anew.
    """
    winners = [
        compare(
            first,
            pop[first].CV[0],
            second,
            pop[second].CV[0],
            method="smaller_is_better",
            return_random_if_equal=True,
            random_state=random_state,
        )
        for first, second in pairs
    ]
    return numpy.array(winners, dtype=int)[:, None]
