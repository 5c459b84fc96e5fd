"""Energy and area: a model over counts, so that a finished run can be costed again with other coefficients.

The coefficients are part of a chip file. The counts come from a trace, or from a program that has not run yet; nothing
here knows which. Energies are in picojoules, areas in square millimetres, times in picoseconds.

    mvm       n_mvms x fixed + n_row_inputs x per_row + n_column_outputs x per_column + n_cell_uses x per_cell
    cores     n_core_cycles x core_cycle
    stream    stream_bytes x stream_byte  bytes that streamers bring to an IMA and back
    l1        l1_bytes x l1_byte          bytes that DMA engines read from and write to an L1
    network   port_bytes x port_byte      every byte counts once per port that it passes
    hbm       hbm_bytes x hbm_byte
    leakage   cluster_ps x leakage        all clusters of the chip, over the whole makespan
    idle      idle_ps x idle              used clusters, while neither IMA nor cores work: clocks gated
"""

from dataclasses import dataclass, fields
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from traces.quantities import AreaMm2, EnergyPj, EnergyPjPerByte, PowerMw
from traces.schema import ActorKind, Resource

#: Parts of the energy of a run, in the order in which reports list them.
COMPONENTS = ("array", "dac", "adc", "stream", "cores", "l1", "network", "hbm", "leakage", "idle")

_MW_PS_TO_PJ = 1e-3  # 1 mW over 1 ps is 1e-15 J


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_min_length=1)


class MvmEnergy(_Section):
    """Energy of one matrix-vector product: a fixed part, and one per row, column and cell used."""

    fixed_pj: EnergyPj = Field(alias="fixed")
    per_row_pj: EnergyPj = Field(alias="per_row")
    per_column_pj: EnergyPj = Field(alias="per_column")
    per_cell_pj: EnergyPj = Field(alias="per_cell")


class EnergyCosts(_Section):
    """The ``energy`` section of a chip file.

    ``core_cycle`` is one core working for one cycle, its instruction fetch and its accesses to L1 included.
    """

    mvm: MvmEnergy
    stream_byte_pj: EnergyPjPerByte = Field(alias="stream")
    core_cycle_pj: EnergyPj = Field(alias="core_cycle")
    l1_byte_pj: EnergyPjPerByte = Field(alias="l1")
    port_byte_pj: EnergyPjPerByte = Field(alias="network_port")
    hbm_byte_pj: EnergyPjPerByte = Field(alias="hbm")
    leakage_mw: PowerMw = Field(alias="cluster_leakage")
    idle_mw: PowerMw = Field(alias="cluster_idle")


class AreaCosts(_Section):
    """The ``area`` section of a chip file: four parts of a cluster, and the chip's share outside of clusters."""

    ima_mm2: AreaMm2 = Field(alias="ima")
    cores_mm2: AreaMm2 = Field(alias="cores")
    l1_mm2: AreaMm2 = Field(alias="l1")
    other_mm2: AreaMm2 = Field(alias="cluster_rest")
    uncore_mm2: AreaMm2 = Field(alias="outside_clusters")

    @property
    def cluster_mm2(self) -> float:
        """Area of one cluster."""
        return self.ima_mm2 + self.cores_mm2 + self.l1_mm2 + self.other_mm2

    def chip_mm2(self, n_clusters: int) -> float:
        """Area of a chip of ``n_clusters`` clusters."""
        return n_clusters * self.cluster_mm2 + self.uncore_mm2

    def split_mm2(self, n_clusters: int) -> dict[str, float]:
        """Area of a chip by part."""
        parts = {"ima": self.ima_mm2, "cores": self.cores_mm2, "l1": self.l1_mm2, "cluster_rest": self.other_mm2}
        return {name: n_clusters * area for name, area in parts.items()} | {"outside_clusters": self.uncore_mm2}


class PublishedFigure(_Section):
    """One published result: a key of the JSON report (dots lead into it), its value, and what explains a difference."""

    figure: str
    value: Annotated[float, Field(gt=0)]
    note: str


class Published(_Section):
    """The ``published`` section of a chip file: results for one network on this chip, with their source.

    A run has the name of the network and meets what is stated of it, else its figures are of something else; what is
    left out is not checked.

    Attributes:
        macs_per_image: multiply-accumulates, which tell the size of the images.
        n_outputs: values of the network's output per image, such as classes.
        n_images: images in the batch.
        n_clusters: clusters that the published mapping uses; runs with another mapping are shown with a remark.
    """

    source: str
    network: str
    macs_per_image: int | None = None
    n_outputs: int | None = None
    n_images: int | None = None
    n_clusters: int | None = None
    figures: tuple[PublishedFigure, ...]


