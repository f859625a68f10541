"""Inner products of per-task gradients, layer by layer, without forming more of the gradients than is cheapest.

For a product of inputs x [N, i] with a weight, and per-task gradients d_k [N, o] at its output, the weight's gradient of task k
is x^T d_k, and

    <x^T d_j, x^T d_k> = <(x x^T) d_j, d_k>,      sum_k w_k x^T d_k = x^T (sum_k w_k d_k).

The left-hand side (*explicit*) costs T N i o + T^2 i o, the right-hand side (*ghost*) N^2 i + T N^2 o + T^2 N o; each layer takes
the cheaper. In ghost form no weight gradient of a single task ever exists. N rows, i inputs, o outputs, T tasks, E experts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from cotrain.balance.scope import Scope
from cotrain.balance.walk import Node, Use, Walk, leaf_tensor

Rows = Tensor | list[Tensor | None]
"""Gradients of all passes at one edge: stacked [T, ...], or one tensor a pass (None: zero)."""
Mixed = Callable[[int], Tensor]
"""The weighted sum of the passes at an edge, by the edge's index."""


class Product(NamedTuple):
    """A use of a weight in a product: rows N, inputs i, outputs o, experts E, and how to read its saved inputs.

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
    name = node.name()
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
    return None


def inputs_of(product: Product) -> Tensor:
    """x [N, i] (or [E, N, i]) as the forward pass saved it. Saved names are undocumented; `test_saved_names` pins them."""
    node, name = product.use.node, product.use.node.name()
    if name == "AddmmBackward0":
        found = node._saved_mat2.transpose(0, 1) if product.flipped else node._saved_mat1
    elif name == "MmBackward0":
        found = node._saved_mat2.transpose(0, 1) if product.flipped else node._saved_self
    elif name == "BmmBackward0":
        found = node._saved_mat2.transpose(1, 2) if product.flipped else node._saved_self
    else:
        found = node._saved_batch2.transpose(1, 2) if product.flipped else node._saved_batch1
    return found.detach()  # type: ignore[no-any-return]


def ghost_is_cheaper(tasks: int, rows: int, inputs: int, outputs: int) -> bool:
    """Whether the ghost form needs fewer multiplications than the explicit one, the balanced gradient included."""
    ghost = rows * rows * inputs + tasks * rows * rows * outputs + tasks * tasks * rows * outputs
    ghost += tasks * rows * outputs + rows * inputs * outputs
    explicit = tasks * rows * inputs * outputs + tasks * tasks * inputs * outputs + tasks * inputs * outputs
    return ghost <= explicit


class Ghost:
    """A weight whose per-task gradients are never formed: known by its inputs and the gradients at its outputs."""

    __slots__ = ("edges", "inputs", "layer", "leaf", "products", "shared")

    def __init__(self, leaf: Node, products: Sequence[Product], edges: Sequence[int], layer: int, shared: bool) -> None:
        self.leaf = leaf
        self.products = list(products)
        self.edges = list(edges)
        self.layer = layer
        self.shared = shared
        self.inputs: list[Tensor] = []

    def read(self) -> None:
        """Take the saved inputs, before the last pass frees them."""
        self.inputs = [inputs_of(product) for product in self.products]

    def gramian(self, rows: Sequence[Rows], tasks: int) -> Tensor:
        """[T, T] for this weight: <(x x^T) d_j, d_k>, several uses side by side as more rows."""
        deltas = []
        for product, edge in zip(self.products, self.edges, strict=True):
            delta = stacked(rows[edge], tasks)
            deltas.append(delta.transpose(-1, -2) if product.flipped else delta)
        inputs, delta = self.inputs[0], deltas[0]
        if len(deltas) > 1:
            inputs, delta = torch.cat(self.inputs, dim=-2), torch.cat(deltas, dim=-2)
        inputs, delta = at_least_float32(inputs), at_least_float32(delta)
        spread = torch.matmul(inputs @ inputs.transpose(-1, -2), delta)
        return spread.reshape(tasks, -1) @ delta.reshape(tasks, -1).t()

    def gradient(self, mixed: Mixed) -> Tensor:
        """sum_k v_k x^T d_k in the weight's own shape."""
        total: Tensor | None = None
        for product, edge, inputs in zip(self.products, self.edges, self.inputs, strict=True):
            delta = mixed(edge)
            if delta.dtype != inputs.dtype:
                delta, inputs = at_least_float32(delta), at_least_float32(inputs)
            if product.flipped:
                grad = delta @ inputs
            elif product.kind == "mm" and product.use.chain and product.use.chain[0].name() == "TBackward0":
                grad = (delta.transpose(0, 1) @ inputs).transpose(0, 1)
            else:
                grad = inputs.transpose(-1, -2) @ delta
            for isometry in product.use.chain:
                grad = isometry(grad)
            total = grad if total is None else total + grad
        if total is None:
            raise ValueError("a ghost weight has at least one use")
        return total


