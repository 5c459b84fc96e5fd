"""The judge of a search: times every candidate once, keeps the best, and says when the search is over."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from emulator.chip.spec import Chip
from emulator.errors import EmulatorError, MappingError
from emulator.mapping.policy import ManualPolicy, OptimizePolicy
from emulator.network.graph import Network
from emulator.optimize.bound import Bound
from emulator.optimize.compose import Candidate, compose_policy
from emulator.optimize.evaluate import Figures, evaluate
from emulator.optimize.groups import Group


@dataclass(frozen=True, slots=True)
class Found:
    """A mapping that was found.

    Attributes:
        policy: the mapping, choice by choice.
        figures: what the timing plane says of it.
        bound: what no mapping with so many clusters can beat.
        n_evaluated: different candidates timed until then.
    """

    policy: ManualPolicy
    figures: Figures
    bound: Bound
    n_evaluated: int


#: Hears of progress: candidates tried beyond the analytic start, those that the policy allows, the best so far.
OnCandidate = Callable[[int, int, Found | None], None]


class Judge:
    """Costs candidates for one search; a cost is what its objective wants small, infinite if a candidate is no mapping.

    Attributes:
        n_clusters: clusters to use at most.
        n_images: images in the batch.
        best: the cheapest candidate so far with its cost, None before one could be timed.
        found: the same for people.
        first_error: why the first candidate that is no mapping is none.
    """

    def __init__(
        self,
        network: Network,
        chip: Chip,
        policy: OptimizePolicy,
        bound: Bound,
        *,
        groups: tuple[Group, ...],
        n_images: int,
        on_candidate: OnCandidate,
    ) -> None:
        self._network, self._chip, self._policy, self._bound = network, chip, policy, bound
        self._groups, self.n_images, self._on_candidate = groups, n_images, on_candidate
        self._began = perf_counter()
        self._costs: dict[str, float] = {}
        self._n_tried = self._n_timed = 0
        self.n_clusters = min(policy.clusters, chip.n_clusters)
        self.best: tuple[float, Candidate] | None = None
        self.found: Found | None = None
        self.first_error: EmulatorError | None = None

    def is_over(self, n_tried: int) -> bool:
        """Tell whether so many candidates have been tried, or time is spent and there is something to show for it."""
        seconds = self._policy.seconds
        is_late = seconds is not None and perf_counter() - self._began > seconds
        return self._n_tried >= n_tried or (is_late and self.found is not None)

    def cost(self, candidate: Candidate | None) -> float:
        """Cost a candidate; None is one that could not even be put together."""
        self._n_tried += 1
        cost = float("inf") if candidate is None else self._cost(candidate)
        self._on_candidate(self._n_tried - 1, self._policy.evaluations, self.found)
        return cost

    def _cost(self, candidate: Candidate) -> float:
        policy = compose_policy(self._network, self._groups, candidate)
        key = policy.model_dump_json()
        if key not in self._costs:
            self._costs[key] = float("inf")
            try:
                figures = evaluate(self._network, self._chip, policy, self.n_images)
            except EmulatorError as error:
                self.first_error = self.first_error or error
                return self._costs[key]
            self._n_timed += 1
            if figures.n_clusters <= self.n_clusters:
                cost = self._costs[key] = self._objective(figures)
                if self.best is None or cost < self.best[0]:
                    self.best = cost, candidate
                    self.found = Found(policy, figures, self._bound, self._n_timed)
            elif self.first_error is None:
                self.first_error = MappingError(f"takes {figures.n_clusters} clusters, there are {self.n_clusters}")
        return self._costs[key]

    def _objective(self, figures: Figures) -> float:
        if self._policy.objective == "latency":
            return float(figures.first_ps)
        if self._policy.objective == "energy-delay":
            assert figures.energy_pj is not None  # such chips are refused before the search
            return figures.energy_pj * figures.makespan_ps
        return float(figures.makespan_ps)
