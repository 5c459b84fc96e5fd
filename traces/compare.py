"""What changed between runs: configuration, figures side by side, and which layers moved."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from traces.analysis.chip import flatten
from traces.reader import Trace
from traces.report import Report, make_report

#: Keys of the JSON report that are set side by side; dots lead into it.
FIGURES = (
    "images_per_second",
    "images_per_second_steady",
    "makespan_s",
    "first_image_latency_s",
    "mean_image_latency_s",
    "tops",
    "clusters_used",
    "energy_mj_per_image",
    "tops_per_watt",
    "gops_per_mm2",
    "area_mm2",
    "loss_factors.global_mapping",
    "loss_factors.local_mapping",
    "loss_factors.imbalance",
    "loss_factors.communication",
    "loss_factors.total",
)
_TEXTS = ("run_file", "chip_file", "policy_file", "mapping_file")


@dataclass(frozen=True, slots=True)
class Difference:
    """A key whose value is not the same in all runs; None where a run's file does not have it."""

    file: str
    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class LayerChange:
    """A layer in every run; tuples have an entry per run, None where the run has no such layer.

    Attributes:
        n_clusters: clusters with work of the layer.
        busiest_share: the largest busy share among them.
        moved: whether it sits on other clusters than in the first run.
    """

    layer: str
    n_clusters: tuple[int | None, ...]
    busiest_share: tuple[float | None, ...]
    moved: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Runs side by side; the first is what the others are compared with.

    Attributes:
        labels: what the runs are called, one each.
        figures: by the names in ``FIGURES``, a value per run.
    """

    labels: tuple[str, ...]
    reports: tuple[Report, ...]
    differences: tuple[Difference, ...]
    figures: dict[str, tuple[float | None, ...]]
    layers: tuple[LayerChange, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain values."""
        return {
            "runs": [
                {
                    "label": label,
                    "name": report.name,
                    "chip": report.chip and report.chip.label,
                    "digest": report.digest,
                }
                for label, report in zip(self.labels, self.reports, strict=True)
            ],
            "differences": [{"file": d.file, "key": d.key, "values": list(d.values)} for d in self.differences],
            "figures": {name: list(values) for name, values in self.figures.items()},
            "layers": [
                {
                    "layer": each.layer,
                    "n_clusters": list(each.n_clusters),
                    "busiest_share": list(each.busiest_share),
                    "moved": list(each.moved),
                }
                for each in self.layers
            ],
        }


def compare_runs(traces: Sequence[Trace], labels: Sequence[str]) -> RunComparison:
    """Compare runs with the first of them.

    Raises:
        TraceError: a trace is damaged.
    """
    reports = tuple(make_report(trace) for trace in traces)
    found = [report.to_json() for report in reports]
    return RunComparison(
        labels=tuple(labels),
        reports=reports,
        differences=tuple(_differences(traces, reports)),
        figures={name: tuple(_look_up(figures, name) for figures in found) for name in FIGURES},
        layers=tuple(_layer_changes(traces, reports)),
    )


def _look_up(figures: dict[str, Any], name: str) -> float | None:
    value: Any = figures
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value if value is None else float(value)


def _differences(traces: Sequence[Trace], reports: Sequence[Report]) -> list[Difference]:
    differences = []
    for file in _TEXTS:
        flat = [flatten(yaml.safe_load(str(trace.attribute(file)) or "{}")) for trace in traces]
        if file == "chip_file":
            _tell_apart(flat, reports)
        for key in dict.fromkeys(key for each in flat for key in each):
            values = tuple(each.get(key) for each in flat)
            if any(value != values[0] for value in values):
                differences.append(Difference(file, key, values))
    for name in ("seed", "n_images", "plane", "n_clusters"):
        values = tuple(trace.attribute(name) for trace in traces)
        if len(set(values)) > 1:
            differences.append(Difference("run", name, values))
    # A mapping repeats its policy where the policy leaves no choice: say it once.
    policies = [(each.key, each.values) for each in differences if each.file == "policy_file"]
    return [each for each in differences if each.file != "mapping_file" or (each.key, each.values) not in policies]


def _tell_apart(flat: Sequence[dict[str, Any]], reports: Sequence[Report]) -> None:
    """Write fingerprints behind the chips' names where one name stands for different chips."""
    chips = [report.chip for report in reports if report.chip]
    if len({chip.name for chip in chips}) < len({chip.label for chip in chips}):
        for keys, report in zip(flat, reports, strict=True):
            if report.chip:
                keys["name"] = report.chip.label


def _layer_changes(traces: Sequence[Trace], reports: Sequence[Report]) -> list[LayerChange]:
    places = [_places(trace) for trace in traces]
    shares = [
        {use.name: use.busiest_share for use in report.timing.layers} if report.timing else {} for report in reports
    ]
    names = dict.fromkeys(name for each in places for name in each)
    return [
        LayerChange(
            layer=name,
            n_clusters=tuple(len(each[name]) if name in each else None for each in places),
            busiest_share=tuple(each.get(name) for each in shares),
            moved=tuple(each.get(name) != places[0].get(name) for each in places),
        )
        for name in names
    ]


def _places(trace: Trace) -> dict[str, frozenset[int]]:
    """Return the clusters of each layer, in network order."""
    site, layer = (trace["actors"][name].astype(np.int64) for name in ("site", "layer"))
    on_cluster = site < int(trace.attribute("n_clusters"))
    names = trace["layers"]["name"].tolist()
    return {name: frozenset(site[on_cluster & (layer == i)].tolist()) for i, name in enumerate(names)}
