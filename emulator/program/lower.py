"""Lower a program onto a chip's network into the flat arrays that the timing plane runs on."""

from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.chip.spec import Chip
from emulator.chip.topology import build_topology
from emulator.program.dataflow import Program
from emulator.program.token_game import firings_with_token


def record_type(fields: str) -> np.dtype[np.void]:
    """Return a record type of 64-bit integers with the given field names."""
    return np.dtype([(field, np.int64) for field in fields.split()], align=True)


#: One row per actor; ``_start`` fields are offsets into the arrays of ``Tables`` named after them.
ACTOR = record_type("site resource n_firings duration_start in_start in_end out_start out_end")
#: One row per channel. An empty route is a channel within one site; ``return_ps`` is the latency of credits and
#: acknowledgements back to the producer; ``use_start`` points into ``need`` and ``freed``, ``made_start`` to ``made``;
#: ``slot_start`` counts the slots of the channels before.
CHANNEL = record_type(
    "producer consumer producer_site consumer_site capacity n_tokens token_start use_start made_start slots "
    "slot_start route_start route_end return_ps queue"
)
#: One row per DMA queue: its site, its limit on outstanding bursts, its part of the ring of waiting channels.
QUEUE = record_type("site limit ring_start ring_size")
#: One row per port: width in bytes per cycle.
PORT = record_type("width latency_ps")

Records = NDArray[np.void]


class Tables(NamedTuple):
    """Everything static that the timing engine reads.

    All integers are 64 bit wide: one type means one compiled version of every function of the engine. Sites are
    clusters, then the HBM. A DMA queue belongs to the site that sends: one per cluster for its writes, and at the HBM
    one per reading cluster, for the limit on outstanding reads is the reader's.
    """

    actors: Records  # ACTOR
    channels: Records  # CHANNEL
    queues: Records  # QUEUE
    ports: Records  # PORT
    duration_ps: NDArray[np.int64]
    in_channel: NDArray[np.int64]
    out_channel: NDArray[np.int64]
    site_start: NDArray[np.int64]  # (n_sites + 1,), into site_actor
    site_actor: NDArray[np.int64]  # later actors first: they drain the pipeline
    token_bytes: NDArray[np.int64]
    need: NDArray[np.int64]
    freed: NDArray[np.int64]
    made: NDArray[np.int64]  # per firing of a channel's producer: 1 if it makes a token for the channel
    route_port: NDArray[np.int64]
    cycle_ps: int
    max_burst_bytes: int
    dma_program_ps: int

    @property
    def n_sites(self) -> int:
        """Clusters and the HBM; places are numbered sites first, then ports."""
        return len(self.site_start) - 1

    @property
    def n_places(self) -> int:
        """Sites and ports."""
        return self.n_sites + len(self.ports)


class _TablePool:
    """Concatenates groups of equally long integer tables, storing equal groups once."""

    def __init__(self, n_columns: int) -> None:
        self.starts: list[int] = []
        self._offsets: dict[tuple[tuple[int, ...], ...], int] = {}
        self._columns: list[list[int]] = [[] for _ in range(n_columns)]

    @property
    def columns(self) -> list[NDArray[np.int64]]:
        return [_array(column) for column in self._columns]

    def add(self, *tables: tuple[int, ...]) -> None:
        if tables not in self._offsets:
            self._offsets[tables] = len(self._columns[0])
            for column, table in zip(self._columns, tables, strict=True):
                column.extend(table)
        self.starts.append(self._offsets[tables])


