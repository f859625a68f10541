"""Which form of a text an encoder reads: what `data.text` leaves open is settled here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cotrain.data.feature_settings import TextEncoding, TextSettings
from cotrain.encoders.gallery import ENCODERS
from cotrain.recipe.build import build_choice
from cotrain.recipe.config import Config


def texts_of(config: Config, assigned: Mapping[str, Sequence[str]]) -> dict[str, TextSettings]:
    """{column: what holds for it if it is a text}, in the form that its input's encoder reads. assigned: {input: its columns}.

    Raises ConfigError for a setting of the one form where all columns it is said of take the other.
    """
    found: dict[str, TextSettings] = {}
    forms: dict[TextSettings, set[TextEncoding]] = {}
    encoders = {name: build_choice(ENCODERS, config.inputs[name].encoder or config.encoder) for name in assigned}
    for name, chosen in assigned.items():
        for column in chosen:
            said = config.data.of(column).text
            found[column] = texts_read_by(encoders[name], said)
            forms.setdefault(said, set()).add(found[column].encoding)
    for said, taken in forms.items():
        if len(taken) == 1:
            replace(said, encoding=taken.pop())  # refuses what is said in vain
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
    if settings.encoding == "auto":
        settings = settings.of("tokens" if reads else "bag")
    own = getattr(encoder, "tokenizer", None)
    if settings.encoding == "tokens" and isinstance(own, str) and settings.tokenizer == "auto":
        return replace(settings, tokenizer="pretrained", pretrained=own)
    return settings
