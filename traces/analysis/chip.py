"""What reports need to know of the chip: read from the chip file's text that a trace keeps."""

from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from traces.energy import AreaCosts, ClusterCosting, EnergyCosts, Published
from traces.errors import TraceError
from traces.quantities import read_quantity
from traces.reader import Trace

#: Picoseconds per unit of time.
PS_PER = {"ps": 1, "ns": 10**3, "us": 10**6, "µs": 10**6, "ms": 10**9, "s": 10**12}


def _whole(kind: str, units: dict[str, int]) -> BeforeValidator:
    def parse(value: Any) -> int:  # noqa: ANN401 (whatever stands in the file)
        return int(read_quantity(value, f"expected {kind}", units))

    return BeforeValidator(parse)


class _Facts(BaseModel):
    """A part of a chip file, of which only some keys matter here; the emulator has checked the others."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ImaFacts(_Facts):
    """See ``emulator.chip.spec.Ima``."""

    rows: int
    columns: int
    dac_bits: int
    adc_bits: int
    mvm_latency: Annotated[int, _whole("a time", PS_PER)]


class ClusterFacts(_Facts):
    """See ``emulator.chip.spec.Cluster``."""

    cores: int
    synchronization: Annotated[int, _whole("a number of cycles", {"cycles": 1, "cycle": 1})]
    ima: ImaFacts


class LevelFacts(_Facts):
    """See ``emulator.chip.spec.Level``."""

    name: str
    fan_out: int


class TopologyFacts(_Facts):
    """See ``emulator.chip.spec.TreeTopology``."""

    levels: tuple[LevelFacts, ...] = ()


class ChipFacts(_Facts):
    """A chip as reports see it; ``energy``, ``area`` and ``published`` are None where the file has no such section."""

    name: str
    cluster: ClusterFacts
    topology: TopologyFacts
    energy: EnergyCosts | None = None
    area: AreaCosts | None = None
    published: Published | None = None

    @property
    def peak_ops_per_second(self) -> float:
        """Operations (two per multiply-accumulate) per second of one crossbar that never rests and is full."""
        ima = self.cluster.ima
        return 2 * ima.rows * ima.columns / ima.mvm_latency * 1e12

    @property
    def costing(self) -> ClusterCosting:
        """What turns the work of an actor into counts."""
        ima = self.cluster.ima
        return ClusterCosting(
            n_cores=self.cluster.cores,
            synchronization_cycles=self.cluster.synchronization,
            row_bytes=-(-ima.dac_bits // 8),
            column_bytes=-(-ima.adc_bits // 8),
        )


def chip_of(trace: Trace) -> ChipFacts | None:
    """Return the chip of a run, or None if its trace holds no chip file.

    Raises:
        TraceError: the chip file's text is not one.
    """
    text = str(trace.attribute("chip_file"))
    return read_chip_text(text, f"{trace.path}: chip_file") if text else None


def read_chip_text(text: str, where: str) -> ChipFacts:
    """Read the text of a chip file.

    Args:
        text: the file's text.
        where: where it stood, for messages.

    Raises:
        TraceError: it is not a chip file; names the first key that is wrong.
    """
    try:
        return ChipFacts.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise TraceError(f"{where}: malformed YAML: {error}") from None
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = ".".join(map(str, detail["loc"])) or "the file"
        raise TraceError(f"{where}: {key}: {detail['msg']}, got {detail['input']!r}") from None
