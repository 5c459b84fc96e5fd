"""The integer program against all combinations counted out."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.optimize.assign import assign
from emulator.optimize.options import Option

US = 10**6


@st.composite
def menus(draw: st.DrawFn) -> list[list[Option]]:
    clusters, times, lags = st.integers(1, 9), st.integers(1, 90), st.integers(0, 9)
    return [
        [
            Option(f"layer {i}", 1, 1, 1, draw(clusters), draw(times) * US, draw(lags) * US)
            for _ in range(draw(st.integers(1, 5)))
        ]
        for i in range(draw(st.integers(1, 4)))
    ]


def modelled_us(options: tuple[Option, ...], n_images: int, lag_weight: float) -> float:
    slowest = max(option.time_ps for option in options)
    return (n_images * slowest + lag_weight * sum(option.lag_ps for option in options)) / US


@settings(max_examples=60, deadline=None)
@given(menus=menus(), n_clusters=st.integers(1, 30), n_images=st.integers(1, 16))
def test_nothing_that_fits_is_better(menus: list[list[Option]], n_clusters: int, n_images: int) -> None:
    fitting = [each for each in product(*menus) if sum(option.n_clusters for option in each) <= n_clusters]
    chosen = assign(menus, n_clusters, n_images, lag_weight=0.5)
    if not fitting:
        assert chosen is None
        return
    assert chosen is not None
    assert [option.layer for option in chosen] == [menu[0].layer for menu in menus]
    assert sum(option.n_clusters for option in chosen) <= n_clusters
    best = min(modelled_us(each, n_images, 0.5) for each in fitting)
    # Within the solver's gap, and what is paid to use fewer clusters.
    assert modelled_us(tuple(chosen), n_images, 0.5) <= best * (1 + 1e-3) + 1e-3 * n_clusters


def test_fewer_clusters_are_better_among_equals() -> None:
    small, large = (Option("layer", 1, 1, 1, n, 5 * US, US) for n in (2, 7))
    assert assign([[large, small]], 10, 4, 1.0) == [small]


@pytest.mark.parametrize("n_clusters", [3, 4])
def test_the_budget_is_kept(n_clusters: int) -> None:
    menu = [Option("a", 1, 1, 1, 2, 9 * US, 0), Option("a", 2, 1, 1, 4, 5 * US, 0)]
    (chosen,) = assign([menu], n_clusters, 4, 1.0) or [None]
    assert chosen is menu[n_clusters == 4]
