"""The engine reads saved tensors by names that torch does not document: these hold for the version installed here.

If one of these fails after an upgrade of torch, `products.py`, `walk.py`, `exact.py` and `apart.py` are where the names are used.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn


def weight() -> nn.Parameter:
    """A 4 x 4 parameter."""
    return nn.Parameter(torch.randn(4, 4))


def test_addmm_saves_both_factors_and_the_scales() -> None:
    x, w, b = torch.randn(3, 4), weight(), nn.Parameter(torch.randn(4))
    node: Any = F.linear(x.requires_grad_(), w, b).grad_fn
    assert type(node).__name__ == node.name() == "AddmmBackward0"
    assert torch.equal(node._saved_mat1, x)
    assert torch.equal(node._saved_mat2, w.t())
    assert (node._saved_alpha, node._saved_beta) == (1, 1)
    assert [type(child).__name__ for child, _ in node.next_functions] == [
        "AccumulateGrad",
        "AccumulateGrad",
        "TBackward0",
    ]
    assert node.next_functions[0][0].variable is b
    assert node._raw_saved_mat1.unpack_hook is None


def test_mm_bmm_and_baddbmm() -> None:
    a, w = torch.randn(3, 4, requires_grad=True), weight()
    node: Any = (a @ w).grad_fn
    assert (type(node).__name__, torch.equal(node._saved_self, a), torch.equal(node._saved_mat2, w)) == (
        "MmBackward0",
        True,
        True,
    )
    a, w = torch.randn(2, 3, 4, requires_grad=True), nn.Parameter(torch.randn(2, 4, 5))
    node = torch.bmm(a, w).grad_fn
    assert (type(node).__name__, torch.equal(node._saved_self, a), torch.equal(node._saved_mat2, w)) == (
        "BmmBackward0",
        True,
        True,
    )
    node = torch.baddbmm(torch.randn(2, 1, 5, requires_grad=True), a, w).grad_fn
    assert type(node).__name__ == "BaddbmmBackward0"
    assert torch.equal(node._saved_batch1, a)
    assert torch.equal(node._saved_batch2, w)
    assert (node._saved_alpha, node._saved_beta) == (1, 1)


def test_convolution_saves_what_its_backward_needs() -> None:
    x, w = torch.randn(2, 3, 6, 6, requires_grad=True), nn.Parameter(torch.randn(4, 3, 2, 2))
    node: Any = F.conv2d(x, w, None, stride=2, padding=1, dilation=1).grad_fn
    assert type(node).__name__ == "ConvolutionBackward0"
    assert torch.equal(node._saved_input, x)
    assert (node._saved_stride, node._saved_padding, node._saved_dilation) == ((2, 2), (1, 1), (1, 1))
    assert (node._saved_transposed, node._saved_groups, node._saved_output_padding) == (False, 1, (0, 0))


def test_layer_norm_saves_mean_and_inverse_deviation() -> None:
    x = torch.randn(5, 8, requires_grad=True)
    node: Any = nn.LayerNorm(8)(x).grad_fn
    assert type(node).__name__ == "NativeLayerNormBackward0"
    whitened = (node._saved_input - node._saved_result1) * node._saved_result2
    torch.testing.assert_close(whitened, F.layer_norm(x, (8,)))
    assert tuple(node._saved_normalized_shape) == (8,)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (lambda w: w.t(), "TBackward0"),
        (lambda w: w.transpose(0, 1), "TransposeBackward0"),
        (lambda w: w.permute(1, 0), "PermuteBackward0"),
        (lambda w: w.view(16), "ViewBackward0"),
        (lambda w: w.t().reshape(16), "UnsafeViewBackward0"),
        (lambda w: w.unsqueeze(0), "UnsqueezeBackward0"),
        (lambda w: w.unsqueeze(0).squeeze(0), "SqueezeBackward1"),
        (lambda w: w.clone(), "CloneBackward0"),
        (lambda w: w.bfloat16(), "ToCopyBackward0"),
        (lambda w: w.expand(4, 4), "ExpandBackward0"),
    ],
)
def test_isometries_have_these_names(made: Any, name: str) -> None:
    node = made(weight()).grad_fn
    assert type(node).__name__ == node.name() == name


def test_saved_dimensions_of_operations_along_some() -> None:
    x = torch.randn(2, 3, 4, requires_grad=True)
    far = 2**64 - 1
    node: Any = torch.softmax(x, -1).grad_fn
    assert node._saved_dim in (far, 2)
    node = torch.cat([x, x], -1).grad_fn
    assert node._saved_dim in (far, 2)
    node = x.transpose(1, 2).grad_fn
    assert (node._saved_dim0, node._saved_dim1) == (1, 2)
    node = x.mean(1).grad_fn
    assert tuple(node._saved_dim) == (1,)
    node = x.permute(0, 2, 1).grad_fn
    assert tuple(node._saved_dims) == (0, 2, 1)
    node = x.split(1, 1)[0].grad_fn
    assert (type(node).__name__, node._saved_dim) == ("SplitBackward0", 1)


def test_metadata_embeddings_and_sequence_numbers() -> None:
    table = nn.Embedding(5, 3, sparse=True)
    node: Any = table(torch.tensor([1])).grad_fn
    assert (type(node).__name__, node._saved_sparse) == ("EmbeddingBackward0", True)
    x = torch.randn(2, 3, requires_grad=True)
    first, second = x.exp(), x.sin()
    assert tuple(first.grad_fn._input_metadata[0].shape) == (2, 3)
    assert first.grad_fn._input_metadata[0].dtype == torch.float32
    assert first.grad_fn._sequence_nr() < second.grad_fn._sequence_nr()


def test_what_is_packed_away_shows_a_hook() -> None:
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        node: Any = F.linear(torch.randn(2, 4, requires_grad=True), weight()).grad_fn
    assert node._raw_saved_self.unpack_hook is not None


def test_a_node_keeps_its_python_object_while_it_is_held() -> None:
    y = torch.relu(torch.randn(3, requires_grad=True)).exp()
    child = y.grad_fn.next_functions[0][0]
    assert y.grad_fn.next_functions[0][0] is child
