"""The encoders of a run's sources, as its encoders.json holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cotrain.core.fields import MAIN
from cotrain.data.encode import TableEncoder


def encoders_json(encoders: Mapping[str, TableEncoder]) -> dict[str, Any]:
    """The encoders of the inputs as plain JSON: that of the only table, or by source."""
    if list(encoders) == [MAIN]:
        return encoders[MAIN].to_json()
    return {"sources": {source: one.to_json() for source, one in encoders.items()}}


def encoders_from(stored: Mapping[str, Any]) -> dict[str, TableEncoder]:
    """The inverse of `encoders_json`."""
    by_source = stored.get("sources", {MAIN: stored})
    return {source: TableEncoder.from_json(one) for source, one in by_source.items()}
