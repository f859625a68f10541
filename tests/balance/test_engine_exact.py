"""Whatever the network does, Gramian and gradients equal a plain loop of one backward pass a task, in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cotrain.balance.engine import Engine

TASKS = 3


def parameters_of(*modules: nn.Module) -> list[Tensor]:
    """All parameters of several modules, each once."""
    return list({id(p): p for module in modules for p in module.parameters()}.values())


class Heads(nn.Module):
    """One linear head a task on the mean over all middle dimensions."""

    def __init__(self, width: int, tasks: int = TASKS) -> None:
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(width, 1, dtype=torch.float64) for _ in range(tasks)])

    def losses(self, features: Tensor) -> dict[str, Tensor]:
        """One scalar a task."""
        while features.dim() > 2:
            features = features.mean(1)
        return {f"task{k}": head(features).sub(k).square().mean() for k, head in enumerate(self.heads)}


def draw(*shape: int) -> Tensor:
    """Standard normal float64."""
    return torch.randn(*shape, dtype=torch.float64)


def test_a_multilayer_perceptron(agree) -> None:
    trunk = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 12), nn.GELU(), nn.Linear(12, 30)).double()
    heads = Heads(30)
    report = agree(heads.losses(trunk(draw(5, 20))), parameters_of(trunk, heads))
    assert report.fallbacks == ()
    assert report.layer_gramians is not None
    assert report.layer_gramians.shape[0] == 3


@pytest.mark.parametrize("chunk", [None, 1, 2])
@pytest.mark.parametrize("rows", [1, 4, 40])
def test_rows_few_or_many_and_every_chunk(agree, rows: int, chunk: int | None) -> None:
    trunk = nn.Sequential(nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 6, bias=False), nn.Sigmoid()).double()
    heads = Heads(6, 5)
    agree(heads.losses(trunk(draw(rows, 10))), parameters_of(trunk, heads), chunk=chunk)


def test_a_module_used_twice(agree) -> None:
    layer = nn.Linear(16, 16).double()
    heads = Heads(16)
    x = draw(3, 16)
    agree(heads.losses(torch.tanh(layer(torch.relu(layer(x)) + x))), parameters_of(layer, heads))


def test_a_recurrence_of_raw_linear_calls(agree) -> None:
    cell = nn.Linear(12, 8).double()
    heads = Heads(8)
    state = draw(2, 8)
    for _ in range(4):
        state = torch.tanh(F.linear(torch.cat([state, draw(2, 4)], 1), cell.weight, cell.bias))
    agree(heads.losses(state), parameters_of(cell, heads))


def test_parameters_tied_between_modules(agree) -> None:
    first, second = nn.Linear(9, 9).double(), nn.Linear(9, 9).double()
    second.weight = first.weight
    heads = Heads(9)
    agree(heads.losses(second(torch.relu(first(draw(4, 9))))), parameters_of(first, second, heads))


def test_a_weight_and_its_transpose(agree) -> None:
    layer = nn.Linear(7, 14).double()
    heads = Heads(7)
    x = draw(3, 7)
    agree(heads.losses(F.linear(torch.tanh(layer(x)), layer.weight.t())), parameters_of(layer, heads))


def test_an_embedding_tied_to_an_output_projection(agree) -> None:
    table = nn.Embedding(11, 16).double()
    heads = Heads(11)
    hidden = table(torch.tensor([[1, 2], [3, 1], [4, 4]])).mean(1)
    report = agree(heads.losses(F.linear(hidden, table.weight)), parameters_of(table, heads))
    assert any("EmbeddingBackward0" in fallback for fallback in report.fallbacks)


def test_a_weight_shared_by_trunk_and_one_head(agree) -> None:
    trunk = nn.Linear(8, 8).double()
    heads = Heads(8)
    h = torch.tanh(trunk(draw(3, 8)))
    losses = heads.losses(h)
    losses["task0"] = losses["task0"] + F.linear(h, trunk.weight).square().mean()
    agree(losses, parameters_of(trunk, heads))


def test_a_weight_used_as_the_left_factor(agree) -> None:
    weight = nn.Parameter(draw(6, 10))
    bias = nn.Parameter(draw(6, 1))
    heads = Heads(6)
    x = draw(10, 4)
    report = agree(heads.losses(torch.tanh(weight @ x).t()), [weight, *parameters_of(heads)])
    assert report.fallbacks == ()
    weight.grad = None
    for parameter in heads.parameters():
        parameter.grad = None
    agree(heads.losses(torch.tanh(torch.addmm(bias, weight, x)).t()), [weight, bias, *parameters_of(heads)])


def test_frozen_parameters_stay_without_gradient(agree) -> None:
    trunk = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)).double()
    trunk[2].weight.requires_grad_(False)
    trunk[4].bias.requires_grad_(False)
    heads = Heads(8)
    agree(heads.losses(trunk(draw(3, 8))), [p for p in parameters_of(trunk, heads) if p.requires_grad])
    assert trunk[2].weight.grad is None
    assert trunk[4].bias.grad is None


def test_activations_in_place(agree) -> None:
    trunk = nn.Sequential(nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Linear(16, 8), nn.SiLU(inplace=True)).double()
    heads = Heads(8)
    agree(heads.losses(trunk(draw(3, 8))), parameters_of(trunk, heads))


def test_dropout_draws_once(agree) -> None:
    trunk = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 8), nn.Dropout(0.3)).double()
    heads = Heads(8)
    agree(heads.losses(trunk(draw(6, 8))), parameters_of(trunk, heads))


def test_non_reentrant_checkpointing(agree) -> None:
    first = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 8)).double()
    second = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)).double()
    heads = Heads(8)
    x = draw(4, 8)
    h = checkpoint(second, checkpoint(first, x, use_reentrant=False), use_reentrant=False)
    agree(heads.losses(h), parameters_of(first, second, heads))


def test_several_feature_tensors(agree) -> None:
    stem, left, right = nn.Linear(8, 10).double(), nn.Linear(10, 6).double(), nn.Linear(10, 4).double()
    heads, more = Heads(6), Heads(4)
    h = torch.relu(stem(draw(5, 8)))
    losses, others = heads.losses(torch.tanh(left(h))), more.losses(right(h))
    joint = {name: losses[name] + (others[name] if name != "task1" else 0) for name in losses}
    agree(joint, parameters_of(stem, left, right, *heads.heads, more.heads[0], more.heads[2]))


def test_features_at_different_depths(agree) -> None:
    blocks = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)]).double()
    heads = Heads(8)
    h, depths = draw(4, 8), []
    for block in blocks:
        h = torch.relu(block(h))
        depths.append(h)
    losses = {f"task{k}": head(depths[k]).square().mean() for k, head in enumerate(heads.heads)}
    agree(losses, parameters_of(blocks, heads))


def test_several_outputs_of_one_node(agree) -> None:
    trunk = nn.Linear(8, 12).double()
    heads = nn.ModuleList([nn.Linear(4, 1) for _ in range(3)]).double()
    pieces = torch.tanh(trunk(draw(5, 8))).split(4, dim=1)
    losses = {f"t{k}": heads[k](pieces[k]).square().mean() for k in range(3)}
    report = agree(losses, parameters_of(trunk, heads))
    assert torch.allclose(report.cosines, torch.eye(3, dtype=torch.float64), atol=1e-12)


def test_a_loss_made_of_another_loss(agree) -> None:
    trunk, heads = nn.Linear(6, 6).double(), Heads(6)
    losses = heads.losses(torch.tanh(trunk(draw(4, 6))))
    losses["both"] = losses["task0"] + 2 * losses["task1"]
    losses["again"] = losses["task2"]
    agree(losses, parameters_of(trunk, heads))


def test_each_task_runs_the_trunk_on_its_own_batch(agree) -> None:
    trunk, heads = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 5)).double(), Heads(5)
    losses = {f"task{k}": head(trunk(draw(2 + k, 6))).square().mean() for k, head in enumerate(heads.heads)}
    agree(losses, parameters_of(trunk, heads))


def test_labels_missing_on_part_of_the_rows(agree) -> None:
    trunk, heads = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 5)).double(), Heads(5)
    h = trunk(draw(12, 6))
    masks = [torch.arange(12) < 4, torch.arange(12) % 2 == 0, torch.arange(12) == 11]
    losses = {f"task{k}": head(h[masks[k]]).square().mean() for k, head in enumerate(heads.heads)}
    agree(losses, parameters_of(trunk, heads))


def test_a_task_that_reaches_nothing_shared(agree, unit_weights) -> None:
    trunk, heads, alone = nn.Linear(6, 5).double(), Heads(5), nn.Linear(3, 1).double()
    losses = heads.losses(trunk(draw(4, 6)))
    losses["alone"] = alone(draw(4, 3)).square().mean()
    engine = Engine(None, unit_weights())
    agree(losses, parameters_of(trunk, heads, alone), engine=engine)


def test_a_loss_without_parameters(agree, unit_weights) -> None:
    trunk, heads = nn.Linear(6, 5).double(), Heads(5)
    losses = heads.losses(trunk(draw(4, 6)))
    report = Engine(None, unit_weights()).backward({**losses, "constant": torch.tensor(2.0, dtype=torch.float64)})
    assert report.gramian is not None
    assert float(report.gramian[3].abs().max()) == 0.0
    assert trunk.weight.grad is not None


def test_a_parameter_that_is_itself_a_loss(agree, unit_weights) -> None:
    temperature = nn.Parameter(draw(()))
    trunk, heads = nn.Linear(6, 5).double(), Heads(5)
    losses = heads.losses(trunk(draw(4, 6)))
    losses = {name: loss * temperature for name, loss in losses.items()}
    agree(losses, [temperature, *parameters_of(trunk, heads)])
    temperature.grad = None
    report = Engine(None, unit_weights()).backward({"a": temperature, "b": temperature * 2})
    assert report.gramian.tolist() == [[1.0, 2.0], [2.0, 4.0]]
    assert float(temperature.grad) == 3.0


def test_convolutions(agree) -> None:
    trunk = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 8, 3, stride=2, groups=4, bias=False),
        nn.GroupNorm(2, 8),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=2, dilation=2),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 2),
    ).double()
    heads = Heads(8)
    report = agree(heads.losses(trunk(draw(2, 3, 12, 12)).flatten(2).transpose(1, 2)), parameters_of(trunk, heads))
    assert not any(fallback.startswith("0.") for fallback in report.fallbacks)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_convolutions_with_few_positions(agree, dimensions: int) -> None:
    layer = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    size = (5,) * dimensions
    trunk = nn.Sequential(layer(32, 40, 3), nn.ReLU(), layer(40, 64, 3, padding=1, stride=2)).double()
    heads = Heads(64, 4)
    h = trunk(draw(1, 32, *size)).flatten(2).transpose(1, 2)
    agree(heads.losses(h), parameters_of(trunk, heads))


def test_self_attention_and_norms(agree) -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1, batch_first=True).double()
    trunk = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    heads = Heads(16)
    agree(heads.losses(trunk(draw(3, 5, 16))), parameters_of(trunk, heads))


def test_scaled_dot_product_attention_by_hand(agree) -> None:
    projection, out = nn.Linear(16, 48, bias=False).double(), nn.Linear(16, 16).double()
    heads = Heads(16)
    x = draw(2, 6, 16)
    q, k, v = projection(x).view(2, 6, 3, 4, 4).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(2, 6, 16)
    agree(heads.losses(out(mixed)), parameters_of(projection, out, heads))


def test_experts_in_one_batched_product(agree) -> None:
    weight, bias = nn.Parameter(draw(4, 6, 10)), nn.Parameter(draw(4, 1, 10))
    gate = nn.Linear(6, 4).double()
    heads = Heads(10)
    x = draw(5, 6)
    experts = torch.relu(torch.baddbmm(bias, x.expand(4, 5, 6), weight))
    losses = heads.losses(torch.einsum("be,ebo->bo", torch.softmax(gate(x), 1), experts))
    agree(losses, [weight, bias, *parameters_of(gate, heads)])


def test_experts_in_an_einsum(agree) -> None:
    weight = nn.Parameter(draw(4, 6, 10))
    gates = nn.ModuleList([nn.Linear(6, 4) for _ in range(TASKS)]).double()
    heads = Heads(10)
    x = draw(5, 6)
    experts = torch.tanh(torch.einsum("bi,eio->beo", x, weight))
    losses = {
        f"task{k}": head(torch.einsum("be,beo->bo", torch.softmax(gates[k](x), 1), experts)).square().mean()
        for k, head in enumerate(heads.heads)
    }
    agree(losses, [weight, *parameters_of(gates, heads)])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_layers_fall_back_and_say_so(agree, kind: type[nn.Module]) -> None:
    trunk, heads = kind(5, 7, num_layers=2, batch_first=True).double(), Heads(7)
    agree(heads.losses(trunk(draw(3, 4, 5))[0]), parameters_of(trunk, heads))


def test_weight_norm(agree) -> None:
    trunk = nn.utils.parametrizations.weight_norm(nn.Linear(6, 9)).double()
    heads = Heads(9)
    agree(heads.losses(torch.relu(trunk(draw(4, 6)))), parameters_of(trunk, heads))


class Doubled(torch.autograd.Function):
    """x times 2 w, with a backward of its own."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return 2 * x * w

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return 2 * g * w, (2 * g * x).sum(0)


