"""Optional libraries of a search, imported when first used."""

from __future__ import annotations

from importlib.util import find_spec

from cotrain.core.errors import MissingExtraError


def require(what: str, *modules: str) -> None:
    """Raises MissingExtraError naming `cotrain[tune]` where one of the modules is not installed."""
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(what, "tune")
