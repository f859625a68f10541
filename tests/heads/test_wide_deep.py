"""The head with a linear path beside the deep one."""

from __future__ import annotations

import torch

from cotrain.core.signals import Shape, Signal
from cotrain.heads import LinearHead, WideDeepHead


def test_it_begins_as_the_plain_head() -> None:
    shapes = [Shape("vector", 5), Shape("vector", 3)]
    signals = [Signal(torch.randn(4, 5)), Signal(torch.randn(4, 3))]
    torch.manual_seed(0)
    plain = LinearHead().build(shapes, 2)
    torch.manual_seed(0)
    both = WideDeepHead().build(shapes, 2)
    assert torch.equal(plain(signals), both(signals))


def test_it_adds_a_linear_function_of_the_first_signal() -> None:
    head = WideDeepHead().build([Shape("vector", 5), Shape("vector", 3)], 2)
    first, last = torch.randn(4, 5), torch.randn(4, 3)
    torch.nn.init.normal_(head.wide.weight)
    deep = head([Signal(torch.zeros(4, 5)), Signal(last)])
    assert torch.allclose(head([Signal(first), Signal(last)]), deep + first @ head.wide.weight.T, atol=1e-6)


def test_every_member_of_an_ensemble_has_the_same_wide_path() -> None:
    head = WideDeepHead().build([Shape("vector", 5), Shape("vector", 3, members=2)], 1)
    first, last = Signal(torch.randn(4, 5)), Signal(torch.randn(8, 3), members=2)
    before = head([first, last])
    torch.nn.init.ones_(head.wide.weight)
    added = head([first, last]) - before
    assert added.shape == (8, 1)
    assert torch.allclose(added[:4], added[4:], atol=1e-6)
    assert torch.allclose(added[:4], first.values.sum(1, keepdim=True), atol=1e-5)
