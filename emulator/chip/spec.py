"""The chip as its file describes it: frozen, strict, every physical value named with its unit.

Keys in a file read naturally (``mvm_latency: 130 ns``); the attributes behind them carry the unit that the emulator
counts in (``mvm_latency_ps``). There are no defaults: a chip file states everything, though it may leave out the
sections that only reports read.
"""

from decimal import Decimal
from math import prod
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from emulator.chip.ima import Count, DigitalIma, PcmIma
from emulator.config_file import Spec
from emulator.units import BytesPerCycle, Cycles, FrequencyHz, MillicyclesPerElement, SizeBytes
from traces.energy import AreaCosts, EnergyCosts, Published

#: Tables with a row per cluster and port then take some 6 GB.
MAX_CLUSTERS = 1 << 22
_PS_PER_S = 10**12


class Dma(Spec):
    """The DMA engine of a cluster."""

    max_burst_bytes: SizeBytes = Field(alias="max_burst")
    max_outstanding_reads: Count
    max_outstanding_writes: Count
    program_cycles: Cycles = Field(alias="program_cost")


class CoreCosts(Spec):
    """What the cores pay, in millicycles of one core per element.

    ``accumulate`` per partial sum added; ``requantize``, ``add`` and ``relu`` per output; ``max_pool`` per output and
    window position; ``avg_pool`` per input. ``partial_sum_bytes`` is the size of a sum between two reduction stages.
    """

    accumulate: MillicyclesPerElement
    requantize: MillicyclesPerElement
    max_pool: MillicyclesPerElement
    avg_pool: MillicyclesPerElement
    add: MillicyclesPerElement
    relu: MillicyclesPerElement
    partial_sum_bytes: Annotated[SizeBytes, Field(le=1024)] = Field(alias="partial_sum")


class Cluster(Spec):
    """One cluster: cores, L1, one IMA, one DMA engine."""

    n_cores: Count = Field(alias="cores")
    l1_bytes: SizeBytes = Field(alias="l1")
    synchronization_cycles: Cycles = Field(alias="synchronization")
    ima: Annotated[PcmIma | DigitalIma, Field(discriminator="technology")]
    dma: Dma
    core_costs: CoreCosts


class Level(Spec):
    """One level of the interconnect tree: nodes with ``fan_out`` children behind links of the given width."""

    name: str
    fan_out: Count
    bytes_per_cycle: BytesPerCycle = Field(alias="width")
    latency_cycles: Annotated[Cycles, Field(ge=1)] = Field(alias="latency")


class TreeTopology(Spec):
    """A tree of any depth, from the root down to the clusters."""

    kind: Literal["tree"]
    levels: Annotated[tuple[Level, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if self.n_clusters > MAX_CLUSTERS:
            raise ValueError(
                f"levels: expected fan_outs with a product of at most {MAX_CLUSTERS:,} clusters, got "
                f"{' x '.join(str(level.fan_out) for level in self.levels)} = {self.n_clusters:,}"
            )
        return self

    @property
    def n_clusters(self) -> int:
        """Leaves of the tree."""
        return prod(level.fan_out for level in self.levels)


class Hbm(Spec):
    """The high-bandwidth memory behind the root of the interconnect.

    ``capacity`` has to hold an image, its result and the residuals that the policy keeps there.
    """

    capacity_bytes: SizeBytes = Field(alias="capacity")
    bytes_per_cycle: BytesPerCycle = Field(alias="width")
    latency_cycles: Annotated[Cycles, Field(ge=1)] = Field(alias="latency")


class Chip(Spec):
    """A whole chip. ``topology`` is told apart by its ``kind``, so that others than trees can join.

    ``energy``, ``area`` and ``published`` play no part in a run: reports read them. A chip may leave each of them out
    as a whole.
    """

    name: str
    source: str
    clock_hz: FrequencyHz = Field(alias="clock")
    cluster: Cluster
    topology: TreeTopology
    hbm: Hbm
    energy: EnergyCosts | None = None
    area: AreaCosts | None = None
    published: Published | None = None

    @field_validator("clock_hz")
    @classmethod
    def _whole_picoseconds(cls, clock_hz: int) -> int:
        if _PS_PER_S % clock_hz:
            raise ValueError(
                f"expected a clock whose period is a whole number of picoseconds, got {clock_hz} Hz "
                f"({_PS_PER_S / clock_hz:.3f} ps); the nearest are {_nearest_clocks(clock_hz)}"
            )
        return clock_hz

    @property
    def cycle_ps(self) -> int:
        """Period of the clock."""
        return _PS_PER_S // self.clock_hz

    @property
    def n_clusters(self) -> int:
        """Clusters on the chip."""
        return self.topology.n_clusters


def _nearest_clocks(clock_hz: int) -> str:
    """Name the next slower and the next faster clock that divides a second into whole picoseconds; both are exact."""
    allowed = [2**i * 5**j for i in range(13) for j in range(13)]
    nearest = max(hz for hz in allowed if hz < clock_hz), min(hz for hz in allowed if hz > clock_hz)
    return " and ".join(f"{Decimal(hz) / 10**6:f} MHz ({_PS_PER_S // hz} ps)" for hz in nearest)
