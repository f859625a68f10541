"""Inner products of per-task gradients, layer by layer, without forming more of the gradients than is cheapest.

For a product of inputs x [N, i] with a weight, and per-task gradients d_k [N, o] at its output, the weight's gradient of task k
is x^T d_k, and

    <x^T d_j, x^T d_k> = <(x x^T) d_j, d_k>,      sum_k w_k x^T d_k = x^T (sum_k w_k d_k).

The left-hand side (*explicit*) costs T N i o + T^2 i o, the right-hand side (*ghost*) N^2 i + T N^2 o + T^2 N o; each layer takes
the cheaper. In ghost form no weight gradient of a single task ever exists. N rows, i inputs, o outputs, T tasks, E experts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cotrain.balance.walk import Node, Use


class Product(NamedTuple):
    """A use of a weight in a product: kind mm, bmm or conv; rows N, inputs i, outputs o, experts E.

    `flipped`: the weight is the left factor; the gradient is then (x^T d)^T with x, d the transposed right factor and delta.
    """

    use: Use
    kind: str
    rows: int
    inputs: int
    outputs: int
    experts: int
    flipped: bool


def product_of(use: Use, weight: Tensor) -> Product | None:
    """How `use` multiplies by `weight`, or None if the operation is none of the known products."""
    node, argument, _ = use
    name = type(node).__name__
    if weight.is_complex():
        return None
    shape = node._input_metadata[0].shape
    if (name == "AddmmBackward0" and argument > 0 and node._saved_alpha == 1) or name == "MmBackward0":
        right = argument == (2 if name == "AddmmBackward0" else 1)
        rows, outputs = (shape[0], shape[1]) if right else (shape[1], shape[0])
        return Product(use, "mm", rows, weight.numel() // max(outputs, 1), outputs, 1, not right)
    if (name == "BaddbmmBackward0" and argument > 0 and node._saved_alpha == 1) or name == "BmmBackward0":
        right = argument == (2 if name == "BaddbmmBackward0" else 1)
        experts = shape[0]
        rows, outputs = (shape[1], shape[2]) if right else (shape[2], shape[1])
        return Product(use, "bmm", rows, weight.numel() // max(outputs * experts, 1), outputs, experts, not right)
    if name == "ConvolutionBackward0" and argument == 1 and not use.chain:
        if node._saved_transposed or node._saved_groups != 1 or len(shape) > 4:
            return None
        rows = shape[0] * math.prod(shape[2:])
        return Product(use, "conv", rows, weight[0].numel(), shape[1], 1, False)
    return None


def inputs_of(product: Product) -> Tensor:
    """x [N, i] (or [E, N, i]) as the forward pass saved it. Saved names are undocumented; `test_saved_names` pins them."""
    node, name = product.use.node, type(product.use.node).__name__
    if name == "AddmmBackward0":
        found = node._saved_mat2.transpose(0, 1) if product.flipped else node._saved_mat1
    elif name == "MmBackward0":
        found = node._saved_mat2.transpose(0, 1) if product.flipped else node._saved_self
    elif name == "BmmBackward0":
        found = node._saved_mat2.transpose(1, 2) if product.flipped else node._saved_self
    elif name == "ConvolutionBackward0":
        found = node._saved_input
    else:
        found = node._saved_batch2.transpose(1, 2) if product.flipped else node._saved_batch1
    return found.detach()  # type: ignore[no-any-return]


def patches_of(product: Product, images: Tensor, weight: Tensor) -> Tensor:
    """[N, i]: for each output position of a convolution the inputs it saw, one row a position."""
    node = product.use.node
    kernel, flat = tuple(weight.shape[2:]), images
    stride, padding, dilation = node._saved_stride, node._saved_padding, node._saved_dilation
    if len(kernel) == 1:
        kernel, flat = (1, *kernel), images.unsqueeze(2)
        stride, padding, dilation = (1, *stride), (0, *padding), (1, *dilation)
    columns = torch.nn.functional.unfold(flat, kernel, dilation=dilation, padding=padding, stride=stride)
    return columns.transpose(1, 2).reshape(-1, columns.shape[1])


def convolution_gradient(node: Node, delta: Tensor, images: Tensor, weight: Tensor) -> Tensor:
    """The weight's gradient of the convolution `node` for these gradients at its output."""
    arguments = (node._saved_stride, node._saved_padding, node._saved_dilation, node._saved_transposed)
    more = (node._saved_output_padding, node._saved_groups, [False, True, False])
    found = torch.ops.aten.convolution_backward(delta, images, weight.detach(), None, *arguments, *more)
    return found[1]  # type: ignore[no-any-return]


MOVED = 40
"""Multiplications that take as long as writing and reading back one number (measured on a CPU, benchmarks/balance_step.py)."""


def ghost_is_cheaper(tasks: int, rows: int, inputs: int, outputs: int) -> bool:
    """Whether the ghost form costs less than the explicit one: multiplications, numbers moved, and the balanced gradient."""
    ghost = rows * rows * inputs + tasks * rows * rows * outputs + tasks * tasks * rows * outputs
    ghost += tasks * rows * outputs + rows * inputs * outputs + 2 * MOVED * tasks * rows * outputs
    explicit = tasks * rows * inputs * outputs + tasks * tasks * inputs * outputs + tasks * inputs * outputs
    return ghost <= explicit + 3 * MOVED * tasks * inputs * outputs
