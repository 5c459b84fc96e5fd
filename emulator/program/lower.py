"""Lower a program onto a chip's network: the flat arrays of what one rank runs of the timing plane.

Places are numbered sites first (clusters, the HBM, the drain), then ports. The *drain* is the end of the HBM to which
results go: what ends there shares nothing with what starts at the HBM, so a rank of its own may own it. Whoever owns a
place handles its events; a rank holds its own actors, and every channel that ends at or passes one of its places.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.chip.spec import Chip
from emulator.chip.topology import Routes, Topology, build_topology
from emulator.program.columns import Columns, Records, columns_of, record_type
from emulator.program.dataflow import Program

__all__ = ["Records", "Tables", "lower", "lower_program", "no_tables", "record_type", "sites_of"]

#: One row per actor; ``_start`` fields are offsets into the arrays of ``Tables`` named after them.
ACTOR = record_type("site resource n_firings duration_start in_start in_end out_start out_end")
#: One row per channel. An empty route is a channel within one site; ``return_ps`` is the latency of credits and
#: acknowledgements back to the producer; ``use_start`` points into ``need`` and ``freed``, ``made_start`` to ``made``;
#: ``slot_start`` counts the slots of the channels before. An end that is not this rank's has actor -1.
CHANNEL = record_type(
    "producer consumer producer_site consumer_site capacity n_tokens token_start use_start made_start slots "
    "slot_start route_start route_end return_ps queue"
)
#: One row per DMA queue: its site, its limit on outstanding bursts, its part of the ring of waiting channels.
QUEUE = record_type("site limit ring_start ring_size")
#: One row per port: width in bytes per cycle.
PORT = record_type("width latency_ps")

#: Channels whose routes are worked out at once.
CHUNK = 1 << 15


class Tables(NamedTuple):
    """Everything static that the timing engine of one rank reads.

    All integers are 64 bit wide: one type means one compiled version of every function of the engine. Actors, channels
    and places are numbered anew on every rank, in the order of their ids in the program and on the chip, so that what
    is ordered by content is ordered the same everywhere. A DMA queue belongs to the site that sends: one per cluster
    for its writes, and at the HBM one per reading cluster, for the limit on outstanding reads is the reader's.
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
    actor_id: NDArray[np.int64]  # ids in the program and on the chip, rising
    channel_id: NDArray[np.int64]
    place_id: NDArray[np.int64]
    place_owner: NDArray[np.int64]  # rank of each place
    rank: int  # whose tables these are
    n_chip_sites: int  # sites of the chip: places from here on are ports
    cycle_ps: int
    max_burst_bytes: int
    dma_program_ps: int

    @property
    def n_sites(self) -> int:
        """Sites that these tables know."""
        return len(self.site_start) - 1

    @property
    def n_places(self) -> int:
        """Sites and ports that these tables know."""
        return self.n_sites + len(self.ports)

    @property
    def port_id(self) -> NDArray[np.int64]:
        """Ids of the ports in the topology."""
        return self.place_id[self.n_sites :] - self.n_chip_sites


def no_tables() -> Tables:
    """Return the tables of a rank that has nothing to do: they have the types of all others."""
    none = np.empty(0, np.int64)
    tables: dict[str, Any] = dict.fromkeys(Tables._fields, none)
    tables |= dict.fromkeys(Tables._fields[-5:], 1)
    records = {"actors": ACTOR, "channels": CHANNEL, "queues": QUEUE, "ports": PORT}
    tables |= {name: np.empty(0, kind) for name, kind in records.items()} | {"site_start": np.zeros(1, np.int64)}
    return Tables(**tables)


def lower_program(program: Program, chip: Chip) -> Tables:
    """Lower a whole program for the only rank."""
    return lower(columns_of(program), chip)


