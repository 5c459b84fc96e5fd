"""Second phase of a search: change one choice of the best candidate at a time and keep what helps.

The integer program knows many candidates that its model cannot tell apart; here the timing plane can. Moves are drawn
from the seed, so the climb repeats exactly.
"""

from dataclasses import replace

import numpy as np

from emulator.optimize.compose import Candidate
from emulator.optimize.groups import Group
from emulator.optimize.judge import Judge
from emulator.optimize.options import Menu, Option

#: Options of a group that are slower than the slowest of the candidate by more than this are not tried.
_SLACK = 1.02
Menus = list[list[Option]]

_FAN_INS = (2, 3, 4, 6, 9)
_CORE_SHARES = (0.25, 0.5, 0.8)


def refine(judge: Judge, groups: tuple[Group, ...], menu: Menu, *, seed: int, n_tried: int) -> None:
    """Climb from the judge's best candidate until ``n_tried`` candidates have been tried in all."""
    if judge.best is None:
        return
    rng = np.random.Generator(np.random.Philox(seed))
    menus = [group.options(menu, dominated=True) for group in groups]
    cost, candidate = judge.best
    while not judge.is_over(n_tried):
        changed = _change(candidate, groups, menus, judge.n_clusters, rng)
        new_cost = judge.cost(changed)
        if new_cost < cost:
            cost, candidate = new_cost, changed


def _change(
    candidate: Candidate, groups: tuple[Group, ...], menus: Menus, n_clusters: int, rng: np.random.Generator
) -> Candidate:  # fmt: skip
    """Return a candidate that differs in one choice: mostly a group's option, else something of the style."""
    style = candidate.style
    kind = rng.choice(["option", "fan in", "sharing", "core share", "two options"], p=[0.4, 0.15, 0.1, 0.05, 0.3])
    if kind == "fan in":
        layer = groups[rng.integers(len(groups))].model.layer.name
        return replace(candidate, style=replace(style, fan_in_of={**style.fan_in_of, layer: int(rng.choice(_FAN_INS))}))
    if kind == "sharing" and style.sharing:
        width = int(rng.choice(sorted(style.sharing)))
        other = "turns" if style.sharing[width] == "strips" else "strips"
        return replace(candidate, style=replace(style, sharing={**style.sharing, width: other}))
    if kind == "core share":
        return replace(candidate, style=replace(style, core_share=float(rng.choice(_CORE_SHARES))))
    changed = _change_option(candidate, groups, menus, n_clusters, rng)
    return _change_option(changed, groups, menus, n_clusters, rng) if kind == "two options" else changed


def _change_option(
    candidate: Candidate, groups: tuple[Group, ...], menus: Menus, n_clusters: int, rng: np.random.Generator
) -> Candidate:  # fmt: skip
    """Give a group another option, half of the time with all groups whose convolutions have the same shape."""
    options = list(candidate.options)
    slowest_ps = max(option.time_ps for option in options)
    chosen = int(rng.integers(len(options)))
    shape, together = groups[chosen].model.shape, rng.random() < 0.5
    changed = [i for i, group in enumerate(groups) if i == chosen or (together and group.model.shape == shape)]
    others = sum(option.n_clusters for i, option in enumerate(options) if i not in changed)
    budget = n_clusters - candidate.style.spare_clusters - others
    fitting = [
        option
        for option in menus[chosen]
        if option.time_ps <= _SLACK * slowest_ps and option.n_clusters * len(changed) <= budget
    ]
    if not fitting:
        return candidate
    option = fitting[rng.integers(len(fitting))]
    for i in changed:
        own = option.own if len(groups[i].behind) == len(option.own) else ()
        options[i] = replace(option, layer=groups[i].model.layer.name, own=own)
    return replace(candidate, options=tuple(options))
