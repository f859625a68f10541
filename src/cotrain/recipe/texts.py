"""Which form of a text an encoder reads: what `data.text` leaves open is settled here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cotrain.data.feature_settings import TextSettings
from cotrain.encoders.gallery import ENCODERS
from cotrain.recipe.build import build_choice
from cotrain.recipe.config import Config


def texts_of(config: Config, assigned: Mapping[str, Sequence[str]]) -> dict[str, TextSettings]:
    """{column: what holds for it if it is a text}, in the form that its input's encoder reads. assigned: {input: its columns}."""
    found: dict[str, TextSettings] = {}
    for name, chosen in assigned.items():
        encoder = build_choice(ENCODERS, config.inputs[name].encoder or config.encoder)
        found |= {column: texts_read_by(encoder, config.data.of(column).text) for column in chosen}
    return found


def texts_read_by(encoder: Any, settings: TextSettings) -> TextSettings:
    """The settings of a text with `auto` settled for its encoder's settings: tokens where it says that it `reads` them, else a bag.

    An encoder with a pretrained model brings its own tokenizer (`tokenizer`) where none is said.

    >>> from cotrain.encoders.mlp import MLP
    >>> from cotrain.encoders.text_conv import TextConv
    >>> [texts_read_by(one, TextSettings()).encoding for one in (TextConv(), MLP())]
    ['tokens', 'bag']
    """
    reads = "tokens" in getattr(encoder, "reads", ())
    encoding = settings.encoding if settings.encoding != "auto" else "tokens" if reads else "bag"
    settings = replace(settings, encoding=encoding)
    own = getattr(encoder, "tokenizer", None)
    if encoding == "tokens" and isinstance(own, str) and settings.tokenizer == "auto":
        return replace(settings, tokenizer="pretrained", pretrained=own)
    return settings
