"""Energy of a program before or without a trace: counts from its actors and channels times the chip's coefficients.

The counts are those that an analysis makes from a trace, with one difference: how long a cluster's IMA and cores worked
at the same time is only known from the firings, so clusters are taken to be busy for the sum of the two.
"""

import numpy as np

from emulator.chip.spec import Chip
from emulator.chip.topology import build_topology
from emulator.errors import ConfigError
from emulator.program.dataflow import Program
from traces.energy import ActorWork, ClusterCosting, EnergyCounts, count_actors, count_transport, energy_pj
from traces.schema import Resource


def program_energy_pj(program: Program, chip: Chip, *, n_images: int, makespan_ps: int) -> float:
    """Return the energy of a batch.

    Args:
        program: what runs.
        chip: where.
        n_images: images in the batch.
        makespan_ps: time from its start to its end.

    Raises:
        ConfigError: the chip has no energy coefficients.
    """
    if chip.energy is None:
        raise ConfigError(f"{chip.name}: the chip has no energy coefficients; give its file an 'energy' section")
    counts = count_program(program, chip, n_images=n_images, makespan_ps=makespan_ps)
    return sum(energy_pj(counts, chip.energy).values())


def count_program(program: Program, chip: Chip, *, n_images: int, makespan_ps: int) -> EnergyCounts:
    """Count what a batch does; arguments as of ``program_energy_pj``."""
    costing = ClusterCosting(
        n_cores=chip.cluster.n_cores,
        synchronization_cycles=chip.cluster.synchronization_cycles,
        row_bytes=-(-chip.cluster.ima.dac_bits // 8),
        column_bytes=-(-chip.cluster.ima.adc_bits // 8),
        columns_per_weight=chip.cluster.ima.columns_per_weight,
    )
    per_image = count_actors(_actor_work(program), costing) + _count_channels(program, chip)
    used = {actor.site for actor in program.actors if actor.site != program.hbm_site}
    busy_ps = sum(sum(actor.durations_ps) for actor in program.actors if actor.resource is not Resource.NONE)
    return per_image.times(n_images) + EnergyCounts(
        cluster_ps=chip.n_clusters * makespan_ps, idle_ps=max(0, len(used) * makespan_ps - n_images * busy_ps)
    )


def _actor_work(program: Program) -> ActorWork:
    actors = program.actors
    return ActorWork(
        kind=np.array([actor.kind for actor in actors]),
        resource=np.array([actor.resource for actor in actors]),
        n_rows=np.array([len(actor.rows) for actor in actors]),
        n_columns=np.array([len(actor.columns) for actor in actors]),
        n_firings=np.array([actor.n_firings for actor in actors]),
        n_jobs=np.array([actor.n_jobs for actor in actors]),
        core_cycles=np.array([actor.core_cycles for actor in actors]),
    )


def _count_channels(program: Program, chip: Chip) -> EnergyCounts:
    topology, counts = build_topology(chip), EnergyCounts()
    for channel in program.channels:
        ends = program.actors[channel.producer].site, program.actors[channel.consumer].site
        if ends[0] == ends[1]:
            continue
        n_hbm = ends.count(program.hbm_site)
        n_ports = len(topology.route(*ends, "read" if ends[0] == program.hbm_site else "write"))
        n_bytes = sum(channel.token_bytes)
        counts += count_transport(n_bytes, n_ports=n_ports, n_l1_ends=2 - n_hbm, n_hbm_ends=n_hbm)
    return counts
