"""Tasks with disjoint rows travel together, exactly, or the engine says why not and takes the ordinary way."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cotrain.balance.engine import Engine
from cotrain.core.errors import DataError


def draw(*shape: int) -> Tensor:
    """Standard normal float64."""
    return torch.randn(*shape, dtype=torch.float64)


def split_rows(batch: int, tasks: int, overlapping: bool = False) -> dict[str, Tensor]:
    """Rows dealt out in turn; with `overlapping`, task 0 also has a row of task 1."""
    rows = {f"task{k}": torch.arange(batch) % tasks == k for k in range(tasks)}
    if overlapping:
        rows["task0"] = rows["task0"] | (torch.arange(batch) == 1)
    return rows


def head_losses(heads: nn.ModuleList, features: Tensor, rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each head's loss on its rows; token features are averaged first."""
    features = features.mean(1) if features.dim() == 3 else features
    return {name: head(features[rows[name]]).sub(1).square().mean() for name, head in zip(rows, heads, strict=True)}


def count_passes(module: nn.Module) -> list[int]:
    """A list that grows by one whenever a gradient passes the module's output."""
    seen: list[int] = []

    def watch(_: nn.Module, __: object, output: Tensor) -> None:
        output.register_hook(lambda gradient: seen.append(1))

    module.register_forward_hook(watch)
    return seen


NETS = {
    "mlp": lambda: nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 14), nn.GELU(), nn.Linear(14, 8)),
    "norms": lambda: nn.Sequential(nn.Linear(6, 20), nn.LayerNorm(20), nn.SiLU(), nn.Dropout(0.3), nn.Linear(20, 8)),
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("batch", [6, 40])
@pytest.mark.parametrize("form", ["mask", "index"])
@pytest.mark.parametrize("overlapping", [False, True])
def test_disjoint_rows_equal_the_loop(agree, net: str, batch: int, form: str, overlapping: bool) -> None:
    trunk = NETS[net]().double()
    heads = nn.ModuleList([nn.Linear(8, 1) for _ in range(3)]).double()
    rows = split_rows(batch, 3, overlapping)
    losses = head_losses(heads, trunk(draw(batch, 6)), rows)
    given = rows if form == "mask" else {name: mask.nonzero().squeeze(1) for name, mask in rows.items()}
    report = agree(losses, [*trunk.parameters(), *heads.parameters()], rows=given)
    assert report.notes == ()


def test_convolutions_and_tokens(agree) -> None:
    trunk = nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3, bias=False), nn.Flatten(), nn.Linear(32, 8)
    ).double()
    heads = nn.ModuleList([nn.Linear(8, 1) for _ in range(3)]).double()
    rows = split_rows(7, 3)
    report = agree(
        head_losses(heads, trunk(draw(7, 2, 6, 6)), rows), [*trunk.parameters(), *heads.parameters()], rows=rows
    )
    assert report.notes == ()
    tokens = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.LayerNorm(12), nn.Linear(12, 8)).double()
    heads = nn.ModuleList([nn.Linear(8, 1) for _ in range(3)]).double()
    report = agree(
        head_losses(heads, tokens(draw(7, 5, 6)), rows), [*tokens.parameters(), *heads.parameters()], rows=rows
    )
    assert report.notes == ()


def test_self_attention_within_a_row(agree) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.out, self.norm = nn.Linear(8, 24), nn.Linear(8, 8), nn.LayerNorm(8)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.heads(x)
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
            return self.norm(x + self.out(mixed))

        def heads(self, x: Tensor) -> list[Tensor]:
            return [part.reshape(len(x), -1, 2, 4).transpose(1, 2) for part in self.qkv(x).split(8, dim=2)]

    trunk = nn.Sequential(Block(), Block()).double()
    heads = nn.ModuleList([nn.Linear(8, 1) for _ in range(3)]).double()
    rows = split_rows(7, 3)
    losses = head_losses(heads, trunk(draw(7, 5, 8)), rows)
    report = agree(losses, [*trunk.parameters(), *heads.parameters()], rows=rows)
    assert report.notes == ()


def test_disjoint_tasks_share_one_pass(inverse_norms) -> None:
    trunk = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 8)).double()
    seen = count_passes(trunk[0])
    heads = nn.ModuleList([nn.Linear(8, 1) for _ in range(4)]).double()
    rows = split_rows(8, 4)
    Engine(trunk, inverse_norms()).backward(head_losses(heads, trunk(draw(8, 6)), rows), rows=rows)
    assert len(seen) == 1