def lower(columns: Columns, chip: Chip, owners: NDArray[np.int64] | None = None, rank: int = 0) -> Tables:
    """Lower a rank's part of a program onto ``chip``; routes come from the chip's topology.

    Args:
        columns: the program.
        chip: where it runs.
        owners: rank of every place of the chip (see ``place_owners``); by default rank 0 owns all.
        rank: the rank to lower for.
    """
    topology = build_topology(chip)
    n_sites = columns.n_clusters + 2
    if owners is None:
        owners = np.zeros(n_sites + len(topology.ports), np.int64)
    sites = sites_of(columns)
    kept, routes = _touched(columns, sites, topology, owners, rank)
    actor_id = np.flatnonzero(owners[sites] == rank)
    channels = _channels(columns, sites, kept, routes, actor_id)
    ports = np.unique(routes.port)
    ends = np.concatenate((channels["producer_site"], channels["consumer_site"], sites[actor_id]))
    place_id = np.concatenate((np.unique(ends), n_sites + ports))
    widths, latencies = topology.widths_and_latencies(ports)
    port_table = _records(PORT, len(ports), width=widths, latency_ps=latencies * chip.cycle_ps)
    channels["return_ps"] = _sums(port_table["latency_ps"][np.searchsorted(ports, routes.port)], routes.start)
    queues = _dma_queues(channels, columns.n_clusters, chip)
    actors, in_channel, out_channel = _actors(columns, sites, actor_id, channels)
    known_sites = place_id[: len(place_id) - len(ports)]
    for records in (actors, queues):
        records["site"] = np.searchsorted(known_sites, records["site"])
    for end in ("producer_site", "consumer_site"):
        channels[end] = np.searchsorted(known_sites, channels[end])
    by_site = np.lexsort((-actor_id, actors["site"]))
    return Tables(
        actors=actors,
        channels=channels,
        queues=queues,
        ports=port_table,
        duration_ps=columns.duration_ps,
        in_channel=in_channel,
        out_channel=out_channel,
        site_start=_starts(actors["site"], len(known_sites)),
        site_actor=by_site.astype(np.int64),
        token_bytes=columns.token_bytes,
        need=columns.need,
        freed=columns.freed,
        made=columns.made,
        route_port=np.searchsorted(ports, routes.port).astype(np.int64),
        actor_id=actor_id,
        channel_id=kept,
        place_id=place_id,
        place_owner=owners[place_id],
        rank=rank,
        n_chip_sites=n_sites,
        cycle_ps=chip.cycle_ps,
        max_burst_bytes=chip.cluster.dma.max_burst_bytes,
        dma_program_ps=chip.cluster.dma.program_cycles * chip.cycle_ps,
    )


def sites_of(columns: Columns) -> NDArray[np.int64]:
    """Return the site of every actor, with actors that only take at the HBM moved to the drain behind it."""
    hbm = columns.n_clusters
    sites, channels = columns.actors["site"].copy(), columns.channels
    is_drain = (sites == hbm) & (columns.actors["resource"] == 0)
    is_drain[channels["producer"]] = False
    is_drain[channels["consumer"][sites[channels["producer"]] == hbm]] = False
    sites[is_drain] = hbm + 1
    return sites


def routes_of(columns: Columns, sites: NDArray[np.int64], topology: Topology, chosen: NDArray[np.int64]) -> Routes:
    """Return the routes of some channels."""
    hbm, rows = columns.n_clusters, columns.channels[chosen]
    sources, targets = (np.minimum(sites[rows[end]], hbm) for end in ("producer", "consumer"))
    return topology.routes(sources, targets, sources == hbm)


def _touched(
    columns: Columns, sites: NDArray[np.int64], topology: Topology, owners: NDArray[np.int64], rank: int
) -> tuple[NDArray[np.int64], Routes]:
    """Find the channels that end at or pass a place of ``rank``, and their routes."""
    kept: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    lengths: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
    ports: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    for begin in range(0, len(columns.channels), CHUNK):
        chosen = np.arange(begin, min(begin + CHUNK, len(columns.channels)))
        rows, routes = columns.channels[chosen], routes_of(columns, sites, topology, chosen)
        is_mine = (owners[sites[rows["producer"]]] == rank) | (owners[sites[rows["consumer"]]] == rank)
        is_mine |= _sums((owners[columns.n_clusters + 2 + routes.port] == rank).astype(np.int64), routes.start) > 0
        hops = np.diff(routes.start)
        kept.append(chosen[is_mine])
        lengths.append(hops[is_mine])
        ports.append(routes.port[np.repeat(is_mine, hops)])
    return np.concatenate(kept), Routes(np.cumsum(np.concatenate(lengths)), np.concatenate(ports))


