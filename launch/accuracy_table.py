"""Accuracies with confidence intervals, as numbers, JSON and text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.markup import escape
from scipy.stats import binomtest, t

from launch.accuracy_cases import Case
from launch.accuracy_workload import Prepared, Score
from launch.tables import new_table, render

CONFIDENCE = 0.95
#: With fewer seeds Student's intervals are so wide that they say little.
_FEW_SEEDS = 5


@dataclass(frozen=True, slots=True)
class Point:
    """The accuracy of one case.

    Attributes:
        group, label, x: as in ``Case``.
        accuracies: of every seed.
        mean: over seeds.
        half_width: half the width of the confidence interval of the mean over seeds (Student's t); 0 where the seed
            changes nothing, None for a single seed.
        clipped_share: share of the conversions that met a sum beyond their ADC's range; None for ideal crossbars.
    """

    group: str
    label: str
    x: float | None
    accuracies: tuple[float, ...]
    mean: float
    half_width: float | None
    clipped_share: float | None

    @property
    def errors(self) -> tuple[float, float]:
        """How far the interval reaches below and above the mean; no accuracy is below 0 or above 1."""
        half_width = self.half_width or 0.0
        return min(half_width, self.mean), min(half_width, 1 - self.mean)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """All accuracies of a run file.

    Attributes:
        float_accuracy: of the floating-point network in onnxruntime, None if there is none.
        int8_accuracy: of the quantised network in onnxruntime.
        int8_interval: what a test set of so few images can tell of it (Wilson's interval).
    """

    name: str
    n_images: int
    first_seed: int
    float_accuracy: float | None
    int8_accuracy: float
    int8_interval: tuple[float, float]
    points: tuple[Point, ...]

    def groups(self) -> dict[str, list[Point]]:
        """Return the points by group, both in their order."""
        groups: dict[str, list[Point]] = {}
        for point in self.points:
            groups.setdefault(point.group, []).append(point)
        return groups

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; accuracies as shares of 1."""
        return {
            "name": self.name,
            "n_images": self.n_images,
            "first_seed": self.first_seed,
            "confidence": CONFIDENCE,
            "float_accuracy": self.float_accuracy,
            "int8_accuracy": self.int8_accuracy,
            "int8_interval": list(self.int8_interval),
            "points": [asdict(point) for point in self.points],
        }


def summarize(
    name: str, cases: Sequence[Case], scores: Sequence[Sequence[Score]], prepared: Prepared, first_seed: int
) -> Accuracy:
    """Turn counts of right answers into accuracies.

    Args:
        name: of the run file.
        cases: what was measured.
        scores: what came out, by case and seed.
        prepared: has the test set and the references.
        first_seed: the first of the seeds, which follow one another.
    """
    n_images = len(prepared.test_set.labels)
    interval = binomtest(prepared.n_right_int8, n_images).proportion_ci(CONFIDENCE, "wilson")
    n_right_float = prepared.n_right_float
    return Accuracy(
        name=name,
        n_images=n_images,
        first_seed=first_seed,
        float_accuracy=None if n_right_float is None else n_right_float / n_images,
        int8_accuracy=prepared.n_right_int8 / n_images,
        int8_interval=(float(interval.low), float(interval.high)),
        points=tuple(_point(case, of_case, n_images) for case, of_case in zip(cases, scores, strict=True)),
    )


def _point(case: Case, scores: Sequence[Score], n_images: int) -> Point:
    accuracies = np.array([score.n_right for score in scores]) / n_images
    n_conversions = sum(score.n_conversions for score in scores)
    clipped_share = sum(score.n_clipped for score in scores) / n_conversions if n_conversions else None
    half_width: float | None = None
    if not case.is_random:
        half_width = 0.0
    elif len(accuracies) > 1:
        error = accuracies.std(ddof=1) / np.sqrt(len(accuracies))
        half_width = float(t.ppf(0.5 + CONFIDENCE / 2, len(accuracies) - 1) * error)
    values = tuple(float(accuracy) for accuracy in accuracies)
    return Point(case.group, case.label, case.x, values, float(accuracies.mean()), half_width, clipped_share)


def accuracy_to_text(accuracy: Accuracy) -> str:
    """Return a table for people: accuracies in percent, differences to int8 in points."""
    title = f"{escape(accuracy.name)}: accuracy over {accuracy.n_images} images, {CONFIDENCE:.0%} interval over seeds"
    table = new_table(title)
    table.add_column("models")
    table.add_column("case")
    for heading in ("accuracy", "+-", "against int8", "clipped", "seeds"):
        table.add_column(heading, justify="right")
    if accuracy.float_accuracy is not None:
        difference = _points(accuracy.float_accuracy - accuracy.int8_accuracy)
        table.add_row("onnxruntime", "float", f"{accuracy.float_accuracy:.2%}", "", difference, "", "")
    table.add_row("onnxruntime", "int8", f"{accuracy.int8_accuracy:.2%}", "", "", "", "", end_section=True)
    for group, points in accuracy.groups().items():
        for point in points:
            last = point is points[-1]
            clipped = "" if point.clipped_share is None else f"{point.clipped_share:.3%}"
            table.add_row(
                escape(group) if point is points[0] else "", escape(point.label), f"{point.mean:.2%}", _interval(point),
                _points(point.mean - accuracy.int8_accuracy), clipped, str(len(point.accuracies)), end_section=last,
            )  # fmt: skip
    low, high = accuracy.int8_interval
    note = f"{accuracy.n_images} images place the int8 accuracy between {low:.2%} and {high:.2%} ({CONFIDENCE:.0%})."
    n_seeds = max(len(point.accuracies) for point in accuracy.points)
    if n_seeds < _FEW_SEEDS:
        seeds = "1 seed gives no intervals" if n_seeds == 1 else f"Intervals from {n_seeds} seeds are rough and wide"
        note += f"\n{seeds}: use {_FEW_SEEDS} or more (--seeds)."
    return f"{render(table)}\n{note}"


def _interval(point: Point) -> str:
    """Write half the width of an interval in points, or how far it reaches down and up where 0 or 100 % cut it."""
    if point.half_width is None:
        return ""
    below, above = point.errors
    if below == above:
        return f"{100 * below:.2f}"
    return f"-{100 * below:.2f} +{100 * above:.2f}"


def _points(difference: float) -> str:
    return f"{round(100 * difference, 2) + 0.0:+.2f}"  # never -0.00
