"""Which operations keep the rows of a batch apart, and how a parameter's gradient is had from some rows only.

Every rule looks at one node of the graph. A tensor with N = m B entries in its first dimension carries row n // m of the batch at
entry n; a view keeps that, and so does any operation that treats the entries of the first dimension alike and alone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from cotrain.balance.products import Product, convolution_gradient, ghost_is_cheaper, inputs_of, product_of
from cotrain.balance.scope import Scope
from cotrain.balance.walk import Node, Use, Walk, leaf_tensor

ENTRYWISE = frozenset(
    {
        *("AddBackward0", "SubBackward0", "MulBackward0", "DivBackward0", "NegBackward0", "CloneBackward0"),
        *("ReluBackward0", "LeakyReluBackward0", "GeluBackward0", "SiluBackward0", "TanhBackward0", "SigmoidBackward0"),
        *("EluBackward0", "SoftplusBackward0", "HardtanhBackward0", "MishBackward0", "ExpBackward0", "LogBackward0"),
        *("PowBackward0", "SqrtBackward0", "NativeDropoutBackward0", "ToCopyBackward0", "AliasBackward0"),
        *("MaxPool2DWithIndicesBackward0", "AvgPool2DBackward0", "AdaptiveAvgPool2DBackward0"),
        *("NativeLayerNormBackward0", "BmmBackward0"),
        *("ScaledDotProductFlashAttentionForCpuBackward0", "ScaledDotProductEfficientAttentionBackward0"),
    }
)
"""Operations that keep rows apart where inputs and output have equal rank and first dimension."""

VIEWS = frozenset({"ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0"})
"""Operations that keep the order of entries, and so the rows, wherever first dimensions are multiples of B."""

ALONG_ONE = frozenset(
    {
        *("CatBackward0", "SoftmaxBackward0", "LogSoftmaxBackward0", "SelectBackward0", "SliceBackward0"),
        *("UnsqueezeBackward0", "SqueezeBackward1", "SplitBackward0", "SplitWithSizesBackward0", "UnbindBackward0"),
    }
)
"""Operations along one dimension, which torch saves as `dim`."""

LEFT = {"AddmmBackward0": (2,), "MmBackward0": (1,), "ConvolutionBackward0": (1, 2)}
"""Products that keep the rows of their left factor apart, if the arguments named here carry none."""


def mixing(found: Walk, batch: int) -> str | None:
    """The first reason why rows may mix in the common part, or None if they stay apart."""
    inner = {link for uses in found.uses.values() for use in uses for link in use.chain} | set(found.uses)
    for leaf, uses in found.uses.items():
        if len(uses) != 1 or _piece(leaf, uses[0], 0, True) is None:
            return f"{uses[0].node.name() if uses else 'a loss'} uses a parameter in a way not known by rows"
    for node in found.common:
        if node in inner:
            continue
        name = node.name()
        carriers = [
            (place, child, number) for place, (child, number) in enumerate(found.children[node]) if child is not None
        ]
        carriers = [carrier for carrier in carriers if carrier[1] not in inner]
        shapes = [tuple(node._input_metadata[0].shape)]
        shapes += [tuple(child._input_metadata[number].shape) for _, child, number in carriers]
        if any(not shape or shape[0] % batch for shape in shapes):
            return f"{name} changes the first dimension"
        if name in VIEWS:
            continue
        if len({shape[0] for shape in shapes}) > 1:
            return f"{name} changes the first dimension"
        along = _dims(node, name)
        if along is not None:
            if any(dim % len(shape) == 0 for dim in along for shape in shapes):
                return f"{name} works along the first dimension"
            continue
        if name in LEFT and any(place in LEFT[name] for place, _, _ in carriers):
            return f"{name} multiplies by something that depends on the rows"
        if name == "NativeLayerNormBackward0" and len(node._saved_normalized_shape) >= len(shapes[0]):
            return f"{name} normalises over rows"
        if name not in ENTRYWISE and name not in LEFT:
            return f"{name} is not known to keep rows apart"
        if len({len(shape) for shape in shapes}) > 1:
            return f"{name} broadcasts"
    return None


def _dims(node: Node, name: str) -> list[int] | None:
    """The dimensions an operation works along (negative: from the last), None if it works along none or is not known."""
    # torch saves a dimension as an unsigned number: -1 comes back as 2^64 - 1
    if name == "TransposeBackward0":
        found = [node._saved_dim0, node._saved_dim1]
    elif name in ALONG_ONE:
        found = [node._saved_dim]
    elif name in ("MeanBackward1", "SumBackward1"):
        found = list(node._saved_dim or [0])
    elif name == "PermuteBackward0":
        dims = [dim - 2**64 if dim >= 2**63 else dim for dim in node._saved_dims]
        found = [place for place, dim in enumerate(dims) if dim % len(dims) != place]
    else:
        return None
    return [dim - 2**64 if dim >= 2**63 else dim for dim in found]


class Piece:
    """A parameter used once, by an operation that works row by row.

    ghost: inner products come from x x^T and d d^T, and the gradient of weighed rows is one product. kind: product, sum (a bias),
    scale (a layer norm's weight), conv.
    """

    __slots__ = ("edge", "ghost", "inputs", "kind", "layer", "leaf", "product", "shared", "use")

    def __init__(self, leaf: Node, use: Use, kind: str, product: Product | None, edge: int, shared: bool) -> None:
        self.leaf = leaf
        self.use = use
        self.kind = kind
        self.product = product
        self.edge = edge
        self.shared = shared
        self.layer = 0
        self.ghost = False
        if product is not None:
            self.ghost = ghost_is_cheaper(1, product.rows, product.inputs, product.outputs)
        self.inputs = torch.empty(0)

    def read(self) -> None:
        """Take what the forward pass saved."""
        if self.product is not None:
            self.inputs = inputs_of(self.product)
        elif self.kind == "scale":
            node = self.use.node
            self.inputs = ((node._saved_input - node._saved_result1) * node._saved_result2).detach()
        elif self.kind == "conv":
            self.inputs = self.use.node._saved_input.detach()

    def gradient(self, delta: Tensor, rows: Tensor | None) -> Tensor:
        """The parameter's gradient from what arrives at these entries of the first dimension (None: all)."""
        inputs = self.inputs
        if rows is not None:
            delta = delta.index_select(0, rows)
            inputs = inputs.index_select(0, rows) if self.kind != "sum" else inputs
        if self.kind == "conv":
            return convolution_gradient(self.use.node, delta, inputs, leaf_tensor(self.leaf))
        if self.kind == "product":
            grad = (delta.t() @ inputs).t()
            for isometry in self.use.chain:
                grad = isometry(grad)
            return grad
        shape = leaf_tensor(self.leaf).shape
        grad = delta * inputs if self.kind == "scale" else delta
        if self.use.node.name() == "ConvolutionBackward0":
            return grad.sum((0, *range(2, grad.dim())))
        return grad.reshape(-1, shape.numel()).sum(0).reshape(shape)


def pieces_of(found: Walk, scope: Scope) -> tuple[list[Piece], list[GradientEdge]]:
    """Every common parameter as a piece, layers numbered; call only where `mixing` found no reason against it."""
    edges: list[GradientEdge] = []
    index: dict[Node, int] = {}
    pieces: list[Piece] = []
    for leaf, uses in found.uses.items():
        node = uses[0].node
        if node not in index:
            index[node] = len(edges)
            edges.append(GradientEdge(node, 0))
        piece = _piece(leaf, uses[0], index[node], scope.holds(leaf_tensor(leaf)))
        if piece is not None:
            pieces.append(piece)
    first: dict[int, int] = {}
    last = len(scope.order)
    for piece in pieces:
        place = scope.order.get(id(leaf_tensor(piece.leaf)), last)
        first[piece.edge] = min(first.get(piece.edge, last), place)
    ranked = sorted(first, key=lambda edge: (first[edge], edges[edge].node._sequence_nr()))
    layers = {edge: layer for layer, edge in enumerate(ranked)}
    for piece in pieces:
        piece.layer = layers[piece.edge]
    return pieces, edges


def _piece(leaf: Node, use: Use, edge: int, shared: bool) -> Piece | None:
    """The parameter as a piece, None if its operation is none of the known ones."""
    name, tensor = use.node.name(), leaf_tensor(leaf)
    if name in ("AddmmBackward0", "MmBackward0"):
        product = product_of(use, tensor) if tensor.dim() > 1 else None
        if product is not None:
            return None if product.flipped else Piece(leaf, use, "product", product, edge, shared)
        plain = name == "AddmmBackward0" and use.argument == 0 and not use.chain and use.node._saved_beta == 1
        fits = tuple(tensor.shape) == tuple(use.node._input_metadata[0].shape[1:])
        return Piece(leaf, use, "sum", None, edge, shared) if plain and fits else None
    if use.chain:
        return None
    if name == "NativeLayerNormBackward0" and use.argument in (1, 2):
        return Piece(leaf, use, "scale" if use.argument == 1 else "sum", None, edge, shared)
    if name == "ConvolutionBackward0" and use.argument in (1, 2):
        return Piece(leaf, use, "conv" if use.argument == 1 else "sum", None, edge, shared)
    return None
