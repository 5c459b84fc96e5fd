"""Finished tokens that wait to be sent or are on their way, over time, by the layer that takes them."""

import numpy as np
from numpy.typing import NDArray

from traces.analysis.network import N_TIME_BINS, spread
from traces.analysis.records import Records
from traces.analysis.throughput import Throughput
from traces.reader import Trace
from traces.schema import ActorKind

RESULTS = "results"


def tokens_waiting(
    trace: Trace, records: Records, throughput: Throughput, n_queues: int
) -> dict[str, NDArray[np.float64]]:
    """Return the mean number of tokens in each time bin for the ``n_queues`` fullest queues, the fullest first.

    A token counts from the moment it is made until it is in its consumer's L1. Images in the HBM are left out.
    """
    actors, channels, transfers = trace["actors"], trace["channels"], records.transfers
    layer, names = actors["layer"].astype(np.int64), trace["layers"]["name"]
    counts = np.diff(transfers.starts) > 0
    counts &= actors["kind"][channels["producer"]] != ActorKind.INPUT
    taker = layer[channels["consumer"]]
    scale = N_TIME_BINS / throughput.makespan_ps
    waiting: dict[str, NDArray[np.float64]] = {}
    for channel in np.flatnonzero(counts).tolist():
        ready = (transfers.rows(channel, "ready_ps") - throughput.begin_ps) * scale
        end = (transfers.rows(channel, "end_ps") - throughput.begin_ps) * scale
        name = str(names[taker[channel]]) if taker[channel] >= 0 else RESULTS
        waiting[name] = waiting.get(name, np.zeros(N_TIME_BINS)) + spread(ready, end, end - ready, N_TIME_BINS)
    fullest = sorted(waiting, key=lambda name: -waiting[name].mean())[:n_queues]
    return {name: waiting[name] for name in fullest}
