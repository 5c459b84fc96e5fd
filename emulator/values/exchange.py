"""Activations between ranks: one message per piece and image, non-blocking, double-buffered on both ends.

A message is a header of four int64 (magic, channel, image, payload bytes) followed by the raw array. Receives for the
next image are posted before the present one is done, so a sender finds its receiver ready. Nothing here can deadlock:
a rank waits only for what comes before it in the order (image, actor), and that order is the same on every rank.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emulator.errors import ParallelError
from emulator.memory import aligned_zeros
from emulator.parallel.comm import Comm, Request
from emulator.program.dataflow import Channel

MAGIC = 0x41494D43
HEADER_BYTES = 32
#: Messages of one channel that may be under way.
DEPTH = 2
#: Computing is interrupted for the messages under way at most this often.
_NUDGE_S = 2e-4


@dataclass(frozen=True, slots=True)
class Flow:
    """A channel that crosses ranks, with the array that travels on it for one image."""

    channel: Channel
    peer: int
    tag: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @property
    def n_bytes(self) -> int:
        """Length of a message, header included."""
        return HEADER_BYTES + int(np.prod(self.shape)) * self.dtype.itemsize


@dataclass(slots=True)
class _Lane:
    """The buffers and open requests of one flow, used in turn by successive images."""

    flow: Flow
    buffers: list[NDArray[np.uint8]]
    requests: list[Request | None] = field(default_factory=lambda: [None] * DEPTH)


@dataclass
class Traffic:
    """What a rank has sent."""

    n_messages: int = 0
    n_bytes: int = 0


class Exchange:
    """Sends and receives the activations of one rank."""

    def __init__(self, comm: Comm, outgoing: Sequence[Flow], incoming: Sequence[Flow], n_images: int) -> None:
        self._comm = comm
        self._n_images = n_images
        self._out = {flow.channel.channel_id: _lane(flow) for flow in outgoing}
        self._in = {flow.channel.channel_id: _lane(flow) for flow in incoming}
        self._under_way: deque[Request] = deque()
        self._nudge_at_s = 0.0
        self.traffic = Traffic()

    def nudge(self) -> None:
        """Let messages move on, now and then: MPI moves large ones only while both ends are inside its calls."""
        now_s = time.perf_counter()
        if not self._under_way or now_s < self._nudge_at_s:
            return
        self._nudge_at_s = now_s + _NUDGE_S
        while self._under_way and self._under_way[0].test():
            self._under_way.popleft()

    def start(self) -> None:
        """Post the receives of the first images."""
        for lane in self._in.values():
            for image in range(min(DEPTH, self._n_images)):
                self._post(lane, image)

    def send(self, channel_id: int, image: int, values: NDArray[np.generic]) -> None:
        """Post ``values`` for the channel's consumer; waits only if two earlier images are still under way."""
        lane = self._out[channel_id]
        slot = image % DEPTH
        pending = lane.requests[slot]
        if pending is not None:
            self._comm.wait(pending)
        buffer, flow = lane.buffers[slot], lane.flow
        buffer[:HEADER_BYTES].view(np.int64)[:] = (MAGIC, channel_id, image, flow.n_bytes - HEADER_BYTES)
        buffer[HEADER_BYTES:].view(flow.dtype).reshape(flow.shape)[...] = values
        request = lane.requests[slot] = self._comm.isend(buffer, flow.peer, flow.tag)
        self._under_way.append(request)
        self.traffic.n_messages += 1
        self.traffic.n_bytes += flow.n_bytes

    def receive(self, channel_id: int, image: int) -> NDArray[np.generic]:
        """Wait for the channel's array of ``image``; it stays valid until ``release``.

        Raises:
            ParallelError: the message is not the one that was due.
        """
        lane = self._in[channel_id]
        slot = image % DEPTH
        request = lane.requests[slot]
        assert request is not None
        self._comm.wait(request)
        buffer, flow = lane.buffers[slot], lane.flow
        header = tuple(int(word) for word in buffer[:HEADER_BYTES].view(np.int64))
        due = (MAGIC, channel_id, image, flow.n_bytes - HEADER_BYTES)
        if header != due:
            raise ParallelError(f"rank {flow.peer} sent (magic, channel, image, bytes) {header}, expected {due}")
        return buffer[HEADER_BYTES:].view(flow.dtype).reshape(flow.shape)

    def release(self, channel_id: int, image: int) -> None:
        """Give the buffer of ``image`` back; it waits for the image after next."""
        if image + DEPTH < self._n_images:
            self._post(self._in[channel_id], image + DEPTH)

    def finish(self) -> None:
        """Wait until everything that was sent has left."""
        open_requests = [request for lane in self._out.values() for request in lane.requests if request is not None]
        self._comm.wait(*open_requests)
        self._under_way.clear()
        for lane in self._out.values():
            lane.requests = [None] * DEPTH

    def _post(self, lane: _Lane, image: int) -> None:
        slot = image % DEPTH
        request = lane.requests[slot] = self._comm.irecv(lane.buffers[slot], lane.flow.peer, lane.flow.tag)
        self._under_way.append(request)


def _lane(flow: Flow) -> _Lane:
    return _Lane(flow, [aligned_zeros(flow.n_bytes, np.uint8) for _ in range(DEPTH)])


def flow_tags(channels: Sequence[Channel], owner_of_actor: Mapping[int, int]) -> dict[int, int]:
    """Number those channels that cross ranks within each pair of ranks: the message tag of each, by channel id."""
    counts: dict[tuple[int, int], int] = {}
    tags: dict[int, int] = {}
    for channel in channels:
        pair = owner_of_actor[channel.producer], owner_of_actor[channel.consumer]
        if pair[0] != pair[1]:
            tags[channel.channel_id] = counts[pair] = counts.get(pair, -1) + 1
    return tags
