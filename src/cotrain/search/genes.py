"""A space as genes of pymoo's mixed variables, for methods that cross and mutate. Imports pymoo: load it late.

A number is its place in its range (or in the range's logarithm), a whole number its position, a choice the position of its option: crossed
and mutated by pymoo's operators for real, integer and choice variables. Genes of parameters that are not there under a choice are
carried and say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymoo.core.variable import Choice as ChoiceVariable
from pymoo.core.variable import Integer as IntegerVariable
from pymoo.core.variable import Real, Variable

from cotrain.search.domains import Choice, Domain, Integer
from cotrain.search.space import Parameter, Parameters, Space

Genome = dict[str, Any]


class Genes:
    """Parameters to genomes, {name: gene}, and back."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.variables = {parameter.name: variable(parameter.domain) for parameter in space.parameters}

    def parameters(self, genome: Genome) -> Parameters:
        """What a genome stands for."""

        def value_of(parameter: Parameter) -> Any:
            gene, domain = genome[parameter.name], parameter.domain
            if isinstance(domain, Choice):
                return domain.options[int(gene)]
            if isinstance(domain, Integer) and not domain.log:
                return domain.nth(round(float(gene)))
            return domain.at(min(max(float(gene), 0.0), 1.0))

        return self.space.settle(value_of)

    def point(self, parameters: Mapping[str, Any]) -> Genome:
        """A genome that stands for these parameters; the first option or the middle where a parameter is not there."""
        genome: Genome = {}
        there = {parameter.name for parameter in self.space.active(parameters)}
        for parameter in self.space.parameters:
            domain, name = parameter.domain, parameter.name
            if isinstance(domain, Choice):
                genome[name] = domain.index(parameters[name]) if name in there else 0
            elif isinstance(domain, Integer) and not domain.log:
                genome[name] = domain.index(parameters[name]) if name in there else domain.count // 2
            else:
                genome[name] = domain.place(parameters[name]) if name in there else 0.5
        return genome


def variable(domain: Domain) -> Variable:
    """The pymoo variable of a domain."""
    if isinstance(domain, Choice):
        return ChoiceVariable(options=list(range(len(domain.options))))
    if isinstance(domain, Integer) and not domain.log:
        return IntegerVariable(bounds=(0, domain.count - 1))
    return Real(bounds=(0.0, 1.0))
