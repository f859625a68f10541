"""Widths of layers, as a user gives them, checked once."""

from __future__ import annotations

from cotrain.core.errors import ConfigError


def layer_widths(what: str, widths: object) -> tuple[int, ...]:
    """The widths of a list or tuple, as a tuple. Raises ConfigError, naming the setting, unless they are whole numbers of at least 1.

    >>> layer_widths("mlp.widths", [256, 128])
    (256, 128)
    """
    given = tuple(widths) if isinstance(widths, (list, tuple)) else (None,)
    whole = [one for one in given if isinstance(one, int) and not isinstance(one, bool) and one >= 1]
    if len(whole) < len(given):
        raise ConfigError(
            f"{what} must be a list of whole numbers of at least 1, got {widths!r}; for example [256, 128]"
        )
    return tuple(whole)
