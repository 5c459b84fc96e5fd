"""A trace for ui.perfetto.dev: clusters as tracks, transfers as flows, ports as counters.

Perfetto counts in nanoseconds; our picoseconds are rounded down to them.
"""

from pathlib import Path
from typing import IO, Any

from traces.errors import TraceError
from traces.export import needing
from traces.export.slices import UNIT_NAMES, Counter, Slices
from traces.schema import Resource

_PS_PER_NS = 1000
_SEQUENCE_ID = 1


def write_perfetto(slices: Slices, counters: list[Counter], path: Path) -> None:
    """Write a Perfetto trace.

    Raises:
        TraceError: the perfetto package is not installed, or the file cannot be written.
    """
    with needing("a trace for Perfetto"):
        from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder
    try:
        with path.open("wb") as file:
            _Writer(file, StreamingTraceProtoBuilder(file), slices).write(counters)
    except OSError as error:
        raise TraceError(f"{path}: the trace cannot be written: {error.strerror}; choose another place") from None


class _Writer:
    def __init__(self, file: IO[bytes], builder: Any, slices: Slices) -> None:  # noqa: ANN401 (the package has no types)
        from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent

        self._file, self._builder, self._slices, self._event = file, builder, slices, TrackEvent
        self._last_track = 0

    def write(self, counters: list[Counter]) -> None:
        sites: dict[int, int] = {}
        for site, resource in self._slices.units:
            if site not in sites:
                sites[site] = self._add_track(self._slices.site_name(site))
            track = self._add_track(UNIT_NAMES[Resource(resource)], sites[site])
            self._write_firings(track, (site, resource))
        if counters:
            group = self._add_track("busiest ports (% of their width)")
            for counter in counters:
                self._write_counter(self._add_track(counter.name, group, is_counter=True), counter)

    def _add_track(self, name: str, parent: int | None = None, *, is_counter: bool = False) -> int:
        packet = self._builder.create_packet()
        self._last_track += 1
        packet.track_descriptor.uuid = self._last_track
        packet.track_descriptor.name = name
        if parent is not None:
            packet.track_descriptor.parent_uuid = parent
        if is_counter:
            packet.track_descriptor.counter.unit_name = "%"
        self._builder.write_packet(packet)
        return self._last_track

    def _write_firings(self, track: int, unit: tuple[int, int]) -> None:
        event = self._event
        for each in self._slices.of_unit(unit):
            is_instant = each.begin_ps == each.end_ps
            packet = self._packet(each.begin_ps, track, event.TYPE_INSTANT if is_instant else event.TYPE_SLICE_BEGIN)
            packet.track_event.name = self._slices.names[each.actor]
            packet.track_event.flow_ids.extend(each.flows_out)
            packet.track_event.terminating_flow_ids.extend(each.flows_in)
            self._builder.write_packet(packet)
            if not is_instant:
                self._builder.write_packet(self._packet(each.end_ps, track, event.TYPE_SLICE_END))

    def _write_counter(self, track: int, counter: Counter) -> None:
        for time_ps, percent in zip(counter.time_ps.tolist(), counter.percent.tolist(), strict=True):
            packet = self._packet(time_ps, track, self._event.TYPE_COUNTER)
            packet.track_event.double_counter_value = percent
            self._builder.write_packet(packet)

    def _packet(self, time_ps: int, track: int, kind: int) -> Any:  # noqa: ANN401
        packet = self._builder.create_packet()
        packet.timestamp = time_ps // _PS_PER_NS
        packet.trusted_packet_sequence_id = _SEQUENCE_ID
        packet.track_event.type = kind
        packet.track_event.track_uuid = track
        return packet
