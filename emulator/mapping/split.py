"""Cut a layer's weight matrix into crossbar-sized blocks and the sum over its row blocks into a tree."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

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


def reduction_stages(n_leaves: int, fan_in: int) -> tuple[int, ...]:
    """Return the additions per stage of the shallowest tree that adds at most ``fan_in`` sums at a time.

    A single leaf still gets a root, for its sum has to be requantised somewhere.
    """
    stages: list[int] = []
    n_left = n_leaves
    while n_left > 1 or not stages:
        n_left = -(-n_left // fan_in)
        stages.append(n_left)
    return tuple(stages)


def reduction_tree(n_leaves: int, stages: Sequence[int]) -> tuple[TreeNode, ...]:
    """Build the tree that adds ``n_leaves`` partial sums in stages of so many additions each; the root comes last.

    A stage cuts what is left into balanced groups; a group of one is passed on, so a stage may have fewer additions
    than asked for. Every node is hosted by the first of the leaves below it that hosts none yet; there always is one,
    for a tree has fewer additions than leaves.
    """
    if n_leaves == 1:
        return (TreeNode(stage=1, leaves=(0,), nodes=(), host=0),)
    nodes: list[TreeNode] = []
    below: list[tuple[int, ...]] = []  # leaves under each node
    hosting: set[int] = set()
    level: list[tuple[bool, int]] = [(True, leaf) for leaf in range(n_leaves)]  # (is a leaf, index)
    for stage, n_groups in enumerate(stages, start=1):
        next_level: list[tuple[bool, int]] = []
        for members in _groups(level, n_groups):
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


def _groups(members: list[tuple[bool, int]], n_groups: int) -> list[list[tuple[bool, int]]]:
    """Cut ``members`` into at most ``n_groups`` balanced groups, none of them empty."""
    n_groups = min(n_groups, len(members))
    bounds = [len(members) * i // n_groups for i in range(n_groups + 1)]
    return [members[a:b] for a, b in pairwise(bounds)]
