"""Methods that are settings of other methods: a balancer that wraps another, an encoder that embeds numbers in some way.

A setting whose type stands in `NESTED` is chosen from that gallery, by a word or a mapping {name: word, its settings}.
"""

from __future__ import annotations

from typing import Any

from cotrain.balance.gallery import BALANCERS
from cotrain.balance.protocol import Weigher
from cotrain.core.gallery import Gallery, settings_of
from cotrain.encoders.gallery import NUMBERS
from cotrain.encoders.number_embedding import NumberEmbedding
from cotrain.recipe.values import as_plain, describe

NESTED: dict[type, Gallery] = {Weigher: BALANCERS, NumberEmbedding: NUMBERS}
"""{type of a setting: the gallery it is chosen from}"""

FEW = 5
"""So many choices are named one by one."""


def is_nested(annotation: Any) -> bool:
    """Whether a setting of this type is chosen from a gallery."""
    return isinstance(annotation, type) and annotation in NESTED


def nested_gallery(cls: type, setting: str) -> Gallery:
    """The gallery a setting of a method is chosen from."""
    return NESTED[settings_of(cls)[setting].annotation]


def expected(annotation: Any) -> str:
    """What a setting takes, in words.

    >>> expected(NumberEmbedding)
    "one of 'linear', 'piecewise_linear', 'periodic', alone or with settings"
    >>> expected(Weigher), expected(int)
    ('the name of a balancer, alone or with settings', 'a whole number')
    """
    if not is_nested(annotation):
        return describe(annotation)
    gallery = NESTED[annotation]
    if len(gallery) > FEW:
        return f"the name of a {gallery.what}, alone or with settings"
    return f"one of {', '.join(map(repr, gallery))}, alone or with settings"


def default_words(value: Any) -> Any:
    """A default as a config writes it: a nested method by its name, anything else as it is.

    >>> default_words(NUMBERS["linear"]()), default_words((256, 256))
    ('linear', [256, 256])
    """
    for kind, gallery in NESTED.items():
        if isinstance(value, kind):
            return next(name for name, cls in gallery.items() if cls is type(value))
    return as_plain(value)
