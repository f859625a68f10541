"""What the encoders of tables have in common: activations by name, and the checks of their settings."""

from __future__ import annotations

from torch import nn

from cotrain.core.errors import ConfigError

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


def check_share(setting: str, value: float) -> None:
    """Raises ConfigError unless 0 <= value < 1."""
    if not 0 <= value < 1:
        raise ConfigError(f"{setting} must lie in [0, 1), got {value}")


def check_activation(encoder: str, activation: str) -> None:
    """Raises ConfigError unless the activation is one of `ACTIVATIONS`."""
    if activation not in ACTIVATIONS:
        raise ConfigError(f"{encoder}.activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")


def check_count(setting: str, value: int) -> None:
    """Raises ConfigError unless the value is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{setting} must be a whole number of at least 1, got {value!r}")