def test_a_custom_function_falls_back_and_is_named(agree) -> None:
    scale = nn.Parameter(draw(6))
    trunk, heads = nn.Linear(6, 6).double(), Heads(6)
    report = agree(heads.losses(Doubled.apply(trunk(draw(4, 6)), scale)), [scale, *parameters_of(trunk, heads)])
    assert len(report.fallbacks) == 1
    assert "DoubledBackward" in report.fallbacks[0]


def test_names_in_fallbacks_come_from_the_module(agree) -> None:
    trunk = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6)).double()
    heads = Heads(6)
    report = agree(heads.losses(trunk(draw(4, 6))), parameters_of(trunk, heads), shared=trunk)
    assert report.fallbacks == ("1.weight (NativeLayerNormBackward0)", "1.bias (NativeLayerNormBackward0)")


def test_the_penalty_is_added_unweighted(agree) -> None:
    trunk, heads = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 5)).double(), Heads(5)
    h = trunk(draw(4, 6))
    penalty = h.square().mean() + trunk[0].weight.abs().sum() + heads.heads[0].weight.square().sum()
    agree(heads.losses(h), parameters_of(trunk, heads), penalty=penalty)


def test_shared_only_narrows(agree) -> None:
    stem, trunk, heads = nn.Linear(6, 6).double(), nn.Linear(6, 5).double(), Heads(5)
    losses = heads.losses(trunk(torch.tanh(stem(draw(4, 6)))))
    agree(losses, parameters_of(stem, trunk, heads), shared=parameters_of(trunk))