def lower_program(program: Program, chip: Chip) -> Tables:
    """Lower ``program`` onto ``chip``; routes come from the chip's topology."""
    topology = build_topology(chip)
    actors, channels, cycle_ps = program.actors, program.channels, chip.cycle_ps
    durations, tokens, uses, made = _TablePool(1), _TablePool(1), _TablePool(2), _TablePool(1)
    for actor in actors:
        durations.add(actor.durations_ps)
    for channel in channels:
        tokens.add(channel.token_bytes)
        uses.add(channel.need, channel.freed)
        made.add(tuple(map(int, firings_with_token(program, channel))))
    sites = [(actors[c.producer].site, actors[c.consumer].site) for c in channels]
    routes = [topology.route(s, t, "read" if s == program.hbm_site else "write") for s, t in sites]
    route_ends = list(accumulate((len(route) for route in routes), initial=0))
    slot_starts = list(accumulate((c.slots for c in channels), initial=0))
    queues, queue_of = _dma_queues(program, chip, sites)
    in_start, in_channel = _group(len(actors), ((c.consumer, c.channel_id) for c in channels))
    out_start, out_channel = _group(len(actors), ((c.producer, c.channel_id) for c in channels))
    site_start, site_actor = _group(program.n_clusters + 1, ((a.site, a.actor_id) for a in reversed(actors)))
    fans = zip(in_start, in_start[1:], out_start, out_start[1:], strict=False)
    return Tables(
        actors=_records(
            ACTOR,
            (
                (a.site, a.resource, a.n_firings, start, *fan)
                for a, start, fan in zip(actors, durations.starts, fans, strict=False)
            ),
        ),
        channels=_records(
            CHANNEL,
            (
                (
                    c.producer,
                    c.consumer,
                    *site_pair,
                    c.capacity,
                    c.n_tokens,
                    tokens.starts[i],
                    uses.starts[i],
                    made.starts[i],
                    c.slots,
                    slot_starts[i],
                    route_ends[i],
                    route_ends[i + 1],
                    topology.latency_cycles(*reversed(site_pair)) * cycle_ps,
                    queue_of[i],
                )
                for i, (c, site_pair) in enumerate(zip(channels, sites, strict=True))
            ),
        ),
        queues=queues,
        ports=_records(PORT, ((p.width_bytes_per_cycle, p.latency_cycles * cycle_ps) for p in topology.ports)),
        duration_ps=durations.columns[0],
        in_channel=in_channel,
        out_channel=out_channel,
        site_start=site_start,
        site_actor=site_actor,
        token_bytes=tokens.columns[0],
        need=uses.columns[0],
        freed=uses.columns[1],
        made=made.columns[0],
        route_port=_array(port for route in routes for port in route),
        cycle_ps=cycle_ps,
        max_burst_bytes=chip.cluster.dma.max_burst_bytes,
        dma_program_ps=chip.cluster.dma.program_cycles * cycle_ps,
    )


def _dma_queues(program: Program, chip: Chip, sites: list[tuple[int, int]]) -> tuple[Records, list[int]]:
    """Return the DMA queues and the queue of each channel."""
    dma = chip.cluster.dma
    keys = [(s, t) if s == program.hbm_site else (s, -1) for s, t in sites]
    numbers = {key: i for i, key in enumerate(sorted(set(keys)))}
    ring_sizes = [0] * len(numbers)
    for key, channel in zip(keys, program.channels, strict=True):
        ring_sizes[numbers[key]] += channel.slots
    ring_starts = accumulate(ring_sizes, initial=0)
    rows = (
        (site, dma.max_outstanding_reads if site == program.hbm_site else dma.max_outstanding_writes, start, size)
        for (site, _), start, size in zip(numbers, ring_starts, ring_sizes, strict=False)
    )
    return _records(QUEUE, rows), [numbers[key] for key in keys]


def _group(n_groups: int, members: Iterable[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Turn (group, member) pairs into offsets and members, keeping the order within a group."""
    lists: list[list[int]] = [[] for _ in range(n_groups)]
    for group, member in members:
        lists[group].append(member)
    return _array(accumulate(map(len, lists), initial=0)), _array(member for each in lists for member in each)


def _array(values: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(values, np.int64)


def _records(dtype: np.dtype[np.void], rows: Iterable[tuple[int, ...]]) -> Records:
    return np.array(list(rows), dtype)
