"""Which part of the graph two or more losses reach: one walk over autograd's nodes, no hooks in modules.

A node is *owned* by the one loss that reaches it, or it is common. Gradients cross from the owned part into the common part at
*crossings*: there each task's gradient is still separate, below they would be summed. The common part's parameters and how they
are used is what the exact engine works on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cotrain.core.errors import UnsupportedError

Node = Any
"""A node of autograd's graph: `torch.autograd.graph.Node` with the saved attributes of its own kind."""

SHARED = -1
"""Owner of a node that two or more tasks reach."""

ISOMETRIES = frozenset(
    {
        "TBackward0",
        "TransposeBackward0",
        "PermuteBackward0",
        "ViewBackward0",
        "UnsafeViewBackward0",
        "ReshapeAliasBackward0",
        "UnsqueezeBackward0",
        "SqueezeBackward0",
        "SqueezeBackward1",
        "SqueezeBackward2",
        "AliasBackward0",
        "CloneBackward0",
    }
)
"""Rearrangements of one tensor: inner products of gradients pass through them unchanged."""


class Crossing(NamedTuple):
    """An edge from `node` (argument `argument`), owned by root `owner`, to output `number` of the common node `target`."""

    node: Node
    argument: int
    owner: int
    target: Node
    number: int


class Use(NamedTuple):
    """A parameter used by the common node `node` as its argument `argument`, through the isometries `chain` (outermost first)."""

    node: Node
    argument: int
    chain: tuple[Node, ...]


class Walk:
    """What one walk found; `owner` maps every node reached to the index of its only root, or to SHARED.

    common: the common nodes. uses: for each common parameter's leaf, how common nodes use it. nested: an edge into the common
    part ends in a node that another common node leads to as well.
    """

    __slots__ = ("children", "common", "crossings", "nested", "owned_leaves", "owner", "uses")

    def __init__(self, children: dict[Node, tuple[tuple[Node, int], ...]], owner: dict[Node, int]) -> None:
        self.children = children
        self.owner = owner
        self.crossings: list[Crossing] = []
        self.owned_leaves: list[Node] = []
        self.common: list[Node] = []
        self.nested = False
        self.uses: dict[Node, list[Use]] = {}


def walk(roots: Sequence[Node | None]) -> Walk:
    """Walk from each root (a loss's node, None where a loss is constant). No node is entered more than twice, however many roots."""
    owner: dict[Node, int] = {}
    children: dict[Node, tuple[tuple[Node, int], ...]] = {}
    for index, root in enumerate(roots):
        if root is None:
            continue
        stack = [root]
        while stack:
            node = stack.pop()
            known = owner.get(node)
            if known is None:
                owner[node] = index
                below = children[node] = node.next_functions
            elif known < 0 or known == index:
                continue
            else:
                owner[node] = SHARED
                below = children[node]
            for child, _ in below:
                if child is not None:
                    stack.append(child)
    found = Walk(children, owner)
    _sort(found)
    return found


def _sort(found: Walk) -> None:
    """Fill in crossings, owned leaves, common nodes and the uses of common parameters."""
    owner, children = found.owner, found.children
    chains: dict[Node, tuple[tuple[Node, ...], Node] | None] = {}
    below_common: set[Node] = set()
    for node, below in children.items():
        mine = owner[node]
        if mine >= 0:
            if not below:
                found.owned_leaves.append(node)
                continue
            for argument, (child, number) in enumerate(below):
                if child is not None and owner[child] < 0:
                    found.crossings.append(Crossing(node, argument, mine, child, number))
            continue
        found.common.append(node)
        for child, _ in below:
            below_common.add(child)
        if not below:
            found.uses.setdefault(node, [])
            continue
        if len(below) == 1 and _chain(node, children, chains) is not None:
            continue
        for argument, (child, _) in enumerate(below):
            if child is None:
                continue
            chain = _chain(child, children, chains)
            if chain is not None:
                found.uses.setdefault(chain[1], []).append(Use(node, argument, chain[0]))
    found.nested = any(crossing.target in below_common for crossing in found.crossings)


def _chain(
    node: Node,
    children: dict[Node, tuple[tuple[Node, int], ...]],
    known: dict[Node, tuple[tuple[Node, ...], Node] | None],
) -> tuple[tuple[Node, ...], Node] | None:
    """The isometries from `node` down to a parameter's leaf and that leaf, or None if anything else lies between."""
    if node in known:
        return known[node]
    below = children[node]
    answer: tuple[tuple[Node, ...], Node] | None = None
    if not below:
        answer = ((), node)
    elif len(below) == 1 and below[0][0] is not None and is_isometry(node):
        rest = _chain(below[0][0], children, known)
        if rest is not None:
            answer = ((node, *rest[0]), rest[1])
    known[node] = answer
    return answer


def is_isometry(node: Node) -> bool:
    """Whether gradients pass `node` with their inner products unchanged (a cast between floating dtypes counts: only rounding differs)."""
    name = type(node).__name__
    if name in ISOMETRIES:
        return True
    if name == "ToCopyBackward0":
        above = node._input_metadata[0].dtype
        return bool(above.is_floating_point)
    if name == "ExpandBackward0":
        return tuple(node._saved_self_sym_sizes) == tuple(node._input_metadata[0].shape)
    return False


def leaf_tensor(node: Node) -> Tensor:
    """The parameter behind an `AccumulateGrad` node. Raises UnsupportedError for a node that is no parameter's."""
    variable = getattr(node, "variable", None)
    if not isinstance(variable, torch.Tensor):
        raise UnsupportedError(
            f"expected every path of the graph to end in a parameter; got a {node.name()}, whose gradient torch cannot compute; "
            "detach that branch or replace the operation"
        )
    return variable


def refuse_what_cannot_be_exact(found: Walk) -> None:
    """Raise UnsupportedError, with the reason, where repeated passes through the common part would be wrong or impossible."""
    for node in found.common:
        name = type(node).__name__
        if name == "CheckpointFunctionBackward":
            raise UnsupportedError(
                "expected a graph that can be passed more than once; got reentrant checkpointing in the shared part, which only "
                "works under one plain backward; use torch.utils.checkpoint.checkpoint(..., use_reentrant=False)"
            )
        if name in ("EmbeddingBackward0", "EmbeddingBagBackward0") and node._saved_sparse:
            raise UnsupportedError(
                "expected dense gradients in the shared part; got an embedding with sparse=True, whose rows have no inner "
                "products here; build it with sparse=False"
            )
    for leaf in found.uses:
        variable = leaf_tensor(leaf)
        if getattr(variable, "_is_flat_param", False) or type(variable).__name__ == "DTensor":
            raise UnsupportedError(
                "expected whole parameters on every process; got parameters sharded by FSDP, whose gradients arrive only "
                "after a reduction; use a loss-based method, or Engine(mode='features')"
            )
