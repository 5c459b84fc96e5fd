"""Choose one option per group of layers so that the modelled makespan is least: an integer program, solved by HiGHS.

With x[l, o] = 1 where group l takes option o, and T the time per image of the slowest group:

    minimise    n_images * T + lag_weight * sum(lag[l, o] * x[l, o])
    subject to  sum over o of x[l, o] = 1                       for every group l
                sum over o of time[l, o] * x[l, o] <= T         for every group l
                sum over l, o of clusters[l, o] * x[l, o] <= n_clusters
"""

from collections.abc import Sequence

import numpy as np

from emulator.optimize.options import Option

#: The solver stops when it has proved to be within this share of the best.
_GAP = 1e-4
_PS_PER_US = 1e6
#: Among equals fewer clusters are better: copies that no one waits for only make traffic.
_CLUSTER_COST = 1e-3


def assign(
    menus: Sequence[Sequence[Option]], n_clusters: int, n_images: int, lag_weight: float
) -> list[Option] | None:  # fmt: skip
    """Return an option for every group, None if nothing fits.

    Args:
        menus: the options of each group.
        n_clusters: clusters to use at most.
        n_images: images in the batch.
        lag_weight: weight of the lags against the time per image.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import lil_matrix

    options = [option for menu in menus for option in menu]
    n = len(options)  # T is variable n; times in microseconds keep the numbers near one
    one_each, in_time = lil_matrix((len(menus), n + 1)), lil_matrix((len(menus), n + 1))
    fits = np.array([[option.n_clusters for option in options] + [0]])
    first = 0
    for i, menu in enumerate(menus):
        for j, option in enumerate(menu, start=first):
            one_each[i, j] = 1
            in_time[i, j] = option.time_ps / _PS_PER_US
        in_time[i, n] = -1
        first += len(menu)
    costs = [lag_weight * option.lag_ps / _PS_PER_US + _CLUSTER_COST * option.n_clusters for option in options]
    cost = np.array([*costs, n_images])
    result = milp(
        cost,
        constraints=[
            LinearConstraint(one_each.tocsr(), 1, 1),
            LinearConstraint(in_time.tocsr(), -np.inf, 0),
            LinearConstraint(fits, 0, n_clusters),
        ],
        integrality=np.array([1] * n + [0]),
        bounds=Bounds(np.zeros(n + 1), np.array([1.0] * n + [np.inf])),
        # Without presolve: it is as fast here, and with it this solver may write to standard output.
        options={"mip_rel_gap": _GAP, "presolve": False},
    )
    if result.x is None:
        return None
    return [option for option, chosen in zip(options, result.x, strict=False) if chosen > 0.5]
