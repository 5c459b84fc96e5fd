"""When images were finished, and what rate that is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traces.errors import TraceError
from traces.reader import Trace
from traces.schema import ActorKind

PS_PER_S = 1e12


@dataclass(frozen=True, slots=True)
class Throughput:
    """Rates and latencies of a batch.

    Attributes:
        begin_ps: start of the first firing.
        makespan_ps: from there to the completion of the last image.
        images_per_second: images over the makespan, filling and draining included.
        images_per_second_steady: (n - 1) over the time from the first image's completion to the last's; None for one
            image.
        first_image_latency_ps: from the first image's first firing to its completion.
        mean_latency_ps: from an image's first firing to its completion, mean over the batch.
    """

    begin_ps: int
    makespan_ps: int
    images_per_second: float
    images_per_second_steady: float | None
    first_image_latency_ps: int
    mean_latency_ps: float


def completions_ps(trace: Trace) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, per image, the time of its first firing and of its completion.

    Raises:
        TraceError: the timing plane did not run, or an image never came out or was not in the batch.
    """
    if not trace.has_timing:
        raise TraceError(f"{trace.path}: the run had no timing plane, so there are no times")
    n_images = int(trace.attribute("n_images"))
    begun = np.full(n_images, np.iinfo(np.int64).max)
    done = np.full(n_images, -1)
    is_output = trace["actors"]["kind"] == ActorKind.OUTPUT
    for actor, image, start_ps, end_ps in trace["firings"].chunks("actor", "image", "start_ps", "end_ps"):
        if int(image.max()) >= n_images:
            raise TraceError(f"{trace.path}: a firing of image {image.max()}, though the run had {n_images} images")
        np.minimum.at(begun, image, start_ps)
        finishing = is_output[actor]
        np.maximum.at(done, image[finishing], end_ps[finishing])
    if (missing := np.flatnonzero(done < 0)).size:
        raise TraceError(f"{trace.path}: no output firing of image {missing[0]}, though the run had {n_images} images")
    return begun, done


def measure_throughput(trace: Trace) -> Throughput:
    """Work out rates and latencies from the firings."""
    begun, done = completions_ps(trace)
    first, last = int(begun.min()), int(done.max())
    n_images = len(done)
    between = int(done.max() - done.min())
    return Throughput(
        begin_ps=first,
        makespan_ps=last - first,
        images_per_second=n_images * PS_PER_S / (last - first),
        images_per_second_steady=(n_images - 1) * PS_PER_S / between if between else None,
        first_image_latency_ps=int(done[0] - begun[0]),
        mean_latency_ps=float((done - begun).mean()),
    )