class BiasSum:
    """A bias added to the output of products: its gradient is the sum of the output's gradient over rows."""

    __slots__ = ("edges", "layer", "leaf", "shared")

    def __init__(self, leaf: Node, edges: Sequence[int], layer: int, shared: bool) -> None:
        self.leaf = leaf
        self.edges = list(edges)
        self.layer = layer
        self.shared = shared

    def read(self) -> None:
        """Nothing is saved for a bias."""

    def gramian(self, rows: Sequence[Rows], tasks: int) -> Tensor:
        """[T, T] for this bias."""
        total: Tensor | None = None
        for edge in self.edges:
            summed = at_least_float32(stacked(rows[edge], tasks)).sum(1)
            total = summed if total is None else total + summed
        if total is None:
            raise ValueError("a bias has at least one use")
        return total @ total.t()

    def gradient(self, mixed: Mixed) -> Tensor:
        """sum_k v_k sum_n d_k[n]."""
        total: Tensor | None = None
        for edge in self.edges:
            summed = mixed(edge).sum(0)
            total = summed if total is None else total + summed
        if total is None:
            raise ValueError("a bias has at least one use")
        return total


class Explicit:
    """A parameter asked for at its own edge: whatever operations use it, autograd's own gradient, one a task."""

    __slots__ = ("edges", "layer", "leaf", "shared")

    def __init__(self, leaf: Node, edge: int, layer: int, shared: bool) -> None:
        self.leaf = leaf
        self.edges = [edge]
        self.layer = layer
        self.shared = shared

    def read(self) -> None:
        """Nothing is saved: the rows are the gradients."""

    def gramian(self, rows: Sequence[Rows], tasks: int) -> Tensor:
        """[T, T] for this parameter."""
        flat = at_least_float32(stacked(rows[self.edges[0]], tasks).reshape(tasks, -1))
        return flat @ flat.t()

    def gradient(self, mixed: Mixed) -> Tensor:
        """sum_k v_k g_k."""
        return mixed(self.edges[0])


Unit = Ghost | BiasSum | Explicit


def stacked(rows: Rows, tasks: int) -> Tensor:
    """[tasks, ...], zeros where a task does not reach the edge."""
    if isinstance(rows, Tensor):
        return rows[:tasks]
    some = next(row for row in rows if row is not None)
    return torch.stack([torch.zeros_like(some) if row is None else row for row in rows[:tasks]])


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor, in float32 if it came in half precision: inner products are never summed in less."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


class Plan:
    """What is asked of the passes (`edges`) and what is made of the answers (`units`), one step's graph long."""

    __slots__ = ("edges", "fallbacks", "layers", "units")

    def __init__(self) -> None:
        self.edges: list[GradientEdge] = []
        self.units: list[Unit] = []
        self.fallbacks: list[tuple[Tensor, str]] = []
        self.layers = 0


