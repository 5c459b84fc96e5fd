"""What reports need to know of the chip: read from the chip file's text that a trace keeps."""

from hashlib import sha256
from math import prod
from operator import attrgetter
from typing import Annotated, Any

import yaml
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from traces.energy import AreaCosts, ClusterCosting, EnergyCosts, Published
from traces.errors import TraceError
from traces.quantities import HZ_PER, PS_PER, read_quantity
from traces.reader import Trace


def _whole(kind: str, units: dict[str, int]) -> BeforeValidator:
    def parse(value: Any) -> int:  # noqa: ANN401 (whatever stands in the file)
        return int(read_quantity(value, f"expected {kind}", units))

    return BeforeValidator(parse)


_CYCLES = _whole("a number of cycles", {"cycles": 1, "cycle": 1})


class _Facts(BaseModel):
    """A part of a chip file, of which only some keys matter here; the emulator has checked the others."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class AnalogFacts(_Facts):
    """See ``emulator.chip.analog.Analog``."""

    slices: int = 1


class ImaFacts(_Facts):
    """See ``emulator.chip.ima``: an analog crossbar has a latency, a digital one takes cycles per bit of its inputs."""

    rows: int
    columns: int
    dac_bits: int = Field(validation_alias=AliasChoices("dac_bits", "input_bits"))
    adc_bits: int = Field(validation_alias=AliasChoices("adc_bits", "output_bits"))
    mvm_latency: Annotated[int, _whole("a time", PS_PER)] | None = None
    cycles_per_input_bit: Annotated[int, _CYCLES] = 0
    adder_tree_latency: Annotated[int, _CYCLES] = 0
    analog: AnalogFacts | None = None


class ClusterFacts(_Facts):
    """See ``emulator.chip.spec.Cluster``."""

    cores: int
    synchronization: Annotated[int, _CYCLES]
    ima: ImaFacts


class LevelFacts(_Facts):
    """See ``emulator.chip.spec.Level``."""

    name: str
    fan_out: int


class TopologyFacts(_Facts):
    """See ``emulator.chip.spec.TreeTopology``."""

    levels: tuple[LevelFacts, ...] = ()


class ChipFacts(_Facts):
    """A chip as reports see it; ``energy``, ``area`` and ``published`` are None where the file has no such section.

    Attributes:
        fingerprint: eight hexadecimal digits of a hash of all that the file says, for files that share a name.
    """

    name: str
    fingerprint: str = ""
    clock: Annotated[int, _whole("a frequency", HZ_PER)]
    cluster: ClusterFacts
    topology: TopologyFacts
    energy: EnergyCosts | None = None
    area: AreaCosts | None = None
    published: Published | None = None

    @property
    def label(self) -> str:
        """Name and fingerprint: a copied file keeps its name whatever is changed in it."""
        return f"{self.name} ({self.fingerprint})"

    @property
    def n_clusters(self) -> int:
        """Clusters of the chip's tree; 1 for other topologies."""
        return prod(level.fan_out for level in self.topology.levels)

    @property
    def mvm_ps(self) -> float:
        """Time of one MVM without streaming."""
        ima = self.cluster.ima
        if ima.mvm_latency is not None:
            return ima.mvm_latency
        return (ima.dac_bits * ima.cycles_per_input_bit + ima.adder_tree_latency) * 1e12 / self.clock

    @property
    def peak_ops_per_second(self) -> float:
        """Operations (two per multiply-accumulate) per second of one crossbar that never rests and is full."""
        ima = self.cluster.ima
        return 2 * ima.rows * ima.columns / self.mvm_ps * 1e12

    @property
    def costing(self) -> ClusterCosting:
        """What turns the work of an actor into counts."""
        ima = self.cluster.ima
        return ClusterCosting(
            n_cores=self.cluster.cores,
            synchronization_cycles=self.cluster.synchronization,
            row_bytes=-(-ima.dac_bits // 8),
            column_bytes=-(-ima.adc_bits // 8),
            columns_per_weight=1 if ima.analog is None else ima.analog.slices,
        )


def chip_of(trace: Trace) -> ChipFacts | None:
    """Return the chip of a run, or None if its trace holds no chip file.

    Raises:
        TraceError: the chip file's text is not one.
    """
    text = str(trace.attribute("chip_file"))
    return read_chip_text(text, f"{trace.path}: chip_file") if text else None


def cost_with(chip: ChipFacts, costs: ChipFacts) -> ChipFacts:
    """Return a chip with the coefficients of energy and area of another.

    Raises:
        TraceError: the other has none, or they are for clusters of another size.
    """
    if not costs.energy and not costs.area:
        raise TraceError(f"chip {costs.label}: it has neither a section energy nor area, so it cannot cost a run")
    for key in ("cores", "ima.rows", "ima.columns"):
        own, other = (attrgetter(key)(each.cluster) for each in (chip, costs))
        if own != other:
            raise TraceError(
                f"chip {costs.label}: its coefficients are for a cluster.{key} of {other}, but the run's chip "
                f"{chip.label} has {own}; expected a chip with clusters of the same size, or run again on this chip"
            )
    return chip.model_copy(update={"energy": costs.energy, "area": costs.area})


def read_chip_text(text: str, where: str) -> ChipFacts:
    """Read the text of a chip file.

    Args:
        text: the file's text.
        where: where it stood, for messages.

    Raises:
        TraceError: it is not a chip file; names the first key that is wrong.
    """
    try:
        data = yaml.safe_load(text)
        content = repr(sorted(flatten(data).items()))  # comments and the order of keys do not count
        fingerprint = sha256(content.encode()).hexdigest()[:8]
        return ChipFacts.model_validate(data).model_copy(update={"fingerprint": fingerprint})
    except yaml.YAMLError as error:
        raise TraceError(f"{where}: malformed YAML: {error}") from None
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = ".".join(map(str, detail["loc"])) or "the file"
        raise TraceError(f"{where}: {key}: {detail['msg']}, got {detail['input']!r}") from None


def flatten(data: object, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings and lists by their dotted keys."""
    if isinstance(data, dict):
        items = [(str(key), value) for key, value in data.items()]
    elif isinstance(data, list):
        items = [(str(i), value) for i, value in enumerate(data)]
    else:
        return {prefix: data}
    return {
        key: leaf
        for name, value in items
        for key, leaf in flatten(value, f"{prefix}.{name}" if prefix else name).items()
    }
