"""Balanced splits and reduction trees, against the properties that define them."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from emulator.mapping.split import balanced_spans, reduction_stages, reduction_tree


@given(total=st.integers(1, 10_000), limit=st.integers(1, 600))
def test_spans_cover_everything_in_order_with_the_fewest_balanced_pieces(total: int, limit: int) -> None:
    spans = balanced_spans(total, limit)
    assert spans[0].start == 0
    assert spans[-1].end == total
    assert all(a.end == b.start for a, b in pairwise(spans))
    lengths = [len(span) for span in spans]
    assert max(lengths) <= limit
    assert max(lengths) - min(lengths) <= 1
    assert len(spans) == -(-total // limit)


def test_a_3x3_convolution_over_128_channels_takes_five_row_blocks_of_256() -> None:
    assert [len(span) for span in balanced_spans(9 * 128, 256)] == [230, 230, 231, 230, 231]


@given(n_leaves=st.integers(1, 200), fan_in=st.integers(2, 9))
def test_a_tree_adds_every_leaf_once_within_its_fan_in_on_distinct_hosts(n_leaves: int, fan_in: int) -> None:
    tree = reduction_tree(n_leaves, reduction_stages(n_leaves, fan_in))
    assert sorted(leaf for node in tree for leaf in node.leaves) == list(range(n_leaves))
    assert sorted(i for node in tree for i in node.nodes) == list(range(len(tree) - 1))
    assert all(i < index for index, node in enumerate(tree) for i in node.nodes)
    assert all(len(node.leaves) + len(node.nodes) <= fan_in for node in tree)
    hosts = [node.host for node in tree]
    assert len(set(hosts)) == len(hosts)


@given(n_leaves=st.integers(2, 200), fan_in=st.integers(2, 9))
def test_a_tree_is_as_shallow_as_its_fan_in_allows(n_leaves: int, fan_in: int) -> None:
    depth = 0
    reach = 1
    while reach < n_leaves:
        reach *= fan_in
        depth += 1
    assert reduction_tree(n_leaves, reduction_stages(n_leaves, fan_in))[-1].stage == depth


def test_a_single_leaf_still_has_a_root_to_requantise_its_sum() -> None:
    (root,) = reduction_tree(1, reduction_stages(1, 4))
    assert (root.leaves, root.host, root.stage) == ((0,), 0, 1)
