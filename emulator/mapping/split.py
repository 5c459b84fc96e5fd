"""Cut a layer's weight matrix into crossbar-sized blocks and the sum over its row blocks into a tree."""

from dataclasses import dataclass

from emulator.network.geometry import Span


def balanced_spans(total: int, limit: int) -> tuple[Span, ...]:
    """Cut ``total`` into the fewest spans of at most ``limit``, whose lengths differ by at most one."""
    n_spans = -(-total // limit)
    return tuple(Span(total * i // n_spans, total * (i + 1) // n_spans) for i in range(n_spans))


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One addition of a reduction tree.

    Attributes:
        stage: distance from the leaves, 1 for a node that adds leaves only.
        leaves: indices of leaves added here directly.
        nodes: indices of earlier nodes of the tree added here.
        host: the leaf at whose place the addition is done; no two nodes of a tree share one.
    """

    stage: int
    leaves: tuple[int, ...]
    nodes: tuple[int, ...]
    host: int


def reduction_tree(n_leaves: int, fan_in: int) -> tuple[TreeNode, ...]:
    """Build the tree that adds ``n_leaves`` partial sums, at most ``fan_in`` at a time; the root comes last.

    A single leaf still gets a root, for its sum has to be requantised somewhere. Every node is hosted by the first of
    the leaves below it that hosts none yet; there always is one, for a tree has fewer additions than leaves.
    """
    if n_leaves == 1:
        return (TreeNode(stage=1, leaves=(0,), nodes=(), host=0),)
    nodes: list[TreeNode] = []
    below: list[tuple[int, ...]] = []  # leaves under each node
    hosting: set[int] = set()
    level: list[tuple[bool, int]] = [(True, leaf) for leaf in range(n_leaves)]  # (is a leaf, index)
    stage = 0
    while len(level) > 1:
        stage += 1
        next_level: list[tuple[bool, int]] = []
        for group in balanced_spans(len(level), fan_in):
            members = level[group.start : group.end]
            if len(members) == 1:
                next_level.append(members[0])
                continue
            leaves = tuple(i for is_leaf, i in members if is_leaf)
            inner = tuple(i for is_leaf, i in members if not is_leaf)
            under = tuple(sorted((*leaves, *(leaf for i in inner for leaf in below[i]))))
            host = next(leaf for leaf in under if leaf not in hosting)
            hosting.add(host)
            next_level.append((False, len(nodes)))
            nodes.append(TreeNode(stage, leaves, inner, host))
            below.append(under)
        level = next_level
    return tuple(nodes)
