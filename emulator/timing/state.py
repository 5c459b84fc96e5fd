"""The state of the compiled timing engine as flat arrays, and how it begins."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.program.lower import Records, Tables, record_type
from emulator.timing.records import FIRING_COLUMNS, TRANSFER_COLUMNS

#: Later than anything that happens; far from the largest integer, so that latencies can be added to it.
NEVER = 1 << 62
#: Integers per event: time, place and kind, identity, three arguments.
EVENT_FIELDS = 6

# What ``State.counts`` counts.
N_HEAP, N_OUTBOX, N_FIRINGS, N_TRANSFERS, NOW, FURTHEST, N_EVENTS, STARTED, LIMIT, PAUSE_AT, PATIENCE = range(11)

#: Per actor: firings ended, firings in the whole run, is it firing, since when, and why it could not start earlier.
ACTOR_STATE = record_type("fired target busy started_ps cause cause_channel")
#: Per channel, tokens counted since the start. At the producer: ``slots_used`` in its buffer, of which ``unsent`` lack
#: credit; ``made``, ``sent`` and ``acked``; ``credit`` is room at the consumer not yet promised to a token, which one
#: last lacked at ``lacked_ps``. At the consumer: ``arrived``. Fields ending in ``_bytes`` count within the token under
#: way.
CHANNEL_STATE = record_type(
    "credit unsent slots_used made sent sent_bytes acked acked_bytes n_bursts arrived arrived_bytes lacked_ps"
)
#: Per DMA queue: what it does, bursts outstanding, head and length of its part of the ring.
QUEUE_STATE = record_type("activity n_outstanding head n_waiting")
#: Per port: busy until, and totals.
PORT_STATE = record_type("free_ps busy_ps n_bytes n_bursts")


class State(NamedTuple):
    """Everything that changes while the engine runs."""

    counts: NDArray[np.int64]
    heap: NDArray[np.int64]  # (capacity, EVENT_FIELDS)
    outbox: NDArray[np.int64]  # (capacity, EVENT_FIELDS), events for places of other engines
    scratch: NDArray[np.int64]  # (EVENT_FIELDS,), the event being put together
    current: NDArray[np.int64]  # (EVENT_FIELDS,), the event being handled
    owned: NDArray[np.bool_]  # per place
    grant_ps: NDArray[np.int64]  # per channel: every credit that comes from another rank before this is known
    answered_ps: NDArray[np.int64]  # per channel: the same for acknowledgements
    answer_ps: NDArray[np.int64]  # per DMA queue: the same for those of bursts that are under way
    relied_ps: NDArray[np.int64]  # per DMA queue: until when something here went by that
    entry_start: NDArray[np.int64]  # per channel: where its ports begin in echo_ps, -1 if it stays among ours
    echo_ps: NDArray[np.int64]  # how soon a burst sent out to such a port can come back, (n_entries,)
    answer_echo_ps: NDArray[np.int64]  # how soon it can be acknowledged here, (n_entries,)
    actors: Records
    channels: Records
    queues: Records
    ports: Records
    held: NDArray[np.int64]  # (n_sites, 3): 1 + the actor whose firing holds the resource, 0 if none
    ring: NDArray[np.int64]  # channels waiting for their DMA queue
    ready_ps: NDArray[np.int64]  # per slot of each channel: when the token was made
    depart_ps: NDArray[np.int64]  # per slot of each channel: when its first burst left
    firings: NDArray[np.int64]  # (capacity, 7)
    transfers: NDArray[np.int64]  # (capacity, 6)


def initial_state(tables: Tables, n_images: int, record_capacity: int) -> State:
    """Return the state before anything has fired: empty channels, all room granted.

    Args:
        tables: the lowered program.
        n_images: images in the batch.
        record_capacity: records of each table that are held before the engine pauses to hand them over.
    """
    actors = np.zeros(len(tables.actors), ACTOR_STATE)
    actors["target"] = n_images * tables.actors["n_firings"]
    actors["cause_channel"] = -1
    channels = np.zeros(len(tables.channels), CHANNEL_STATE)
    channels["credit"] = tables.channels["capacity"]
    counts = np.zeros(11, np.int64)
    counts[PAUSE_AT] = counts[PATIENCE] = NEVER
    slots = int(tables.channels["slots"][tables.channels["producer"] >= 0].sum())
    return State(
        counts=counts,
        heap=np.empty((4096, EVENT_FIELDS), np.int64),
        outbox=np.empty((0, EVENT_FIELDS), np.int64),
        scratch=np.empty(EVENT_FIELDS, np.int64),
        current=np.empty(EVENT_FIELDS, np.int64),
        owned=tables.place_owner == tables.rank,
        grant_ps=np.full(len(tables.channels), NEVER),
        answered_ps=np.full(len(tables.channels), NEVER),
        answer_ps=np.full(len(tables.queues), NEVER),
        relied_ps=np.full(len(tables.queues), -1),
        entry_start=np.full(len(tables.channels), -1),
        echo_ps=np.empty(0, np.int64),
        answer_echo_ps=np.empty(0, np.int64),
        actors=actors,
        channels=channels,
        queues=np.zeros(len(tables.queues), QUEUE_STATE),
        ports=np.zeros(len(tables.ports), PORT_STATE),
        held=np.zeros((tables.n_sites, 3), np.int64),
        ring=np.zeros(int(tables.queues["ring_size"].sum()), np.int64),
        ready_ps=np.zeros(slots, np.int64),
        depart_ps=np.zeros(slots, np.int64),
        firings=np.empty((record_capacity, len(FIRING_COLUMNS)), np.int64),
        transfers=np.empty((record_capacity, len(TRANSFER_COLUMNS)), np.int64),
    )
