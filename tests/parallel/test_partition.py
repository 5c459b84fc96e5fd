"""Contiguous blocks of balanced work, against trying all cuts."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import ParallelError
from emulator.parallel.partition import partition_clusters


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[int], int]:
    work = draw(st.lists(st.integers(0, 20), min_size=1, max_size=9).filter(any))
    return work, draw(st.integers(1, sum(load > 0 for load in work)))


@given(cases())
def test_the_busiest_block_is_as_small_as_any_cut_allows(case: tuple[list[int], int]) -> None:
    work, n_ranks = case
    bounds = partition_clusters(np.array(work), n_ranks)
    assert bounds[0] == 0
    assert bounds[-1] == len(work)
    blocks = [sum(work[a:b]) for a, b in pairwise(bounds)]
    assert len(blocks) == n_ranks
    assert min(blocks) > 0
    best = min(
        max(sum(work[a:b]) for a, b in pairwise((0, *cut, len(work))))
        for cut in combinations(range(1, len(work)), n_ranks - 1)
    )
    assert max(blocks) == best


@given(st.integers(1, 400), st.integers(1, 64))
def test_even_work_is_cut_evenly(n_clusters: int, n_ranks: int) -> None:
    n_ranks = min(n_ranks, n_clusters)
    sizes = np.diff(partition_clusters(np.ones(n_clusters, np.int64), n_ranks))
    assert sizes.max() == -(-n_clusters // n_ranks)


def test_more_ranks_than_clusters_with_work_are_refused() -> None:
    with pytest.raises(ParallelError, match="4 ranks were started, but the mapping uses only 3 clusters"):
        partition_clusters(np.array([0, 1, 0, 5, 2]), 4)
