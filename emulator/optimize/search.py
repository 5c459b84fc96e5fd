"""Search for a mapping: an integer program first, then searches with the timing plane inside.

The integer program of ``assign`` decides which group of layers gets how many clusters. What its model leaves out
(waiting, the network on chip, buffers) depends on a handful of choices that hold for all layers; these are searched
with Optuna's tree-structured Parzen estimator. ``refine`` then changes single choices of the best candidate. Every
candidate is timed with the whole batch. A seed fixes the search.
"""

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from emulator.chip.spec import Chip
from emulator.errors import MappingError
from emulator.mapping.mapping import InfeasibleError
from emulator.mapping.place import crossbar_shortage
from emulator.mapping.policy import OptimizePolicy
from emulator.network.graph import Network
from emulator.optimize.assign import assign
from emulator.optimize.bound import relaxed_bound
from emulator.optimize.compose import Candidate, Style
from emulator.optimize.groups import Group, alike, make_groups
from emulator.optimize.judge import Found, Judge, OnCandidate
from emulator.optimize.options import Menu, Option
from emulator.optimize.refine import refine

if TYPE_CHECKING:
    from optuna import Trial

#: Share of the candidates that are tried before the best of them is refined.
_GLOBAL_SHARE = 0.25
_MAX_TILE_GROUPS = 4

_START = {
    "tile_groups": 1, "pixels": 0, "lag_weight": 1.0, "reserve": 0, "fan_in": 4, "core_share": 0.5,
    "home": "consumer_l1", "own": False, "placement": "interleaved", "input_tile": 1, "even": False,
}  # fmt: skip


def optimize(
    network: Network, chip: Chip, policy: OptimizePolicy, *, n_images: int, seed: int,
    on_candidate: OnCandidate = lambda *_: None,
) -> Found:  # fmt: skip
    """Find a mapping of ``network`` on ``chip``; interrupting the search (Ctrl-C) returns the best so far.

    Args:
        network: the network.
        chip: the chip.
        policy: objective and budget.
        n_images: images in the batch.
        seed: of the search.
        on_candidate: hears of every candidate.

    Raises:
        InfeasibleError: one copy of every layer needs more clusters than there are.
        MappingError: the chip lacks what the objective needs, or no candidate can be built; says why the first cannot.
    """
    if policy.objective == "energy-delay" and chip.energy is None:
        raise MappingError(
            f"policy: objective: {chip.name} has no energy coefficients for energy-delay; give the chip file an "
            "'energy' section or choose throughput or latency"
        )
    n_clusters = min(policy.clusters, chip.n_clusters)
    bound = relaxed_bound(network, chip, n_clusters, policy.pixels_per_mvm)
    if bound is None:
        raise InfeasibleError(network.name, chip.name, (crossbar_shortage(network, chip, n_clusters),))
    groups = make_groups(network, chip)
    judge = Judge(network, chip, policy, bound, groups=groups, n_images=n_images, on_candidate=on_candidate)
    n_tried = policy.evaluations + 1  # the analytic start and what may follow
    menu = Menu(_MAX_TILE_GROUPS, policy.pixels_per_mvm, n_clusters, is_even=False, may_own=True)
    try:
        _GlobalSearch(network, policy, groups, judge, bound.least_clusters).run(seed, 1 + int(_GLOBAL_SHARE * n_tried))
        refine(judge, groups, menu, seed=seed, n_tried=n_tried)
    except KeyboardInterrupt:
        if judge.found is None:
            raise
    if judge.found is None:
        raise judge.first_error or MappingError(f"no mapping of {network.name} on {chip.name} was found")
    return judge.found


