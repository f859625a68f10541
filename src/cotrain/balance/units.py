"""Parameters of the common part, each with the form in which its per-task gradients are had.

A unit says at which edges gradients are asked for, makes the inner products [T, T] from what comes back, and the balanced gradient
from its weighted sum. N rows, i inputs, o outputs, T tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cotrain.balance.products import Product, convolution_gradient, inputs_of, patches_of
from cotrain.balance.walk import Node, leaf_tensor

Rows = Tensor | list[Tensor | None]
"""Gradients of all passes at one edge: stacked [T, ...], or one tensor a pass (None: zero)."""
FEW = 3
"""Up to so many tasks, inner products of explicit gradients are taken pair by pair."""
PLAIN = (torch.float32, torch.float64)
Mixed = Callable[[int], Tensor]
"""The weighted sum of the passes at an edge, by the edge's index."""


class Ghost:
    """A weight, with the bias added to its product if there is one, whose per-task gradients are never formed.

    With a bias, <g_j, g_k> = <(x x^T + 1 1^T) d_j, d_k> is the inner product of weight and bias together.
    """

    __slots__ = ("bias", "edges", "inputs", "layer", "leaf", "products", "shared")

    def __init__(
        self, leaf: Node, products: Sequence[Product], edges: Sequence[int], shared: bool, bias: Node | None
    ) -> None:
        self.leaf = leaf
        self.products = list(products)
        self.edges = list(edges)
        self.shared = shared
        self.bias = bias
        self.layer = 0
        self.inputs: list[Tensor] = []

    def read(self) -> None:
        """Take the saved inputs, before the last pass frees them."""
        self.inputs = [inputs_of(product) for product in self.products]

    def gramian(self, rows: Sequence[Rows], tasks: int) -> Tensor:
        """[T, T] for weight and bias, several uses side by side as more rows."""
        x, delta = self.matrices(rows)
        inner = x @ x.transpose(-1, -2)
        if self.bias is not None:
            inner.add_(1.0)
        return torch.matmul(inner, delta).reshape(tasks, -1) @ delta.reshape(tasks, -1).t()

    def matrices(self, rows: Sequence[Rows]) -> tuple[Tensor, Tensor]:
        """x [N, i] and d [T, N, o] ([E, N, i] and [T, E, N, o]) of all uses, in float32 or better."""
        deltas = [self._delta(product, stacked(rows[e])) for product, e in zip(self.products, self.edges, strict=True)]
        xs = [self._matrix(product, inputs) for product, inputs in zip(self.products, self.inputs, strict=True)]
        x, delta = (xs[0], deltas[0]) if len(xs) == 1 else (torch.cat(xs, dim=-2), torch.cat(deltas, dim=-2))
        return at_least_float32(x), at_least_float32(delta)

    def gradients(self, mixed: Mixed) -> list[tuple[Node, Tensor]]:
        """sum_k v_k x^T d_k in the weight's own shape, and the bias's."""
        weight: Tensor | None = None
        bias: Tensor | None = None
        for product, edge, inputs in zip(self.products, self.edges, self.inputs, strict=True):
            delta = mixed(edge)
            part = self._product(product, delta, inputs)
            weight = part if weight is None else weight + part
            if self.bias is not None:
                summed = bias_gradient(product.kind, delta)
                bias = summed if bias is None else bias + summed
        found = [] if weight is None else [(self.leaf, weight)]
        return found if self.bias is None or bias is None else [*found, (self.bias, bias)]

    def _matrix(self, product: Product, inputs: Tensor) -> Tensor:
        return patches_of(product, inputs, leaf_tensor(self.leaf)) if product.kind == "conv" else inputs

    def _delta(self, product: Product, delta: Tensor) -> Tensor:
        if product.kind == "conv":
            return delta.flatten(3).transpose(2, 3).reshape(delta.shape[0], -1, delta.shape[2])
        return delta.transpose(-1, -2) if product.flipped else delta

    def _product(self, product: Product, delta: Tensor, inputs: Tensor) -> Tensor:
        if product.kind == "conv":
            return convolution_gradient(product.use.node, delta, inputs, leaf_tensor(self.leaf))
        if delta.dtype != inputs.dtype:
            delta, inputs = at_least_float32(delta), at_least_float32(inputs)
        chain = product.use.chain
        if product.flipped:
            grad = delta @ inputs
        elif product.kind == "mm" and len(chain) == 1 and type(chain[0]).__name__ == "TBackward0":
            return delta.transpose(0, 1) @ inputs
        else:
            grad = inputs.transpose(-1, -2) @ delta
        for isometry in chain:
            grad = isometry(grad)
        return grad


