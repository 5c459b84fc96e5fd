"""Everything that a report shows of the timing plane, worked out in one go over records that are read once."""

from dataclasses import dataclass

from traces.analysis.accounting import TimeAccount, account_time
from traces.analysis.bottleneck import Stage, slowest_stages
from traces.analysis.chip import ChipFacts
from traces.analysis.critical_path import CriticalPath, find_critical_path
from traces.analysis.energy_use import EnergyUse, cost_energy, count_energy
from traces.analysis.groups import LayerGroup, measure_groups
from traces.analysis.limits import Limit, RooflinePoint, measure_limits, roofline_points
from traces.analysis.network import NetworkUse, measure_network
from traces.analysis.records import Records
from traces.analysis.throughput import Throughput, measure_throughput
from traces.analysis.utilization import ClusterUse, LayerUse, measure_clusters, measure_layers
from traces.analysis.waterfall import Waterfall, measure_waterfall
from traces.reader import Trace


@dataclass(frozen=True, slots=True)
class Timing:
    """Figures of a run; those that need the chip file are None without one, energy also without coefficients."""

    throughput: Throughput
    layers: tuple[LayerUse, ...]
    clusters: ClusterUse
    stages: tuple[Stage, ...]
    account: TimeAccount
    groups: tuple[LayerGroup, ...]
    limits: tuple[Limit, ...]
    network: NetworkUse
    path: CriticalPath
    roofline: tuple[RooflinePoint, ...]
    waterfall: Waterfall | None
    energy: EnergyUse | None

    def power_w(self) -> float | None:
        """Mean power over the makespan."""
        return self.energy.total_pj / self.throughput.makespan_ps if self.energy else None


def measure_timing(trace: Trace, records: Records, chip: ChipFacts | None) -> Timing:
    """Work out all figures.

    Args:
        trace: a trace with a timing plane.
        records: its records in order.
        chip: the run's chip, perhaps with the coefficients of another.
    """
    throughput = measure_throughput(trace)
    account = account_time(trace, records, throughput, chip)
    groups = measure_groups(trace, records, account, throughput, chip)
    counts = count_energy(trace, account, chip) if chip else None
    return Timing(
        throughput=throughput,
        layers=measure_layers(trace, records, throughput.makespan_ps),
        clusters=measure_clusters(trace, records),
        stages=slowest_stages(trace, records, throughput),
        account=account,
        groups=groups,
        limits=measure_limits(trace, records),
        network=measure_network(trace, records, throughput),
        path=find_critical_path(trace, records, throughput),
        roofline=roofline_points(trace, groups, chip) if chip else (),
        waterfall=measure_waterfall(trace, records, throughput, chip) if chip else None,
        energy=cost_energy(counts, chip.energy) if counts and chip and chip.energy else None,
    )