def mixing_nets() -> dict[str, nn.Module]:
    """Networks in which rows meet, or might."""

    class AcrossRows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 8)

        def forward(self, x: Tensor) -> Tensor:
            h = self.linear(x)
            return torch.softmax(h @ h.t(), 1) @ h

    class Left(AcrossRows):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ones(len(x), len(x), dtype=x.dtype).tril() @ torch.tanh(self.linear(x))

    class Rolled(AcrossRows):
        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x).roll(1, 0)

    class Centred(AcrossRows):
        def forward(self, x: Tensor) -> Tensor:
            h = self.linear(x)
            return h - h.mean(0, keepdim=True)

    class OverRows(AcrossRows):
        def forward(self, x: Tensor) -> Tensor:
            h = self.linear(x)
            return F.layer_norm(h, h.shape) + torch.softmax(h, 0)

    return {
        "batchnorm": nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8)),
        "attention across rows": AcrossRows(),
        "a constant on the left": Left(),
        "roll": Rolled(),
        "centred": Centred(),
        "normalised over rows": OverRows(),
    }


@pytest.mark.parametrize("name", mixing_nets())
def test_where_rows_mix_every_task_has_its_pass_and_the_report_says_why(agree, name: str) -> None:
    trunk = mixing_nets()[name].double()
    heads = nn.ModuleList([nn.Linear(8, 1) for _ in range(3)]).double()
    rows = split_rows(8, 3)
    losses = head_losses(heads, trunk(draw(8, 6)), rows)
    report = agree(losses, [*trunk.parameters(), *heads.parameters()], rows=rows)
    assert len(report.notes) == 1
    assert report.notes[0].startswith("rows: one pass a task, because")


def test_rows_that_are_not_true_are_refused(inverse_norms) -> None:
    trunk = nn.Linear(6, 8).double()
    heads = nn.ModuleList([nn.Linear(8, 1) for _ in range(3)]).double()
    rows = split_rows(9, 3)
    losses = head_losses(heads, trunk(draw(9, 6)), {name: torch.ones(9, dtype=torch.bool) for name in rows})
    with pytest.raises(DataError, match=r"task 'task0'.*not zero on others"):
        Engine(trunk, inverse_norms()).backward(losses, rows=rows)
    assert trunk.weight.grad is None


def test_rows_of_the_wrong_length_are_refused(inverse_norms) -> None:
    trunk, heads = nn.Linear(6, 8).double(), nn.ModuleList([nn.Linear(8, 1) for _ in range(2)]).double()
    rows = split_rows(8, 2)
    losses = head_losses(heads, trunk(draw(8, 6)), rows)
    with pytest.raises(DataError, match="indices from 0 to 7"):
        Engine(trunk, inverse_norms()).backward(losses, rows={"task0": torch.tensor([9]), "task1": rows["task1"]})


def test_a_task_with_a_gradient_that_is_not_finite_is_left_out(inverse_norms) -> None:
    trunk = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8)).double()
    heads = nn.ModuleList([nn.Linear(8, 1) for _ in range(3)]).double()
    rows = split_rows(9, 3)
    losses = head_losses(heads, trunk(draw(9, 6)), rows)
    losses["task1"] = (losses["task1"] - losses["task1"].detach()).sqrt() + 1
    report = Engine(trunk, inverse_norms()).backward(losses, rows=rows)
    assert report.skipped == {"task1": "its gradient is not finite"}
    assert all(bool(p.grad.isfinite().all()) for p in trunk.parameters())
    assert heads[1].weight.grad is None


def test_weights_by_layer_and_combiners(agree, by_layer, largest, rows_by_loop) -> None:
    trunk = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 8)).double()
    heads = nn.ModuleList([nn.Linear(8, 1) for _ in range(3)]).double()
    rows = split_rows(9, 3)
    losses = head_losses(heads, trunk(draw(9, 6)), rows)
    parameters = list(trunk.parameters())
    truth = rows_by_loop(losses, parameters)
    report = Engine(trunk, by_layer(), length="paper").backward(losses, rows=rows)
    for place, parameter in enumerate(parameters):
        layer = report.applied[place // 2]
        torch.testing.assert_close(parameter.grad, sum(layer[k] * truth[k][place] for k in range(3)))
        parameter.grad = None
    losses = head_losses(heads, trunk(draw(9, 6)), rows)
    truth = rows_by_loop(losses, parameters)
    Engine(trunk, largest()).backward(losses, rows=rows)
    whole = largest().combine(torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in truth]))
    torch.testing.assert_close(torch.cat([p.grad.reshape(-1) for p in parameters]), whole)