def plan_of(found: Walk, tasks: int, scope: Scope, ghosts: bool) -> Plan:
    """Decide for every parameter of the common part how its gradients are had.

    tasks: the number of passes. scope: which parameters are balanced, and their order. ghosts: whether ghost form is allowed.
    """
    plan = Plan()
    index: dict[Node, int] = {}

    def edge_of(node: Node) -> int:
        place = index.get(node)
        if place is None:
            place = index[node] = len(plan.edges)
            plan.edges.append(GradientEdge(node, 0))
        return place

    touched = {crossing.target for crossing in found.crossings}
    ghosted: set[Node] = set()
    weights: dict[Node, list[Product]] = {}
    rest: list[Node] = []
    for leaf, uses in found.uses.items():
        products = _ghost_products(leaf, uses, touched, tasks) if ghosts else None
        if products is None:
            rest.append(leaf)
        else:
            weights[leaf] = products
            ghosted.update(product.use.node for product in products)
    groups: dict[Node, list[Unit]] = {}

    def add(unit: Unit, first: Node | None) -> None:
        groups.setdefault(unit.leaf if first is None else first, []).append(unit)

    for leaf, products in weights.items():
        edges = [edge_of(product.use.node) for product in products]
        shared = scope.holds(leaf_tensor(leaf))
        add(Ghost(leaf, products, edges, 0, shared), products[0].use.node)
    for leaf in rest:
        uses, tensor = found.uses[leaf], leaf_tensor(leaf)
        shared = scope.holds(tensor)
        if leaf not in touched and uses and all(_is_row_bias(use, ghosted) for use in uses):
            add(BiasSum(leaf, [edge_of(use.node) for use in uses], 0, shared), uses[0].node)
            continue
        add(Explicit(leaf, edge_of(leaf), 0, shared), uses[0].node if uses else None)
        strange = [use.node.name() for use in uses if not _is_known(use, tensor)]
        if strange:
            plan.fallbacks.append((tensor, strange[0]))
    _number_layers(plan, groups, scope.order)
    return plan


def _ghost_products(leaf: Node, uses: list[Use], touched: set[Node], tasks: int) -> list[Product] | None:
    """The products of a weight if the ghost form is possible and cheaper, else None."""
    weight = leaf_tensor(leaf)
    if weight.dim() < 2 or not uses or leaf in touched:
        return None
    products: list[Product] = []
    for use in uses:
        product = product_of(use, weight)
        if product is None or any(link in touched for link in use.chain):
            return None
        products.append(product)
    first = products[0]
    for other in products[1:]:
        if other[1] != first[1] or other[3:] != first[3:] or not _same_chain(other.use.chain, first.use.chain):
            return None
    if len({product.use.node for product in products}) < len(products):
        return None
    rows = sum(product.rows for product in products)
    return products if ghost_is_cheaper(tasks, rows, first.inputs, first.outputs) else None


def _same_chain(left: tuple[Node, ...], right: tuple[Node, ...]) -> bool:
    """Whether two chains rearrange the weight alike, so that gradients of both uses lie in the same order."""
    if left == right:
        return True
    return (
        len(left) <= 1 and len(right) <= 1 and [n.name() for n in left] == [n.name() for n in right] == ["TBackward0"]
    )


def _is_row_bias(use: Use, ghosted: set[Node]) -> bool:
    """Whether this is the bias of a ghosted Addmm whose gradient is the plain sum over rows."""
    node = use.node
    if use.chain or use.argument != 0 or node not in ghosted or node.name() != "AddmmBackward0":
        return False
    bias = leaf_tensor(node.next_functions[0][0])
    return bool(node._saved_beta == 1 and tuple(bias.shape) == tuple(node._input_metadata[0].shape[1:]))


def _is_known(use: Use, tensor: Tensor) -> bool:
    """Whether the operation has a rule of its own, so that being explicit was a matter of cost."""
    name, argument = use.node.name(), use.argument
    if argument == 0 and name in ("AddmmBackward0", "BaddbmmBackward0"):
        return True
    if name == "ConvolutionBackward0":
        return argument in (1, 2)
    return product_of(use, tensor) is not None


def _number_layers(plan: Plan, groups: dict[Node, list[Unit]], order: dict[int, int]) -> None:
    """Order the groups as their parameters were registered, or as the forward pass went, and number them."""
    last = len(order)

    def place(item: tuple[Node, list[Unit]]) -> tuple[int, int]:
        node, units = item
        known = min(order.get(id(leaf_tensor(unit.leaf)), last) for unit in units)
        return (known, node._sequence_nr())

    for layer, (_, units) in enumerate(sorted(groups.items(), key=place)):
        for unit in units:
            unit.layer = layer
            plan.units.append(unit)
    plan.layers = len(groups)
