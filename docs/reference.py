"""Writes reference.md: every key of a config with its type, default and meaning, read from the classes that hold them.

python docs/reference.py
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

from cotrain.balance.gallery import BALANCERS
from cotrain.core.gallery import Gallery
from cotrain.data.augment import AugmentSettings
from cotrain.data.column_settings import ColumnSettings, ImputeSettings, OutlierSettings, ScalingSettings
from cotrain.data.picture_colours import ColourSettings
from cotrain.data.picture_moves import AffineSettings
from cotrain.data.picture_settings import ImageSettings
from cotrain.data.settings import DataSettings, SplitSettings
from cotrain.encoders.gallery import ENCODERS, NUMBERS
from cotrain.heads.gallery import HEADS
from cotrain.model.fusion import Fusion
from cotrain.recipe.balance_settings import EngineSettings
from cotrain.recipe.compare_settings import CompareSettings, Variant
from cotrain.recipe.inputs import InputSettings
from cotrain.recipe.nested import default_words, expected
from cotrain.recipe.reader import public_settings, section_by_name
from cotrain.recipe.source_section import SourceSettings
from cotrain.recipe.values import describe
from cotrain.sharing.gallery import SHARINGS
from cotrain.tasks.gallery import TASKS
from cotrain.training.optimizer_settings import GroupSettings, OptimizerSettings, ScheduleSettings
from cotrain.training.settings import AveragingSettings, CheckpointSettings, EarlyStopping, TrainSettings

PAGE = Path(__file__).with_name("reference.md")

SECTIONS: tuple[tuple[str, type], ...] = (
    ("data", DataSettings),
    ("data.split", SplitSettings),
    ("data.impute", ImputeSettings),
    ("data.outliers", OutlierSettings),
    ("data.scaling", ScalingSettings),
    ("data.image", ImageSettings),
    ("data.per_column.NAME", ColumnSettings),
    ("sources.NAME", SourceSettings),
    ("inputs.NAME", InputSettings),
    ("fusion", Fusion),
    ("balance.engine", EngineSettings),
    ("train", TrainSettings),
    ("train.optimizer", OptimizerSettings),
    ("train.optimizer.groups", GroupSettings),
    ("train.schedule", ScheduleSettings),
    ("train.averaging", AveragingSettings),
    ("train.early_stopping", EarlyStopping),
    ("train.checkpoint", CheckpointSettings),
    ("augment.NAME", AugmentSettings),
    ("augment.NAME.affine", AffineSettings),
    ("augment.NAME.colour", ColourSettings),
    ("compare", CompareSettings),
    ("compare.variants.NAME", Variant),
)

GALLERIES: tuple[tuple[str, str, Gallery], ...] = (
    ("tasks.NAME", "kind", TASKS),
    ("tasks.NAME.head", "name", HEADS),
    ("encoder", "name", ENCODERS),
    ("encoder.numbers", "name", NUMBERS),
    ("sharing", "name", SHARINGS),
    ("balance", "name", BALANCERS),
)

HEAD = """# Reference of the config

Written by `docs/reference.py` from the classes that hold the settings; do not edit. What the keys are for: [configuration](configuration.md).
Outermost keys: `name`, `data`, `sources`, `inputs`, `tasks`, `encoder`, `fusion`, `sharing`, `balance`, `train`, `augment`, `seed`, `compare`."""


def cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def shown(value: object) -> str:
    """A default as YAML writes it."""
    plain = default_words(value)
    if isinstance(plain, dict) and plain:
        return "see below"
    if plain is None or isinstance(plain, bool):
        return f"`{json.dumps(plain)}`"
    return f"`{plain}`" if plain != "" else '`""`'


def said(cls: type) -> str:
    """What a class says of itself, its examples left out, as it stands there."""
    return "```text\n" + (inspect.getdoc(cls) or "").split(">>>")[0].rstrip() + "\n```"


def table(rows: Iterator[tuple[str, str, str]]) -> str:
    lines = [f"| `{key}` | {cell(kind)} | {cell(default)} |" for key, kind, default in rows]
    return "\n".join(["| key | takes | default |", "|---|---|---|", *lines]) if lines else "No settings."


def fields(cls: type) -> Iterator[tuple[str, str, str]]:
    hints = get_type_hints(cls, include_extras=True)
    for one in dataclasses.fields(cls):
        if not one.init:
            continue
        hint = hints[one.name]
        nested = section_by_name(hint) or [
            part for part in (hint, *getattr(hint, "__args__", ())) if dataclasses.is_dataclass(part)
        ]
        default = one.default if one.default is not dataclasses.MISSING else None
        if one.default_factory is not dataclasses.MISSING:
            default = one.default_factory()
        required = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        kind = "a mapping" if nested else describe(hint)
        if nested and getattr(hint, "__origin__", None) is tuple:
            kind = "a list of mappings"
        yield one.name, kind, "required" if required else shown(default)


def settings(cls: type) -> Iterator[tuple[str, str, str]]:
    for name, one in public_settings(cls).items():
        if name in ("columns", "head", "source") and cls in TASKS.values():
            continue
        losses = getattr(cls, "losses", None)
        if name == "loss" and losses is not None:
            default = next(word for word, loss in losses.items() if loss is one.default)
            yield name, "one of " + ", ".join(repr(word) for word in losses), f"`{default}`"
        else:
            yield name, expected(one.annotation), "required" if one.required else shown(one.default)


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for path, cls in SECTIONS:
        parts += [f"## {path}", said(cls), table(fields(cls))]
    for path, key, gallery in GALLERIES:
        parts.append(f"## {path}")
        parts.append(f"`{key}:` one of {', '.join(f'`{name}`' for name in gallery)}, or `package.module:Class`.")
        for name, cls in gallery.items():
            parts += [f"### {path}: {name}", said(cls), table(settings(cls))]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
