"""A gallery is an explicit tuple of classes that a name in a config can stand for.

Settings are the keyword-only arguments of a class's own constructor; they are checked against its signature and nothing else.
Positional arguments come from the data and are never settings.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cotrain.core.errors import ConfigError, unknown


@dataclass(frozen=True)
class Setting:
    """One keyword-only argument of a constructor: its name, annotation and default (`required` where there is none)."""

    name: str
    annotation: Any
    default: Any
    required: bool


def settings_of(cls: type) -> dict[str, Setting]:
    """The settings of a class: the keyword-only arguments of its constructor, in order.

    A dataclass field marked `metadata={"setting": False}` is none (it is filled in from the data).
    """
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    inner = {field.name for field in fields if field.metadata.get("setting") is False}
    settings: dict[str, Setting] = {}
    for parameter in inspect.signature(cls, eval_str=True).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.name not in inner:
            required = parameter.default is inspect.Parameter.empty
            settings[parameter.name] = Setting(
                parameter.name, parameter.annotation, None if required else parameter.default, required
            )
    return settings


class Gallery(Mapping[str, type]):
    """Names to classes for one room. Each class carries its own name in a class attribute (`name` unless said).

    `what` is the word used in messages ("sharing", "balancer"). A name of the form "package.module:Class" is imported and
    stands for a user's own class.
    """

    def __init__(self, what: str, classes: tuple[type, ...], *, attribute: str = "name") -> None:
        self.what = what
        self._classes: dict[str, type] = {str(getattr(cls, attribute)): cls for cls in classes}

    def __getitem__(self, name: str) -> type:
        if ":" in name:
            return import_class(name, self.what)
        try:
            return self._classes[name]
        except KeyError:
            raise ConfigError(unknown(self.what, name, sorted(self._classes))) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def check(self, name: str, settings: Mapping[str, Any]) -> type:
        """The class behind `name`, after every key of `settings` was found among its settings.

        Raises ConfigError naming the unknown setting, the nearest known one and the list, or the missing one.
        """
        cls = self[name]
        known = settings_of(cls)
        for key in settings:
            if key not in known:
                raise ConfigError(unknown(f"setting of {self.what} '{name}'", key, sorted(known)))
        for setting in known.values():
            if setting.required and setting.name not in settings:
                raise ConfigError(f"{self.what} '{name}' needs the setting '{setting.name}'")
        return cls


def import_class(path: str, what: str) -> type:
    """The class a "package.module:Class" string names. Raises ConfigError with the cause when it cannot be had."""
    module_name, _, class_name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"{what} '{path}': module '{module_name}' cannot be imported ({error}); is it installed or on PYTHONPATH?"
        ) from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        classes = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise ConfigError(unknown(f"class in module '{module_name}'", class_name, sorted(classes)))
    return found