def _channels(
    columns: Columns, sites: NDArray[np.int64], kept: NDArray[np.int64], routes: Routes, actor_id: NDArray[np.int64]
) -> Records:
    """Return the rows of a rank's channels, with sites of the chip, ``return_ps`` and ``queue`` still open."""
    rows = columns.channels[kept]
    channels = np.zeros(len(kept), CHANNEL)
    for field in ("capacity", "slots", "n_tokens", "token_start", "use_start", "made_start"):
        channels[field] = rows[field]
    for end in ("producer", "consumer"):
        channels[f"{end}_site"] = sites[rows[end]]
        position = np.minimum(np.searchsorted(actor_id, rows[end]), max(len(actor_id) - 1, 0))
        known = actor_id[position] == rows[end] if len(actor_id) else np.zeros(len(rows), np.bool_)
        channels[end] = np.where(known, position, -1)
    channels["route_start"], channels["route_end"] = routes.start[:-1], routes.start[1:]
    held = np.where(channels["producer"] >= 0, rows["slots"], 0)
    channels["slot_start"] = np.cumsum(held) - held
    return channels


def _actors(
    columns: Columns, sites: NDArray[np.int64], actor_id: NDArray[np.int64], channels: Records
) -> tuple[Records, NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of a rank's actors, and the channels into and out of them, grouped by actor."""
    rows = columns.actors[actor_id]
    actors = np.zeros(len(actor_id), ACTOR)
    actors["site"] = sites[actor_id]
    for field in ("resource", "n_firings", "duration_start"):
        actors[field] = rows[field]
    grouped = []
    for end, prefix in (("consumer", "in"), ("producer", "out")):
        here = np.flatnonzero(channels[end] >= 0)
        start = _starts(channels[end][here], len(actors))
        actors[f"{prefix}_start"], actors[f"{prefix}_end"] = start[:-1], start[1:]
        grouped.append(here[np.argsort(channels[end][here], kind="stable")].astype(np.int64))
    return actors, grouped[0], grouped[1]


def _dma_queues(channels: Records, hbm: int, chip: Chip) -> Records:
    """Return the DMA queues of the sites that send, and note the queue of each channel, -1 for those sent elsewhere."""
    dma = chip.cluster.dma
    channels["queue"] = -1
    mine = np.flatnonzero(channels["producer"] >= 0)
    source, target = channels["producer_site"][mine], channels["consumer_site"][mine]
    keys = source * (hbm + 3) + np.where(source == hbm, np.minimum(target, hbm) + 1, 0)
    distinct, number = np.unique(keys, return_inverse=True)
    channels["queue"][mine] = number
    size = np.bincount(number, weights=channels["slots"][mine], minlength=len(distinct)).astype(np.int64)
    site = distinct // (hbm + 3)
    limit = np.where(site == hbm, dma.max_outstanding_reads, dma.max_outstanding_writes)
    return _records(QUEUE, len(distinct), site=site, limit=limit, ring_start=np.cumsum(size) - size, ring_size=size)


def _records(dtype: np.dtype[np.void], n_rows: int, **columns: NDArray[np.int64]) -> Records:
    rows = np.zeros(n_rows, dtype)
    for name, values in columns.items():
        rows[name] = values
    return rows


def _starts(groups: NDArray[np.int64], n_groups: int) -> NDArray[np.int64]:
    """Return where each group starts once the members are sorted by group, (n_groups + 1,)."""
    return np.concatenate(([0], np.cumsum(np.bincount(groups, minlength=n_groups)))).astype(np.int64)


def _sums(values: NDArray[np.int64], start: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of each stretch ``start[i] : start[i + 1]``."""
    total = np.concatenate(([0], np.cumsum(values)))
    return np.asarray(total[start[1:]] - total[start[:-1]], np.int64)
