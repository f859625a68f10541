"""In half and single precision the engine is as exact as the precision is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cotrain.balance.engine import Engine


def test_the_gramian_of_a_cast_trunk_is_close(agree) -> None:
    trunk = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)).bfloat16()
    heads = nn.ModuleList([nn.Linear(32, 1) for _ in range(3)])
    h = trunk(torch.randn(8, 32).bfloat16()).float()
    losses = {f"t{k}": head(h).square().mean() for k, head in enumerate(heads)}
    agree(losses, [*trunk.parameters(), *heads.parameters()], tolerance=2e-2)


@pytest.mark.parametrize("cache", [True, False])
def test_autocast_to_bfloat16(agree, cache: bool) -> None:
    trunk = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32))
    heads = nn.ModuleList([nn.Linear(32, 1) for _ in range(3)])
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=cache):
        h = trunk(torch.randn(8, 32))
        losses = {f"t{k}": head(h).float().square().mean() for k, head in enumerate(heads)}
    report = agree(losses, [*trunk.parameters(), *heads.parameters()], tolerance=2e-2)
    assert report.fallbacks == ()


def test_float32_is_as_exact_as_float32_is(agree) -> None:
    trunk = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32))
    heads = nn.ModuleList([nn.Linear(32, 1) for _ in range(3)])
    h = trunk(torch.randn(8, 32))
    losses = {f"t{k}": head(h).square().mean() for k, head in enumerate(heads)}
    agree(losses, [*trunk.parameters(), *heads.parameters()], tolerance=1e-5)


def test_complex_parameters(rows_by_loop, inverse_norms) -> None:
    filters = nn.Parameter(torch.randn(4, 5, dtype=torch.complex128))
    heads = nn.ModuleList([nn.Linear(8, 1) for _ in range(3)]).double()
    h = torch.fft.irfft(torch.fft.rfft(torch.randn(4, 8, dtype=torch.float64)) * filters, n=8)
    losses = {f"t{k}": head(h).square().mean() for k, head in enumerate(heads)}
    rows = [torch.view_as_real(row[0]).flatten() for row in rows_by_loop(losses, [filters])]
    report = Engine(None, inverse_norms()).backward(losses)
    torch.testing.assert_close(report.gramian, torch.stack(rows) @ torch.stack(rows).t())
    expected = sum(weight * row for weight, row in zip(report.weights.values(), rows, strict=True))
    torch.testing.assert_close(torch.view_as_real(filters.grad).flatten(), expected)
