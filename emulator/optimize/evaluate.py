"""Time a candidate mapping: map, build, lower and run the timing plane, keeping the ends of images and the energy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.chip.spec import Chip
from emulator.energy import program_energy_pj
from emulator.mapping.place import map_network
from emulator.mapping.policy import ManualPolicy
from emulator.network.graph import Network
from emulator.program.build import build_program
from emulator.program.lower import lower_program
from emulator.timing.engine import TimingEngine
from traces.schema import ActorKind

_PS_PER_S = 10**12


@dataclass(frozen=True, slots=True)
class Figures:
    """What the timing plane says of a mapping.

    Attributes:
        first_ps: end of the first image.
        makespan_ps: end of the last one.
        n_images: images in the batch.
        n_clusters: clusters used.
        energy_pj: energy of the batch, None for a chip without coefficients.
    """

    first_ps: int
    makespan_ps: int
    n_images: int
    n_clusters: int
    energy_pj: float | None = None

    @property
    def images_per_second(self) -> float:
        """Throughput over the batch, filling and draining included."""
        return self.n_images * _PS_PER_S / self.makespan_ps

    @property
    def steady_images_per_second(self) -> float:
        """Throughput between the first and the last result; over the batch if there is one image only."""
        if self.n_images == 1:
            return self.images_per_second
        return (self.n_images - 1) * _PS_PER_S / (self.makespan_ps - self.first_ps)


class _OutputTimes:
    """A sink that keeps the ends of one actor's firings."""

    def __init__(self, actor_id: int) -> None:
        self._actor_id = actor_id
        self.ends_ps: list[int] = []

    def append(self, table: str, columns: dict[str, NDArray[np.int64]]) -> None:
        if table == "firings":
            self.ends_ps += columns["end_ps"][columns["actor"] == self._actor_id].tolist()


def evaluate(network: Network, chip: Chip, policy: ManualPolicy, n_images: int) -> Figures:
    """Time ``n_images`` under ``policy``.

    Raises:
        MappingError: the policy cannot be followed or does not fit.
    """
    mapping = map_network(network, chip, policy)
    program = build_program(mapping)
    (output,) = (actor.actor_id for actor in program.actors if actor.kind is ActorKind.OUTPUT)
    times = _OutputTimes(output)
    TimingEngine(lower_program(program, chip), n_images, times).run()
    makespan_ps = max(times.ends_ps)
    energy_pj = None
    if chip.energy is not None:
        energy_pj = program_energy_pj(program, chip, n_images=n_images, makespan_ps=makespan_ps)
    return Figures(min(times.ends_ps), makespan_ps, n_images, mapping.n_clusters_used, energy_pj)
