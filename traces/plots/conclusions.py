"""What to conclude from each figure, in a sentence: the captions of pictures and of the interactive report."""

import numpy as np
from numpy.typing import NDArray

from traces.analysis.accounting import ANALOG, CAUSES, DIGITAL
from traces.digits import rounded, significant
from traces.plots.data import FigureData
from traces.plots.style import CAUSE_LABELS

_IDLE_CAUSES = CAUSES[2:]


def on_timeline(data: FigureData) -> str:
    """Say who sets the pace."""
    text = f"{data.report.name}: {data.timing.throughput.images_per_second:,.0f} images/s. "
    for stage in data.timing.stages[:1]:
        text += (
            f"{' and '.join(stage.layers)} sets the pace: the {stage.unit} of cluster {stage.cluster} is busy for "
            f"{stage.busy_share:.0%} of the time; "
        )
    return text + "white is a cluster that waits or sleeps."


def on_time_breakdown(data: FigureData) -> str:
    """Say what clusters do most, and what else."""
    account = data.timing.account
    total = account.time_ps.sum(axis=0) / (len(account.cluster) * account.makespan_ps)
    shares = dict(zip(CAUSES, total.tolist(), strict=True))
    idle = max(_IDLE_CAUSES, key=lambda cause: shares[cause])
    analog, digital = (round(100 * shares[name], 1) for name in ("analog", "digital"))  # so that they add up as shown
    return (
        f"Clusters work for {analog + digital:.1f}% of the time ({analog:.1f}% bound by analog, {digital:.1f}% by "
        f"digital work); the largest other part is '{CAUSE_LABELS[idle]}' ({shares[idle]:.1%})."
    )


def on_waterfall(data: FigureData) -> str:
    """Say what is left of the peak and where most was lost."""
    waterfall = data.timing.waterfall
    if waterfall is None:
        return "No crossbar did anything."
    worst = max(waterfall.factors, key=lambda name: waterfall.factors[name])
    return (
        f"Of {waterfall.peak_tops:,.0f} TOPS, {significant(waterfall.tops_after[-1], 3)} are left, one part in "
        f"{significant(waterfall.total, 3)}; most is lost to {worst.replace('_', ' ')} (a factor of "
        f"{significant(waterfall.factors[worst], 3)})."
    )


def on_area_efficiency(data: FigureData) -> str:
    """Say where most area waits."""
    known = [(g, g.gops_per_mm2_alone or 0.0, g.gops_per_mm2 or 0.0) for g in data.timing.groups if g.gops_per_mm2]
    if not known:
        return "No area is known."
    group, alone, together = max(known, key=lambda each: each[0].n_clusters_held * (1 - each[2] / (each[1] or np.inf)))
    return (
        f"Most area waits in the layers of {group.name} ({rounded(group.n_clusters_held)} clusters): they reach "
        f"{significant(together, 3)} of the {significant(alone, 3)} GOPS/mm² that they would reach alone."
    )


def on_roofline(data: FigureData) -> str:
    """Say which resource limits the chip and how close it comes to that limit."""
    timing = data.timing.throughput
    steady = timing.images_per_second_steady
    reached, when = (steady, "in steady state") if steady else (timing.images_per_second, "over the batch")
    tightest = data.timing.limits[0]
    return (
        f"The tightest limit is {tightest.kind} ({tightest.where}: {tightest.images_per_second:,.0f} images/s); "
        f"{reached / tightest.images_per_second:.1%} of it is reached {when}."
    )


def on_energy(data: FigureData) -> str:
    """Say what an image takes and what for."""
    use, found = data.timing.energy, data.report.efficiency
    if use is None:
        return "No coefficients of energy are known."
    by_component = use.by_component_pj
    largest = max(by_component, key=lambda name: by_component[name])
    return (
        f"An image takes {significant(found['energy_mj_per_image'], 3)} mJ "
        f"({significant(found['tops_per_watt'], 3)} TOPS/W); the largest part is {largest} "
        f"({by_component[largest] / use.total_pj:.0%}). 'chip' is what belongs to no layer."
    )


def on_floor_plan(data: FigureData, traffic_mb: NDArray[np.float64]) -> str:
    """Say how uneven work and traffic are."""
    account = data.timing.account
    work = account.time_ps[:, [ANALOG, DIGITAL]].sum(axis=1) / account.makespan_ps
    worst = int(traffic_mb.argmax())
    return (
        f"Half of the used clusters work for less than {np.median(work):.0%} of the time, the busiest for "
        f"{work.max():.0%}; cluster {worst} moves most data ({significant(float(traffic_mb[worst]), 3)} MB per image). "
        "Grey: unused."
    )


def on_network(data: FigureData) -> str:
    """Say how full the network is."""
    network = data.timing.network
    latencies = network.latencies
    busiest = network.ports[0]
    contention = "contention is not known"
    if latencies.contention_ps is not None:
        share = latencies.contention_ps / max(latencies.travelled_ps, 1)
        contention = f"{share:.0%} of the time that transfers travel is contention"
    return (
        f"The busiest port ({busiest.name}) is occupied for {busiest.busy_share:.0%} of the time; {contention}; "
        f"the HBM moves {network.hbm_bytes_per_second.sum(axis=0).mean() / 1e9:,.2f} GB/s."
    )


def on_queues(waiting: dict[str, NDArray[np.float64]]) -> str:
    """Say where tokens pile up."""
    name = next(iter(waiting))
    return (
        f"Most tokens pile up in front of {name}: {waiting[name].mean():,.1f} on average, {waiting[name].max():,.0f} "
        "at most. A queue that stays full means that what takes from it is slower than what feeds it."
    )
