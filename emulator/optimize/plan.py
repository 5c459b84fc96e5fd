"""From any policy to a mapping: follow a manual one, search for the others."""

from dataclasses import dataclass

from emulator.chip.spec import Chip
from emulator.mapping.mapping import Mapping
from emulator.mapping.place import map_network
from emulator.mapping.policy import ManualPolicy, Policy
from emulator.network.graph import Network
from emulator.optimize.judge import Found, OnCandidate
from emulator.optimize.search import optimize
from emulator.timing.compiled import require_compiler


@dataclass(frozen=True, slots=True)
class Plan:
    """A mapping, the policy that asked for it and, where it was searched for, how the search went."""

    policy: Policy
    mapping: Mapping
    found: Found | None


def plan_mapping(
    network: Network, chip: Chip, policy: Policy, *, n_images: int, seed: int, on_candidate: OnCandidate,
    ends_early: bool = True,
) -> Plan:  # fmt: skip
    """Map ``network`` onto ``chip``.

    Args:
        network: the network.
        chip: the chip.
        policy: how to map, or what to search for.
        n_images: images in the batch for which a search optimises.
        seed: of a search.
        on_candidate: hears of every candidate of a search.
        ends_early: an interrupt ends a search with the best so far, if there is one.

    Raises:
        ConfigError: the policy names what network or chip do not have, or numba must not compile what a search times.
        MappingError: the policy asks for more than they have.
        InfeasibleError: the network does not fit; carries the report.
    """
    if isinstance(policy, ManualPolicy):
        return Plan(policy, map_network(network, chip, policy), None)
    require_compiler()  # said once, not as the reason why no candidate could be timed
    found = optimize(
        network, chip, policy, n_images=n_images, seed=seed, on_candidate=on_candidate, ends_early=ends_early
    )
    return Plan(policy, map_network(network, chip, found.policy), found)
