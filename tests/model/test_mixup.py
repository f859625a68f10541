"""Mixed rows have the mixed losses, in expectation those of the closed form, and count as by the one rule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from cotrain.core.errors import UnsupportedError
from cotrain.core.fields import Batch, Field
from cotrain.core.signals import Signal
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.model.mixup import Mixing, beta, draw_mixing
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression


def rows(count: int = 40, seed: int = 0) -> Batch:
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, generator=source)
    held = torch.rand(count, generator=source) < 0.7
    number = torch.randn(count, generator=source) * held
    weight = torch.rand(count, generator=source) + 0.5
    targets = {"number": Field(number, held), "yes": Field.dense((x[:, 0] > 0).float())}
    return Batch({"x": Field.dense(x)}, targets, weight)


def network(batch: Batch, **more: Any) -> Model:
    torch.manual_seed(0)
    return Model(encoder=MLP(widths=[6], dropout=0.0), tasks=[Regression("number"), Binary("yes")], **more).meet(batch)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_share_has_the_beta_distribution(alpha: float) -> None:
    source = torch.Generator().manual_seed(3)
    draws = np.array([beta(alpha, source) for _ in range(3000)])
    assert stats.kstest(draws, stats.beta(alpha, alpha).cdf).pvalue > 0.01
    assert draws.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_the_loss_is_that_of_mixed_rows_against_both_targets_row_by_row() -> None:
    batch = rows()
    model = network(batch)
    mixing = draw_mixing(batch, 1.0, torch.Generator().manual_seed(1))
    found = model.losses([batch], mixings=[mixing])
    s, p, weight = mixing.share, mixing.partner, batch.weight
    assert weight is not None
    mixed = s * batch.inputs["x"].values + (1 - s) * batch.inputs["x"].values[p]
    outputs = {name: one.detach() for name, one in model(Batch({"x": Field.dense(mixed)}, batch.targets)).items()}
    number, yes = batch.targets["number"], batch.targets["yes"].values
    total = {"number": 0.0, "yes": 0.0}
    for b in range(len(batch)):
        for share, row in ((s, b), (1 - s, int(p[b]))):
            w = share * float(weight[row])
            if number.present[row]:
                total["number"] += w * float((outputs["number"][b, 0] - number.values[row]) ** 2)
            logit = outputs["yes"][b, 0]
            total["yes"] += w * float(nn.functional.binary_cross_entropy_with_logits(logit, yes[row]))
    counts = {"number": float((weight * number.present).sum()), "yes": float(weight.sum())}
    for task, loss in found.items():
        assert loss.item() == pytest.approx(total[task] / counts[task], rel=1e-5)


def test_a_label_missing_in_one_of_two_rows_counts_for_its_share() -> None:
    half = Field(torch.tensor([1.0, 0.0]), torch.tensor([True, False]))
    batch = Batch({"x": Field.dense(torch.zeros(2, 3))}, {"number": half})
    mixing = Mixing(0.75, torch.tensor([1, 0]))
    found = network(batch).totals(batch, mixing=mixing)["number"][1]
    assert float(found) == pytest.approx(1.0)  # .75 from the first row, .25 from the second


def test_the_expected_loss_of_a_linear_model_is_its_closed_form() -> None:
    """E = mean r^2 + alpha / (2 (2 alpha + 1)) mean_{b, b'} (D^2 - 2 D (r_b - r_b')), r = f(x) - t, D = f(x_b) - f(x_b')."""
    source, alpha = torch.Generator().manual_seed(0), 0.4
    x, t = torch.randn(12, 3, generator=source), torch.randn(12, generator=source)

    class Same(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    torch.manual_seed(1)
    model = Model(trunk=Same(), heads={"t": nn.Linear(3, 1)}, tasks=[Regression("t")])
    batch = Batch({"x": Field.dense(x)}, {"t": Field.dense(t)})
    model.meet(batch).train()
    with torch.no_grad():
        draws = [float(model.losses([batch], mixings=[draw_mixing(batch, alpha, source)])["t"]) for _ in range(4000)]
        f = model(batch)["t"][:, 0]
    r, apart = f - t, f[:, None] - f[None, :]
    extra = (apart**2 - 2 * apart * (r[:, None] - r[None, :])).mean()
    expected = float((r**2).mean() + alpha / (2 * (2 * alpha + 1)) * extra)
    error = np.std(draws) / math.sqrt(len(draws))
    assert np.mean(draws) == pytest.approx(expected, abs=4 * error)
    assert error < 0.02 * expected


def test_members_mix_with_their_own_copies() -> None:
    values = torch.arange(6.0).unsqueeze(1)  # two members of three rows
    mixed = Mixing(0.0, torch.tensor([2, 0, 1])).signal(Signal(values, members=2))
    assert mixed.values[:, 0].tolist() == [2, 0, 1, 5, 3, 4]
    assert mixed.members == 2


def test_nothing_is_mixed_where_the_share_is_one_or_a_row_is_its_own_partner() -> None:
    batch = rows()
    model = network(batch)
    plain = {task: loss.item() for task, loss in model.losses([batch]).items()}
    for mixing in (Mixing(1.0, torch.randperm(40)), Mixing(0.3, torch.arange(40))):
        for task, loss in model.losses([batch], mixings=[mixing]).items():
            assert loss.item() == pytest.approx(plain[task], rel=1e-5)


def test_ragged_and_padded_rows_are_refused() -> None:
    words = Field(torch.arange(3), torch.tensor([True, True]), offsets=torch.tensor([0, 2, 3]))
    with pytest.raises(UnsupportedError, match="input 'words' is ragged"):
        draw_mixing(Batch({"words": words}), 0.2, torch.Generator())
    tags = Batch({"x": Field.dense(torch.zeros(2, 1))}, {"tags": words})
    with pytest.raises(UnsupportedError, match="target 'tags' is ragged"):
        draw_mixing(tags, 0.2, torch.Generator())
    padded = Signal(torch.zeros(2, 3, 4), "sequence", torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(UnsupportedError, match="padded rows"):
        Mixing(0.5, torch.tensor([1, 0])).signal(padded)
