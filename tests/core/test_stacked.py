"""Stacked layers equal separate layers with the same weights, in output and gradient; the rest stays a loop and is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cotrain.core.signals import Signal
from cotrain.core.stacked import Looped, LoopedStage, Residual, Stage, loops_in, redrawn, stack, stack_layer

COPIES = 3
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 5), (4, 6)),
    "linear without bias": (lambda: nn.Linear(6, 5, bias=False), (4, 6)),
    "linear on a sequence": (lambda: nn.Linear(6, 5), (4, 7, 6)),
    "conv": (lambda: nn.Conv2d(6, 4, 3), (2, 6, 8, 8)),
    "conv, stride, padding, no bias": (lambda: nn.Conv2d(6, 4, 3, stride=2, padding=1, bias=False), (2, 6, 8, 8)),
    "conv, groups": (lambda: nn.Conv2d(6, 4, 3, groups=2, padding="same"), (2, 6, 8, 8)),
    "conv, depthwise, dilation": (lambda: nn.Conv2d(6, 12, (3, 1), groups=6, dilation=2), (2, 6, 9, 8)),
    "layer norm": (lambda: nn.LayerNorm(6, eps=1e-3), (4, 6)),
    "layer norm without bias": (lambda: nn.LayerNorm(6, bias=False), (4, 7, 6)),
    "batch norm": (lambda: nn.BatchNorm1d(6, eps=1e-3, momentum=0.3), (4, 6)),
    "batch norm of maps": (lambda: nn.BatchNorm2d(6), (3, 6, 4, 4)),
    "batch norm, not affine": (lambda: nn.BatchNorm1d(6, affine=False), (4, 6)),
    "conv of one dimension": (lambda: nn.Conv1d(6, 4, 3, padding=1, groups=2), (2, 6, 9)),
    "group norm": (lambda: nn.GroupNorm(2, 6, eps=1e-3), (3, 6, 4, 4)),
    "pooling": (lambda: nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten()), (2, 6, 8, 8)),
    "residual": (lambda: Residual(nn.LayerNorm(6), nn.Linear(6, 6), nn.GELU()), (4, 7, 6)),
    "residual with a short cut": (
        lambda: Residual(nn.Conv2d(6, 4, 3, 2, 1), nn.BatchNorm2d(4), shortcut=nn.Conv2d(6, 4, 1, 2)),
        (2, 6, 8, 8),
    ),
    "sequential": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 2))),
        (4, 6),
    ),
    "sequential of maps": (
        lambda: nn.Sequential(nn.Conv2d(6, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
        (2, 6, 9, 9),
    ),
}


def shake(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.normal_(parameter)


def parts_of(name: str, separate: list[nn.Module]) -> list[nn.Parameter]:
    """The parameter of each separate layer that a stacked one's stands for (batch norm sits one level deeper there)."""
    return [dict(one.named_parameters())[name.replace("norm.", "")] for one in separate]


def hand_over(stacked: nn.Module, separate: list[nn.Module]) -> None:
    """Give the stacked layer the weights of the separate ones: [E, ...], or E times as many channels side by side."""
    with torch.no_grad():
        for name, parameter in stacked.named_parameters():
            parameter.copy_(torch.cat([part.flatten() for part in parts_of(name, separate)]).reshape(parameter.shape))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_a_stacked_layer_equals_separate_layers_with_the_same_weights(kind: str, training: bool) -> None:
    make, shape = LAYERS[kind]
    separate = [make() for _ in range(COPIES)]
    for one in separate:
        shake(one)
    stacked = stack_layer(make(), COPIES)
    assert list(loops_in(stacked)) == []
    hand_over(stacked, separate)
    x = torch.randn(COPIES, *shape, requires_grad=True)
    for _ in range(2):  # batch norm's running figures move along
        expected = torch.stack([one.train(True)(part) for one, part in zip(separate, x.unbind(0), strict=True)])
        found = stacked.train(True)(x)
    if not training:
        expected = torch.stack([one.eval()(part) for one, part in zip(separate, x.unbind(0), strict=True)])
        found = stacked.eval()(x)
    torch.testing.assert_close(found, expected)
    (found * torch.arange(found.numel()).reshape(found.shape)).sum().backward()
    (expected * torch.arange(expected.numel()).reshape(expected.shape)).sum().backward()
    for name, parameter in stacked.named_parameters():
        grads = [part.grad.flatten() for part in parts_of(name, separate) if part.grad is not None]
        expected_grad = torch.cat(grads).reshape(parameter.shape)
        torch.testing.assert_close(parameter.grad, expected_grad, rtol=2e-4, atol=2e-3)


@pytest.mark.parametrize("kind", ["linear", "conv", "conv, groups"])
def test_every_copy_draws_its_own_values_as_the_layer_itself_would(kind: str) -> None:
    make, _ = LAYERS[kind]
    stacked, plain = stack_layer(make(), 200), [make() for _ in range(200)]
    for name, parameter in stacked.named_parameters():
        parts = parameter.detach().reshape(200, -1)
        assert len(torch.unique(parts[:, 0])) == 200
        own = torch.stack([dict(one.named_parameters())[name].detach().flatten() for one in plain])
        assert float(parts.std()) == pytest.approx(float(own.std()), rel=0.1)
        assert float(parts.abs().max()) <= float(own.abs().max()) * 1.05


