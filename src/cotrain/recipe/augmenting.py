"""The `augment:` of a config as something that changes batches: which input each of its names stands for, and which targets move along."""

from __future__ import annotations

from collections.abc import Sequence

from cotrain.core.errors import ConfigError
from cotrain.core.spec import InputSpec, Task
from cotrain.data.augment import Augmentation, AugmentSettings
from cotrain.recipe.config import Config


def build_augmentation(config: Config, specs: InputSpec, tasks: Sequence[Task]) -> Augmentation | None:
    """What training rows go through, or None where the config asks for nothing.

    A name is that of a field (a column of pictures or texts), or of an input of the config, which stands for all its columns.
    Raises ConfigError, beginning with its path, for an input that is not there or of a kind that a setting is not for.
    """
    settings: dict[str, AugmentSettings] = {}
    for name, one in config.augment.items():
        fields = [name]
        if name not in specs and name in config.inputs:
            fields = [column for column in config.inputs[name].columns if column in specs] or [name]
        for each in fields:
            if each in settings:
                raise ConfigError(f"augment.{name}: '{each}' is augmented by another entry as well; name it once")
            settings[each] = one
    if not settings:
        return None
    augmentation = Augmentation(settings, tasks)
    augmentation.check(specs)
    return augmentation