class _GlobalSearch:
    """Searches the choices that hold for all layers."""

    def __init__(
        self, network: Network, policy: OptimizePolicy, groups: tuple[Group, ...], judge: Judge, least_clusters: int
    ) -> None:
        self._policy, self._groups, self._judge, self._least_clusters = policy, groups, judge, least_clusters
        widths = {network.feature_maps[layer.output].width for layer in network.layers} - {1}
        self._widths = sorted(widths, reverse=True)
        self._n_images = 1 if policy.objective == "latency" else judge.n_images

    def run(self, seed: int, n_tried: int) -> None:
        """Try candidates until so many have been tried, the analytic ones first."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=16, multivariate=False)
        study = optuna.create_study(sampler=sampler)
        for n_strips in range(len(self._widths), -1, -1):  # strips where feature maps are wide, turns where narrow
            sharing = {
                f"sharing of width {w}": "strips" if i < n_strips else "turns" for i, w in enumerate(self._widths)
            }
            for uniform in (False, True):
                start = {**_START, **sharing, "pixels": self._policy.pixels_per_mvm, "uniform": uniform}
                study.enqueue_trial(start)
        while not self._judge.is_over(n_tried):
            trial = study.ask()
            study.tell(trial, self._judge.cost(self._candidate(trial)))

    def _candidate(self, trial: "Trial") -> Candidate | None:
        """Turn a trial's parameters into a candidate; None if its clusters do not hold one copy of every layer."""
        home = trial.suggest_categorical("home", ["consumer_l1", "spare 2", "spare 4"])
        residual, _, n_spare = home.partition(" ")
        style = Style(
            fan_in=trial.suggest_categorical("fan_in", [2, 3, 4, 6, 9, 18]),
            fan_in_of={},
            core_share=trial.suggest_categorical("core_share", [0.25, 0.5, 0.8]),
            residual=residual,
            spare_clusters=int(n_spare or 0),
            sharing={
                width: trial.suggest_categorical(f"sharing of width {width}", ["turns", "strips"])
                for width in self._widths
            },
            placement=trial.suggest_categorical("placement", ["contiguous", "aligned", "interleaved"]),
            input_tile=trial.suggest_categorical("input_tile", [1, 2, 4]),
        )
        pixels = trial.suggest_categorical("pixels", sorted({1, 2, 3, 4, self._policy.pixels_per_mvm}))
        uniform = trial.suggest_categorical("uniform", [True, False])
        menu = Menu(
            max_tile_width=trial.suggest_categorical("tile_groups", [1, 2, _MAX_TILE_GROUPS]),
            max_pixels=min(pixels, self._policy.pixels_per_mvm),
            max_clusters=self._judge.n_clusters,
            is_even=trial.suggest_categorical("even", [True, False]),
            may_own=trial.suggest_categorical("own", [True, False]) and not uniform,
        )
        reserve = trial.suggest_categorical("reserve", [0, 4, 8, 16, 32])
        budget = max(self._least_clusters, self._judge.n_clusters - style.spare_clusters - reserve)
        lag_weight = trial.suggest_categorical("lag_weight", [0.1, 0.3, 1.0, 3.0])
        options = self._assign(menu, budget, lag_weight, uniform=uniform)
        return None if options is None else Candidate(options, style)

    @cache  # noqa: B019 (a search lives as long as its results are of use)
    def _assign(self, menu: Menu, n_clusters: int, lag_weight: float, *, uniform: bool) -> tuple[Option, ...] | None:
        """Let the integer program choose; ``uniform`` gives convolutions of one shape the same option."""
        classes = alike(self._groups) if uniform else [[group] for group in self._groups]
        menus = [
            [replace(option, n_clusters=len(members) * option.n_clusters) for option in members[0].options(menu)]
            for members in classes
        ]
        chosen = assign(menus, n_clusters, self._n_images, lag_weight)
        if chosen is None:
            return None
        options = {
            group.model.layer.name: replace(
                option, layer=group.model.layer.name, n_clusters=option.n_clusters // len(members)
            )
            for members, option in zip(classes, chosen, strict=True)
            for group in members
        }
        return tuple(options[group.model.layer.name] for group in self._groups)
