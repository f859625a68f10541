"""Every way of sharing on the stages of every encoder of texts, through the checks that each must pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conformance.test_sharing import SHARED

from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec
from cotrain.encoders.text_conv import TextConv
from cotrain.encoders.text_gru import TextGRU
from cotrain.encoders.text_transformer import TextTransformer
from cotrain.sharing import conformance
from cotrain.sharing.conformance import Backbone, Case

ENCODERS: dict[str, Any] = {
    "text_conv": TextConv(embedding=6, widths=[1, 2], filters=4, layers=2, dropout=0.0),
    "text_gru": TextGRU(embedding=6, width=8, layers=2, dropout=0.0),
    "text_transformer": TextTransformer(width=8, heads=2, hidden=12, dropout=0.0),
}
CHECKS = (conformance.check_shapes, conformance.check_learns, conformance.check_repeats, conformance.check_state)


def backbone(name: str) -> Callable[[], Backbone]:
    """Stages and a signal of twelve texts of two to seven words."""

    def make() -> Backbone:
        encoder = ENCODERS[name].build({"text": FieldSpec("tokens", ("text",), (20,))})
        lengths = torch.randint(2, 8, (12,))
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        words = Field(torch.randint(2, 20, (int(offsets[-1]),)), torch.ones(12, dtype=torch.bool), offsets)
        signal = encoder.eval().embed({"text": words})
        encoder.train()
        return Backbone(encoder.stages, tuple(encoder.shapes), signal.of(signal.values.detach()))

    return make


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_sharing_does_what_each_must_on_texts(encoder: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(conformance.BACKBONES, encoder, backbone(encoder))
    for check in CHECKS:
        check(Case(SHARED[name](conformance.TASKS), encoder))
