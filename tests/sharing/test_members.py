"""An ensemble inside the encoder goes through every way of sharing: member by member, whatever stage it begins at."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cotrain.core.fields import Batch, Field
from cotrain.core.together import one_pass
from cotrain.encoders.tabm import TabM
from cotrain.model.compose import Model
from cotrain.sharing.gallery import SHARINGS
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression

EARLY = [name for name, cls in SHARINGS.items() if "split" in cls.__dataclass_fields__]  # type: ignore[attr-defined]


def settings(name: str, split: int | None) -> Any:
    needed = {"branched": {"groups": ((("yes", "size"),),)}, "cascade": {"feeds": {"size": ("yes",)}}}
    chosen: dict[str, Any] = needed.get(name, {})
    return SHARINGS[name](**chosen, **({} if split is None else {"split": split}))


@pytest.mark.parametrize(
    ("name", "split"), [(name, None) for name in SHARINGS] + [(name, split) for name in EARLY for split in (0, -1)]
)
def test_members_go_through_every_sharing(name: str, split: int | None) -> None:
    batch = Batch(
        {"x": Field.dense(torch.randn(6, 3))},
        {"yes": Field.dense(torch.tensor([[1.0], [0], [1], [0], [1], [0]])), "size": Field.dense(torch.randn(6, 1))},
    )
    encoder = TabM(members=3, widths=[6, 5], dropout=0.0)
    model = Model(encoder=encoder, sharing=settings(name, split), tasks=[Binary("yes"), Regression("size")]).meet(batch)
    optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], 0.02)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.stack(list(model.losses([batch]).values())).sum()
        penalty = model.penalty()
        (loss if penalty is None else loss + penalty).backward()
        losses.append(float(loss.detach()))
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    model.eval()
    assert {key: tuple(one.shape) for key, one in model(batch).items()} == {"yes": (18, 1), "size": (18, 1)}
    assert {key: tuple(one.shape) for key, one in model.predict(batch).items()} == {"yes": (6, 1), "size": (6, 1)}
    with one_pass():
        once = model.losses([batch])
    torch.testing.assert_close(once, model.losses([batch]))
    for shapes in model.parts[0].shapes.values():
        assert [shape.members for shape in shapes][-1] == 3