class BiasSum:
    """A bias of products that stands on its own: its gradient is the sum over rows of the gradient at the output."""

    __slots__ = ("edges", "kinds", "layer", "leaf", "shared")

    def __init__(self, leaf: Node, kinds: Sequence[str], edges: Sequence[int], shared: bool) -> None:
        self.leaf = leaf
        self.kinds = list(kinds)
        self.edges = list(edges)
        self.shared = shared
        self.layer = 0

    def read(self) -> None:
        """Nothing is saved for a bias."""

    def gramian(self, rows: Sequence[Rows], tasks: int) -> Tensor:
        """[T, T] for this bias."""
        summed = [
            torch.stack([bias_gradient(kind, delta) for delta in at_least_float32(stacked(rows[edge]))])
            for kind, edge in zip(self.kinds, self.edges, strict=True)
        ]
        total = (summed[0] if len(summed) == 1 else torch.stack(summed).sum(0)).reshape(tasks, -1)
        return total @ total.t()

    def gradients(self, mixed: Mixed) -> list[tuple[Node, Tensor]]:
        """sum_k v_k sum_n d_k[n]."""
        summed = [bias_gradient(kind, mixed(edge)) for kind, edge in zip(self.kinds, self.edges, strict=True)]
        return [(self.leaf, summed[0] if len(summed) == 1 else torch.stack(summed).sum(0))]


class Explicit:
    """A parameter asked for at its own edge: whatever operations use it, autograd's own gradient, one a task."""

    __slots__ = ("edges", "layer", "leaf", "shared")

    def __init__(self, leaf: Node, edge: int, shared: bool) -> None:
        self.leaf = leaf
        self.edges = [edge]
        self.shared = shared
        self.layer = 0

    def read(self) -> None:
        """Nothing is saved: the rows are the gradients."""

    def gramian(self, rows: Sequence[Rows], tasks: int) -> Tensor:
        """[T, T] for this parameter."""
        mine = rows[self.edges[0]]
        if tasks <= FEW and isinstance(mine, list) and all(row is not None and row.dtype in PLAIN for row in mine):
            return _by_pairs([row.reshape(-1) for row in mine if row is not None])
        flat = at_least_float32(stacked(mine).reshape(tasks, -1))
        if flat.is_complex():
            flat = torch.view_as_real(flat).reshape(tasks, -1)
        return flat @ flat.t()

    def gradients(self, mixed: Mixed) -> list[tuple[Node, Tensor]]:
        """sum_k v_k g_k."""
        return [(self.leaf, mixed(self.edges[0]))]


Unit = Ghost | BiasSum | Explicit


def _by_pairs(rows: list[Tensor]) -> Tensor:
    """[T, T] by one inner product a pair, without a copy of the rows: less is moved than by stacking where T is small."""
    upper = [[torch.dot(left, right) for right in rows[place:]] for place, left in enumerate(rows)]
    size = range(len(rows))
    return torch.stack([upper[min(j, k)][abs(j - k)] for j in size for k in size]).view(len(rows), len(rows))


def bias_gradient(kind: str, delta: Tensor) -> Tensor:
    """The gradient of a bias from that at the output: [o] for a product or convolution, [E, 1, o] for a batched product."""
    if kind == "bmm":
        return delta.sum(1, keepdim=True)
    return delta.sum(0) if kind == "mm" else delta.sum((0, *range(2, delta.dim())))


def stacked(rows: Rows) -> Tensor:
    """[T, ...], zeros where a task does not reach the edge."""
    if isinstance(rows, Tensor):
        return rows
    some = next(row for row in rows if row is not None)
    return torch.stack([torch.zeros_like(some) if row is None else row for row in rows])


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor, in float32 if it came in half precision: inner products are never summed in less."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
