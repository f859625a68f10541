"""How the gradients of every common parameter are had: decided anew for each step's graph, by what each form costs."""

from __future__ import annotations

from torch import Tensor
from torch.autograd.graph import GradientEdge

from cotrain.balance.products import Product, ghost_is_cheaper, product_of
from cotrain.balance.scope import Scope
from cotrain.balance.units import BiasSum, Explicit, Ghost, Unit
from cotrain.balance.walk import Node, Use, Walk, leaf_tensor


class Plan:
    """What is asked of the passes (`edges`) and what is made of the answers (`units`), one step's graph long.

    fallbacks: parameters without a rule of their own, with the operation that uses them. layers: how many layers the units are
    numbered by: a weight and its bias are one, in the order the parameters were registered, or the forward pass used them.
    """

    __slots__ = ("edges", "fallbacks", "layers", "units")

    def __init__(self) -> None:
        self.edges: list[GradientEdge] = []
        self.units: list[Unit] = []
        self.fallbacks: list[tuple[Tensor, str]] = []
        self.layers = 0


def plan_of(found: Walk, tasks: int, scope: Scope, *, ghosts: bool, folds: bool) -> Plan:
    """Decide for every parameter of the common part how its gradients are had.

    tasks: the number of passes. scope: which parameters are balanced, and their order. ghosts: whether ghost form is
    allowed. folds: whether a bias may be one unit with its weight.
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
    groups: dict[Node, list[Unit]] = {}
    kinds: dict[Node, str] = {}
    weights: list[tuple[Node, list[Product]]] = []
    rest: list[Node] = []
    for leaf, uses in found.uses.items():
        products = _ghost_products(leaf, uses, touched, tasks) if ghosts else None
        if products is None:
            rest.append(leaf)
        else:
            weights.append((leaf, products))
            kinds.update((product.use.node, product.kind) for product in products)
    by_nodes: dict[tuple[Node, ...], Node] = {}
    lone: list[Node] = []
    for leaf in rest:
        uses, tensor = found.uses[leaf], leaf_tensor(leaf)
        if leaf not in touched and uses and all(_is_bias(use, tensor, kinds) for use in uses):
            by_nodes.setdefault(_key([use.node for use in uses]), leaf)
            lone.append(leaf)
            continue
        explicit = Explicit(leaf, edge_of(leaf), scope.holds(tensor))
        groups.setdefault(uses[0].node if uses else leaf, []).append(explicit)
        strange = [use.node.name() for use in uses if not _is_known(use, tensor)]
        if strange:
            plan.fallbacks.append((tensor, strange[0]))
    for leaf, products in weights:
        shared = scope.holds(leaf_tensor(leaf))
        bias = by_nodes.get(_key([product.use.node for product in products]))
        if bias is not None and (not folds or bias not in lone or scope.holds(leaf_tensor(bias)) != shared):
            bias = None
        if bias is not None:
            lone.remove(bias)
        ghost = Ghost(leaf, products, [edge_of(product.use.node) for product in products], shared, bias)
        groups.setdefault(products[0].use.node, []).append(ghost)
    for leaf in lone:
        nodes = [use.node for use in found.uses[leaf]]
        alone = BiasSum(
            leaf, [kinds[node] for node in nodes], [edge_of(node) for node in nodes], scope.holds(leaf_tensor(leaf))
        )
        groups.setdefault(nodes[0], []).append(alone)
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
        if other.kind == "conv" or other[1] != first[1] or other[3:] != first[3:]:
            return None
        if not _same_chain(other.use.chain, first.use.chain):
            return None
    if len(products) > 1 and len({product.use.node for product in products}) < len(products):
        return None
    rows = sum(product.rows for product in products)
    return products if ghost_is_cheaper(tasks, rows, first.inputs, first.outputs) else None


def _key(nodes: list[Node]) -> tuple[Node, ...]:
    """The same nodes in any order have the same key."""
    return (nodes[0],) if len(nodes) == 1 else tuple(sorted(nodes, key=id))


def _same_chain(left: tuple[Node, ...], right: tuple[Node, ...]) -> bool:
    """Whether two chains rearrange the weight alike, so that gradients of both uses lie in the same order."""
    if left == right:
        return True
    return (
        len(left) <= 1 and len(right) <= 1 and [n.name() for n in left] == [n.name() for n in right] == ["TBackward0"]
    )


def _is_bias(use: Use, bias: Tensor, kinds: dict[Node, str]) -> bool:
    """Whether this is the bias of ghosted products, so that its gradient is the plain sum over rows."""
    kind = kinds.get(use.node)
    if kind is None or use.chain:
        return False
    shape = tuple(use.node._input_metadata[0].shape)
    if kind == "conv":
        return use.argument == 2
    if (
        use.argument != 0
        or type(use.node).__name__ not in ("AddmmBackward0", "BaddbmmBackward0")
        or use.node._saved_beta != 1
    ):
        return False
    return tuple(bias.shape) == (shape[1:] if kind == "mm" else (shape[0], 1, shape[2]))


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
        known = min(order.get(id(leaf_tensor(unit.leaf)), last) for unit in units) if order else 0
        return (known, node._sequence_nr())

    for layer, (_, units) in enumerate(sorted(groups.items(), key=place)):
        for unit in units:
            unit.layer = layer
            plan.units.append(unit)
    plan.layers = len(groups)
