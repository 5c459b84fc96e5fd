"""How long firings take and how many bytes tokens have, from the chip's parameters.

An MVM firing streams its inputs, computes and streams its outputs job after job; jobs overlap in a pipelined IMA. A
firing on the cores shares its elements among them. Both pay the cluster's synchronisation once.
"""

from collections.abc import Iterable

from emulator.chip.spec import Chip
from emulator.network.graph import Op, Window

#: Bytes of one element of a feature map: activations are quantised to eight bits.
ACTIVATION_BYTES = 1


class ChipTiming:
    """The durations of one chip, in picoseconds; element counts are per firing."""

    def __init__(self, chip: Chip) -> None:
        self._cluster = chip.cluster
        self.cycle_ps = chip.cycle_ps

    @property
    def mvm_output_bytes(self) -> int:
        """Bytes of one partial sum as the ADC delivers it."""
        return -(-self._cluster.ima.adc_bits // 8)

    @property
    def partial_sum_bytes(self) -> int:
        """Bytes of one partial sum between two stages of a reduction tree."""
        return self._cluster.core_costs.partial_sum_bytes

    def mvm_ps(self, n_jobs: int, n_rows: int, n_columns: int) -> int:
        """Time of a firing of ``n_jobs`` MVMs: synchronise, the first job whole, the others at the pipeline's rate."""
        ima = self._cluster.ima
        interval = ima.job_interval_ps(n_rows, n_columns, self.cycle_ps)
        latency = ima.job_latency_ps(n_rows, n_columns, self.cycle_ps)
        return self._cluster.synchronization_cycles * self.cycle_ps + latency + (n_jobs - 1) * interval

    def core_cycles(self, work: Iterable[tuple[int, int]]) -> int:
        """Cycles in which the cores do ``work``, pairs of (elements, millicycles per element and core)."""
        millicycles = sum(n_elements * cost for n_elements, cost in work)
        return -(-millicycles // (1000 * self._cluster.n_cores)) + self._cluster.synchronization_cycles

    def reduce_work(self, n_elements: int, n_operands: int, *, is_root: bool) -> list[tuple[int, int]]:
        """Adding ``n_operands`` partial sums per element and, at the root, requantising the sum."""
        cores = self._cluster.core_costs
        return [(n_elements * (n_operands - 1), cores.accumulate), (n_elements if is_root else 0, cores.requantize)]

    def digital_work(self, op: Op, n_elements: int, window: Window | None) -> list[tuple[int, int]]:
        """Work of a digital layer that makes ``n_elements`` outputs."""
        cores = self._cluster.core_costs
        n_taps = window.kernel_h * window.kernel_w if window else 1
        if op is Op.MAX_POOL:
            return [(n_elements * n_taps, cores.max_pool)]
        if op is Op.AVG_POOL:
            return [(n_elements * n_taps, cores.avg_pool), (n_elements, cores.requantize)]
        if op is Op.ADD:
            return [(n_elements, cores.add)]
        assert op is Op.RELU, op
        return [(n_elements, cores.relu)]
