"""A space as the unit cube, for methods that move points: particles, differences, a covariance.

A number is its place in its range (or in the range's logarithm); a whole number has an interval of its own, all equally long. A choice of m
options has m coordinates, of which the greatest decides, so that no option lies between two others. Coordinates of parameters that are
not there under a choice are carried and say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy
from numpy.typing import NDArray

from cotrain.search.domains import Choice
from cotrain.search.space import Parameter, Parameters, Space

Point = NDArray[numpy.float64]


class Cube:
    """Parameters to points of [0, 1]^width and back.

    >>> cube = Cube(Space.from_json({"x": {"low": 0.0, "high": 4.0}, "kind": {"choice": ["a", "b", "c"]}}))
    >>> cube.width, cube.parameters(numpy.array([0.25, 0.1, 0.9, 0.3]))
    (4, {'x': 1.0, 'kind': 'b'})
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._slices: dict[str, slice] = {}
        self.width = 0
        for parameter in space.parameters:
            width = len(parameter.domain.options) if isinstance(parameter.domain, Choice) else 1
            self._slices[parameter.name] = slice(self.width, self.width + width)
            self.width += width

    def parameters(self, point: Point) -> Parameters:
        """What a point stands for."""

        def value_of(parameter: Parameter) -> Any:
            part = point[self._slices[parameter.name]]
            domain = parameter.domain
            if isinstance(domain, Choice):
                return domain.options[int(part.argmax())]
            return domain.at(min(max(float(part[0]), 0.0), 1.0))

        return self.space.settle(value_of)

    def point(self, parameters: Mapping[str, Any]) -> Point:
        """A point that stands for these parameters; the middle where a parameter is not there."""
        point = numpy.full(self.width, 0.5)
        for parameter in self.space.active(parameters):
            part, domain, value = self._slices[parameter.name], parameter.domain, parameters[parameter.name]
            if isinstance(domain, Choice):
                point[part] = 0.0
                point[part.start + domain.index(value)] = 1.0
            else:
                point[part] = domain.place(value)
        return point