@pytest.mark.parametrize("kind", LAYERS)
def test_copies_that_begin_alike_answer_as_the_layer_does(kind: str) -> None:
    make, shape = LAYERS[kind]
    layer = make()
    shake(layer)
    layer(torch.randn(shape))  # running figures of norms are taken over too
    stacked = stack_layer(layer, COPIES, alike=True).eval()
    x = torch.randn(shape)
    expected = layer.eval()(x)
    for copy in stacked(torch.stack([x] * COPIES)):
        torch.testing.assert_close(copy, expected)


UNKNOWN: dict[str, Callable[[], nn.Module]] = {
    "a subclass": lambda: type("Mine", (nn.Linear,), {})(6, 6),
    "padding that reflects": lambda: nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect"),
    "prelu": nn.PReLU,
    "norm over two axes": lambda: nn.LayerNorm((6, 6)),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_an_unknown_layer_is_a_loop_over_copies_and_is_named(kind: str) -> None:
    layer = UNKNOWN[kind]()
    looped = stack_layer(layer, COPIES)
    assert isinstance(looped, Looped)
    assert list(loops_in(looped)) == [type(layer).__name__]
    x = torch.randn(COPIES, 2, 6, 6, 6)
    if isinstance(layer, nn.Conv2d):
        x = torch.randn(COPIES, 2, 6, 6, 6)
    expected = torch.stack([one(part) for one, part in zip(looped.copies, x, strict=True)])
    torch.testing.assert_close(looped(x), expected)
    alike = stack_layer(layer, COPIES, alike=True)
    torch.testing.assert_close(alike(x), torch.stack([layer(part) for part in x]))


def test_a_stage_of_known_layers_is_stacked_and_another_is_looped() -> None:
    class Own(nn.Module):
        def forward(self, signal: Signal) -> Signal:
            return signal.of(signal.values + 1)

    known = stack(Stage(nn.Linear(6, 6), nn.ReLU(), nn.PReLU()), COPIES)
    assert isinstance(known, Stage)
    assert list(loops_in(known)) == ["PReLU"]
    mask = torch.ones(2, 4, dtype=torch.bool)
    signal = Signal(torch.randn(COPIES, 2, 4, 6), "sequence", mask)
    for stage in (known, stack(Own(), COPIES)):
        out = stage(signal)
        assert (out.values.shape, out.layout) == (signal.values.shape, "sequence")
        assert out.mask is mask
    assert isinstance(stack(Own(), COPIES), LoopedStage)


@pytest.mark.parametrize(
    "layer", [nn.SiLU(inplace=True), nn.Sequential(nn.SiLU(inplace=True), nn.PReLU())], ids=["known", "looped"]
)
def test_copies_that_read_one_input_do_not_write_into_it(layer: nn.Module) -> None:
    stacked = stack_layer(layer, COPIES).eval()
    x = torch.randn(4, 6)
    before = x.clone()
    with torch.no_grad():
        out: Tensor = stacked(x.unsqueeze(0).expand(COPIES, 4, 6))
    assert torch.equal(x, before)
    torch.testing.assert_close(out[0], out[2])
    assert stacked(x.requires_grad_().unsqueeze(0).expand(COPIES, 4, 6)).shape == out.shape


def test_dropout_draws_for_every_copy_on_its_own() -> None:
    out = stack_layer(nn.Dropout(0.5), 2)(torch.ones(2, 64))
    assert not torch.equal(out[0], out[1])


def test_redrawn_layers_begin_anew_attention_included() -> None:
    attention = nn.MultiheadAttention(8, 2)
    assert not torch.equal(redrawn(attention).in_proj_weight, attention.in_proj_weight)
    linear = nn.Sequential(nn.Linear(4, 4))
    assert not torch.equal(redrawn(linear)[0].weight, linear[0].weight)


def test_a_relu_behind_a_stacked_linear_layer_is_part_of_it_and_changes_nothing() -> None:
    stage = Stage(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3), nn.ReLU())
    many = stack(stage, 3)
    assert [type(layer).__name__ for layer in many.layers] == ["StackedLinear", "Identity"] * 2
    for x in (torch.randn(1, 7, 4), torch.randn(3, 7, 4)):
        x.requires_grad_()
        out = many(Signal(x)).values
        first, second = many.layers[0], many.layers[2]
        hidden = torch.relu(torch.einsum("ebi,eoi->ebo", x.expand(3, 7, 4), first.weight) + first.bias[:, None])
        expected = torch.relu(torch.einsum("ebi,eoi->ebo", hidden, second.weight) + second.bias[:, None])
        torch.testing.assert_close(out, expected)
        given = torch.autograd.grad(out.square().sum(), [x, first.weight, second.bias], retain_graph=True)
        wanted = torch.autograd.grad(expected.square().sum(), [x, first.weight, second.bias])
        for one, other in zip(given, wanted, strict=True):
            torch.testing.assert_close(one, other)
