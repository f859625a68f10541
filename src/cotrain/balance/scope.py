"""Which parameters the balance is about, in which order, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from torch import Tensor, nn

from cotrain.balance.walk import Walk, leaf_tensor
from cotrain.core.errors import ConfigError, UnsupportedError


@final
class Scope:
    """What `Engine(shared=...)` means: a module, parameters, or None for every parameter that two or more losses reach."""

    def __init__(self, shared: nn.Module | Iterable[Tensor] | None, network: nn.Module | None = None) -> None:
        self._names: dict[int, str] = {}
        if network is not None:
            self._names = {id(parameter): name for name, parameter in network.named_parameters()}
        self._parameters: list[Tensor] | None = None
        if isinstance(shared, nn.Module):
            self._parameters = list(shared.parameters())
            self._names = self._names or {id(parameter): name for name, parameter in shared.named_parameters()}
        elif shared is not None:
            self._parameters = list(shared)
            if not all(isinstance(parameter, Tensor) for parameter in self._parameters):
                raise ConfigError(
                    f"Engine's shared is a module or its parameters; got {self._parameters!r:.80}; pass shared=trunk"
                )
        if self._parameters is not None and not self._parameters:
            raise ConfigError("Engine's shared must hold parameters; got none; pass the trunk, or leave shared out")
        self._inside = {id(tensor) for tensor in self._parameters or ()}
        ordered = self._parameters or (list(network.parameters()) if network is not None else [])
        self.order: dict[int, int] = {id(tensor): place for place, tensor in enumerate(ordered)}
        """id of a parameter to its registered place; empty where neither parameters nor a network were given."""

    def holds(self, tensor: Tensor) -> bool:
        """Whether the balance is about this parameter, given that two or more losses reach it."""
        return self._parameters is None or id(tensor) in self._inside

    def holds_all(self, found: Walk) -> bool:
        """Whether the balance is about all parameters that two or more losses reach."""
        return self._parameters is None or all(self.holds(leaf_tensor(leaf)) for leaf in found.uses)

    def name(self, tensor: Tensor) -> str:
        """The parameter's name in the shared module, or its shape where it has none."""
        return self._names.get(id(tensor), f"parameter {list(tensor.shape)}")

    def refuse_narrowing(self, found: Walk) -> None:
        """Raise UnsupportedError if a common parameter lies outside: balancing at the features reaches everything below."""
        for leaf in found.uses:
            tensor = leaf_tensor(leaf)
            if not self.holds(tensor):
                raise UnsupportedError(
                    f"balancing at the features weighs everything below them; {self.name(tensor)} is reached by several losses but "
                    "is not in `shared`; leave `shared` out, add it, or use mode='exact' with a Gramian method"
                )