def test_gradients_accumulate(agree) -> None:
    trunk, heads = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 5)).double(), Heads(5)
    everything = parameters_of(trunk, heads)
    agree(heads.losses(trunk(draw(4, 6))), everything)
    before = {id(p): p.grad.clone() for p in everything}
    agree(heads.losses(trunk(draw(7, 6))), everything, before=before)


def test_hooks_on_parameters_run_once_on_the_final_gradient(unit_weights) -> None:
    trunk, heads = nn.Sequential(nn.Linear(6, 9), nn.LayerNorm(9), nn.Linear(9, 5)).double(), Heads(5)
    everything = parameters_of(trunk, heads)
    state = [p.detach().clone() for p in everything]
    x = draw(4, 6)
    Engine(None, unit_weights()).backward(heads.losses(trunk(x)))
    plain = [p.grad.clone() for p in everything]
    calls: list[int] = []
    for p in everything:
        p.grad = None
        p.register_hook(lambda g: g * 3)
        p.register_post_accumulate_grad_hook(lambda p: calls.append(id(p)))
    Engine(None, unit_weights()).backward(heads.losses(trunk(x)))
    assert sorted(calls) == sorted(id(p) for p in everything)
    for p, once, same in zip(everything, plain, state, strict=True):
        torch.testing.assert_close(p.grad, 3 * once)
        assert torch.equal(p.detach(), same)


def test_weights_by_layer(agree, by_layer, rows_by_loop) -> None:
    trunk, heads = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 5)).double(), Heads(5)
    losses = heads.losses(trunk(draw(4, 6)))
    everything = parameters_of(trunk)
    rows = rows_by_loop(losses, everything)
    report = Engine(trunk, by_layer(), length="paper").backward(losses)
    assert report.applied.shape == (2, TASKS)
    for place, parameter in enumerate(everything):
        layer = report.applied[place // 2]
        torch.testing.assert_close(parameter.grad, sum(layer[k] * rows[k][place] for k in range(TASKS)))


def test_a_combiner_is_shown_every_gradient(largest, rows_by_loop) -> None:
    trunk, heads = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 5)).double(), Heads(5)
    losses = heads.losses(trunk(draw(4, 6)))
    rows = rows_by_loop(losses, parameters_of(trunk))
    whole = largest().combine(torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows]))
    head = torch.autograd.grad(losses["task1"], heads.heads[1].weight, retain_graph=True)[0]
    Engine(trunk, largest()).backward(losses)
    torch.testing.assert_close(torch.cat([p.grad.reshape(-1) for p in trunk.parameters()]), whole)
    torch.testing.assert_close(heads.heads[1].weight.grad, head)
