"""What a batch alone tells of a source's inputs, for a network that was given no specs."""

from __future__ import annotations

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch
from cotrain.core.spec import FieldSpec


def specs_of(batch: Batch, *, own: bool) -> dict[str, FieldSpec]:
    """{input: FieldSpec} of a batch. own: whether a user's own network reads it, which may make of whole numbers what it likes.

    Raises ConfigError for whole numbers otherwise: a batch cannot tell how many categories there are.
    """
    specs: dict[str, FieldSpec] = {}
    for name, field in batch.inputs.items():
        if not field.values.is_floating_point() and not own:
            raise ConfigError(
                f"input '{name}' holds whole numbers ({field.values.dtype}): call model.build with FieldSpec('category', cardinalities=...), "
                "or give the values as floating point"
            )
        flat = field.values.dim() <= 2 and field.offsets is None
        width = field.values.shape[1] if field.values.dim() == 2 else 1
        names = tuple(f"{name}_{index}" for index in range(width)) if flat else ()
        specs[name] = FieldSpec("number" if flat else "array", names, (), tuple(field.values.shape[1:]))
    return specs
