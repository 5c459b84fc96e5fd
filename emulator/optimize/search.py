"""Search for a mapping: exact assignment under a simple model, then a black-box search with the timing plane inside.

The integer program of ``assign`` decides who gets how many crossbars. What its model leaves out (waiting, the network
on chip, buffers, additions, pools) depends on a handful of choices that hold for all layers; these are searched with
Optuna's tree-structured Parzen estimator, every candidate being timed with the whole batch. A seed fixes the search.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING

from emulator.chip.spec import Chip
from emulator.errors import EmulatorError, MappingError
from emulator.mapping.mapping import InfeasibleError
from emulator.mapping.place import crossbar_shortage
from emulator.mapping.policy import ManualPolicy, OptimizePolicy
from emulator.network.graph import Network
from emulator.optimize.assign import assign
from emulator.optimize.bound import Bound, relaxed_bound
from emulator.optimize.compose import Style, compose_policy
from emulator.optimize.evaluate import Figures, evaluate
from emulator.optimize.groups import make_groups
from emulator.optimize.options import Menu, Option

if TYPE_CHECKING:
    from optuna import Trial

#: Hears of progress: candidates timed, candidates in all, the best so far.
OnCandidate = Callable[[int, int, "Found | None"], None]

_START = {
    "tile_groups": 1, "pixels": 0, "lag_weight": 1.0, "reserve": 0, "fan_in": 4, "core_share": 0.5,
    "home": "consumer_l1", "own": False, "placement": "interleaved", "input_tile": 1, "even": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """A mapping that was found.

    Attributes:
        policy: the mapping, choice by choice.
        figures: what the timing plane says of it.
        bound: what no mapping with so many clusters can beat.
        n_evaluated: candidates timed until the end of the search.
    """

    policy: ManualPolicy
    figures: Figures
    bound: Bound
    n_evaluated: int = 0


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
        MappingError: no candidate can be built; says why the first one cannot.
    """
    n_clusters = min(policy.clusters, chip.n_clusters)
    bound = relaxed_bound(network, chip, n_clusters, policy.pixels_per_mvm)
    if bound is None:
        raise InfeasibleError(network.name, chip.name, (crossbar_shortage(network, chip, n_clusters),))
    search = _Search(network, chip, policy, n_clusters, n_images, bound)
    search.run(seed, on_candidate)
    if search.best is None:
        raise search.first_error or MappingError(f"no mapping of {network.name} on {chip.name} was found")
    return Found(search.best.policy, search.best.figures, bound, search.n_evaluated)


class _Search:
    """The state of one search."""

    def __init__(
        self, network: Network, chip: Chip, policy: OptimizePolicy, n_clusters: int, n_images: int, bound: Bound
    ) -> None:
        self._network, self._chip, self._policy = network, chip, policy
        self._n_clusters, self._n_images, self._bound = n_clusters, n_images, bound
        self._groups = make_groups(network, chip)
        self._widths = sorted({group.model.output.width for group in self._groups} - {1}, reverse=True)
        self._timed: dict[str, float] = {}
        self.best: Found | None = None
        self.best_cost = float("inf")
        self.first_error: EmulatorError | None = None
        self.n_evaluated = 0

    def run(self, seed: int, on_candidate: OnCandidate) -> None:
        """Time candidates until the budget is spent or the user has had enough."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=16, multivariate=False)
        study = optuna.create_study(sampler=sampler)
        for n_strips in range(len(self._widths), -1, -1):  # strips where feature maps are wide, turns where narrow
            sharing = {
                f"sharing of width {w}": "strips" if i < n_strips else "turns" for i, w in enumerate(self._widths)
            }
            study.enqueue_trial({**_START, **sharing, "pixels": self._policy.pixels_per_mvm})
        began, n_all = perf_counter(), self._policy.evaluations + 1
        try:
            for number in range(1, n_all + 1):
                trial = study.ask()
                study.tell(trial, self._cost(trial))
                on_candidate(number, n_all, self.best)
                if self._policy.seconds is not None and perf_counter() - began > self._policy.seconds:
                    break
        except KeyboardInterrupt:
            if self.best is None:
                raise

    def _cost(self, trial: "Trial") -> float:
        """Compose and time a candidate; what cannot be built costs infinitely much."""
        try:
            candidate = self._compose(trial)
            key = candidate.model_dump_json()
            if key not in self._timed:
                figures = evaluate(self._network, self._chip, candidate, self._n_images)
                self.n_evaluated += 1
                self._timed[key] = self._objective(figures)
                if self._timed[key] < self.best_cost and figures.n_clusters <= self._n_clusters:
                    self.best_cost, self.best = self._timed[key], Found(candidate, figures, self._bound)
            return self._timed[key]
        except EmulatorError as error:
            self.first_error = self.first_error or error
            return float("inf")

    def _compose(self, trial: "Trial") -> ManualPolicy:
        """Turn a trial's parameters into a policy."""
        home = trial.suggest_categorical("home", ["consumer_l1", "spare 2", "spare 4"])
        residual, _, n_spare = home.partition(" ")
        style = Style(
            fan_in=trial.suggest_categorical("fan_in", [2, 3, 4, 6, 9, 18]),
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
        menu = Menu(
            max_tile_width=trial.suggest_categorical("tile_groups", [1, 2, 4]),
            max_pixels=min(pixels, self._policy.pixels_per_mvm),
            max_clusters=self._n_clusters,
            is_even=trial.suggest_categorical("even", [True, False]),
            may_own=trial.suggest_categorical("own", [True, False]),
        )
        reserve = trial.suggest_categorical("reserve", [0, 4, 8, 16, 32])
        budget = max(self._bound.least_clusters, self._n_clusters - style.spare_clusters - reserve)
        lag_weight = trial.suggest_categorical("lag_weight", [0.1, 0.3, 1.0, 3.0])
        options = self._assign(menu, budget, lag_weight)
        if options is None:
            raise MappingError(f"{budget} clusters do not hold one copy of every layer")
        return compose_policy(self._network, self._groups, options, style)

    @cache  # noqa: B019 (a search lives as long as its results are of use)
    def _assign(self, menu: Menu, n_clusters: int, lag_weight: float) -> list[Option] | None:
        return assign([group.options(menu) for group in self._groups], n_clusters, self._weight(), lag_weight)

    def _weight(self) -> int:
        return self._n_images if self._policy.objective == "throughput" else 1

    def _objective(self, figures: Figures) -> float:
        return float(figures.makespan_ps if self._policy.objective == "throughput" else figures.first_ps)