@dataclass(frozen=True, slots=True)
class ClusterCosting:
    """What turns an actor's work into counts.

    Attributes:
        n_cores: cores per cluster, all at work in a core cycle of an actor.
        synchronization_cycles: cycles per firing in which one core alone works.
        row_bytes, column_bytes: bytes that an input of a row and an output of a column take.
        columns_per_weight: neighbouring columns of a crossbar that hold one column of weights, each with an output.
    """

    n_cores: int
    synchronization_cycles: int
    row_bytes: int
    column_bytes: int
    columns_per_weight: int


@dataclass(frozen=True, slots=True)
class EnergyCounts:
    """What was done, in whole numbers; the module says what each is multiplied with."""

    n_mvms: int = 0
    n_row_inputs: int = 0
    n_column_outputs: int = 0
    n_cell_uses: int = 0
    stream_bytes: int = 0
    n_core_cycles: int = 0
    l1_bytes: int = 0
    port_bytes: int = 0
    hbm_bytes: int = 0
    cluster_ps: int = 0
    idle_ps: int = 0

    def __add__(self, other: Self) -> "EnergyCounts":
        """Add count by count."""
        return EnergyCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def times(self, factor: int) -> "EnergyCounts":
        """Return the counts of ``factor`` repetitions."""
        return EnergyCounts(*(getattr(self, f.name) * factor for f in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class ActorWork:
    """Work of some actors per image, arrays of equal length named after the columns of the trace's ``actors``."""

    kind: NDArray[np.integer]
    resource: NDArray[np.integer]
    n_rows: NDArray[np.integer]
    n_columns: NDArray[np.integer]
    n_firings: NDArray[np.integer]
    n_jobs: NDArray[np.integer]
    core_cycles: NDArray[np.integer]


def count_actors(work: ActorWork, cluster: ClusterCosting) -> EnergyCounts:
    """Count what actors do per image, apart from moving tokens between clusters.

    A core cycle of an actor occupies all cores, save the synchronisation in each firing, which one core does. Jobs of
    an IMA bring their rows' inputs from L1 and their columns' outputs back; every slice of a weight is a column.
    """
    rows, columns, jobs, firings, core_cycles = (
        np.asarray(each).astype(object)  # Python's integers: sums of products cannot overflow
        for each in (work.n_rows, work.n_columns, work.n_jobs, work.n_firings, work.core_cycles)
    )
    columns = columns * cluster.columns_per_weight
    is_mvm = np.asarray(work.kind) == ActorKind.MVM
    on_cores = np.asarray(work.resource) == Resource.CORES
    inputs, outputs = int((jobs * rows)[is_mvm].sum()), int((jobs * columns)[is_mvm].sum())
    n_synchronizations = int(firings[is_mvm | on_cores].sum())
    in_parallel = int((core_cycles - firings * cluster.synchronization_cycles)[on_cores].sum())
    return EnergyCounts(
        n_mvms=int(jobs[is_mvm].sum()),
        n_row_inputs=inputs,
        n_column_outputs=outputs,
        n_cell_uses=int((jobs * rows * columns)[is_mvm].sum()),
        stream_bytes=inputs * cluster.row_bytes + outputs * cluster.column_bytes,
        n_core_cycles=in_parallel * cluster.n_cores + n_synchronizations * cluster.synchronization_cycles,
    )


def count_transport(n_bytes: int, *, n_ports: int, n_l1_ends: int, n_hbm_ends: int) -> EnergyCounts:
    """Count what moving bytes over a route costs: its ports, and a read or a write of L1 or HBM at either end."""
    return EnergyCounts(l1_bytes=n_bytes * n_l1_ends, port_bytes=n_bytes * n_ports, hbm_bytes=n_bytes * n_hbm_ends)


def energy_pj(counts: EnergyCounts, costs: EnergyCosts) -> dict[str, float]:
    """Return the energy of what was counted, by component (the names in ``COMPONENTS``)."""
    mvm = costs.mvm
    return {
        "array": counts.n_mvms * mvm.fixed_pj + counts.n_cell_uses * mvm.per_cell_pj,
        "dac": counts.n_row_inputs * mvm.per_row_pj,
        "adc": counts.n_column_outputs * mvm.per_column_pj,
        "stream": counts.stream_bytes * costs.stream_byte_pj,
        "cores": counts.n_core_cycles * costs.core_cycle_pj,
        "l1": counts.l1_bytes * costs.l1_byte_pj,
        "network": counts.port_bytes * costs.port_byte_pj,
        "hbm": counts.hbm_bytes * costs.hbm_byte_pj,
        "leakage": counts.cluster_ps * costs.leakage_mw * _MW_PS_TO_PJ,
        "idle": counts.idle_ps * costs.idle_mw * _MW_PS_TO_PJ,
    }
