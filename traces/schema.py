"""The layout of a trace, as data: ``SCHEMA.md`` explains it, tests hold the two together."""

from dataclasses import dataclass
from enum import IntEnum

SCHEMA_NAME = "aimc-trace"
#: Grows when something is added. What is there is never given another meaning.
SCHEMA_VERSION = 2

#: Records per chunk of a streamed column.
CHUNK_RECORDS = 65_536

TEXT = "text"


class ActorKind(IntEnum):
    """Values of ``actors/kind``."""

    INPUT = 0
    MVM = 1
    REDUCE = 2
    MAX_POOL = 3
    AVG_POOL = 4
    ADD = 5
    RELU = 6
    OUTPUT = 7
    STORE = 8


class Resource(IntEnum):
    """Values of ``actors/resource``."""

    NONE = 0
    IMA = 1
    CORES = 2


class Cause(IntEnum):
    """Values of ``firings/cause``: what a firing waited for last."""

    NONE = 0
    ACTOR = 1
    INPUT = 2
    ROOM = 3
    RESOURCE = 4


@dataclass(frozen=True, slots=True)
class Column:
    """One dataset ``table/name``; ``dtype`` is a numpy type or "text", ``since`` the version that brought it."""

    name: str
    dtype: str
    unit: str
    meaning: str
    since: int = 1


#: Tables known before the run, written by rank 0.
STATIC_TABLES: dict[str, tuple[Column, ...]] = {
    "layers": (
        Column("name", TEXT, "-", "name of the layer in the network"),
        Column("op", TEXT, "-", "conv, max_pool, avg_pool, add or relu"),
        Column("macs", "i8", "1/image", "multiply-accumulates, padding included"),
        Column("n_crossbars", "i4", "1", "crossbars that hold its weights"),
        Column("output_height", "i4", "1", "height of the feature map that it makes", since=2),
        Column("output_width", "i4", "1", "width of the feature map that it makes", since=2),
        Column("output_channels", "i4", "1", "channels of the feature map that it makes", since=2),
    ),
    "actors": (
        Column("name", TEXT, "-", "layer and block"),
        Column("kind", "u1", "ActorKind", "what it does"),
        Column("layer", "i4", "row of layers", "its layer, -1 for network input and output"),
        Column("site", "u4", "-", "cluster, or n_clusters for the HBM"),
        Column("resource", "u1", "Resource", "what it occupies while it fires"),
        Column("row_block", "i4", "1", "row block of the weight matrix; number in its tree for a reduction"),
        Column("column_block", "i4", "1", "column block of the weight matrix"),
        Column("stage", "i4", "1", "depth in the reduction tree, else 0"),
        Column("n_rows", "i4", "1", "crossbar rows used, 0 without a crossbar"),
        Column("n_columns", "i4", "1", "output channels made"),
        Column("n_firings", "i4", "1/image", "firings, and tokens made"),
        Column("n_jobs", "i8", "1/image", "MVMs"),
        Column("core_cycles", "i8", "cycles/image", "cycles in which the cluster's cores work on it"),
    ),
    "channels": (
        Column("producer", "u4", "row of actors", "who makes the tokens"),
        Column("consumer", "u4", "row of actors", "who takes them"),
        Column("n_tokens", "i4", "1/image", "tokens"),
        Column("n_bytes", "i8", "bytes/image", "sum of the tokens' sizes"),
        Column("capacity", "i4", "tokens", "room in the consumer's L1"),
    ),
    "ports": (
        Column("name", TEXT, "-", "place in the interconnect, direction and access"),
        Column("level", TEXT, "-", "level of the interconnect"),
        Column("width", "i8", "bytes/cycle", "what it moves per cycle"),
        Column("latency_ps", "i8", "ps", "delay of a burst's head"),
    ),
    "routes": (
        Column("channel", "u4", "row of channels", "a channel between two sites", since=2),
        Column("port", "u4", "row of ports", "a port on its way, in the order travelled", since=2),
    ),
}

#: Tables that any rank appends to while it runs, in any order.
STREAMED_TABLES: dict[str, tuple[Column, ...]] = {
    "firings": (
        Column("actor", "u4", "row of actors", "who fired"),
        Column("image", "u4", "1", "for which image"),
        Column("phase", "u4", "1", "which firing of the image"),
        Column("start_ps", "i8", "ps", "start of the firing"),
        Column("end_ps", "i8", "ps", "end of the firing"),
        Column("cause", "u1", "Cause", "why it could not start earlier"),
        Column("cause_channel", "i4", "row of channels", "the channel waited for, -1 if none"),
    ),
    "transfers": (
        Column("channel", "u4", "row of channels", "the flow"),
        Column("image", "u4", "1", "which image"),
        Column("token", "u4", "1", "which token of the image"),
        Column("ready_ps", "i8", "ps", "the token was made"),
        Column("start_ps", "i8", "ps", "its first burst entered the network"),
        Column("end_ps", "i8", "ps", "its last byte reached the consumer's L1"),
    ),
    "checksums": (
        Column("actor", "u4", "row of actors", "who made the piece of a feature map"),
        Column("image", "u4", "1", "for which image"),
        Column("crc32", "u4", "-", "CRC-32 of the piece's bytes, (height, width, channels) order"),
    ),
    "outputs": (
        Column("image", "u4", "1", "which image"),
        Column(
            "element", "u4", "1", "index in the output feature map, flattened in the order (height, width, channels)"
        ),
        Column("value", "i4", "-", "quantised value"),
    ),
}

#: Tables written when the run is over.
SUMMARY_TABLES: dict[str, tuple[Column, ...]] = {
    "port_totals": (
        Column("port", "u4", "row of ports", "the port; ports without traffic are left out"),
        Column("busy_ps", "i8", "ps", "time occupied"),
        Column("n_bytes", "i8", "bytes", "bytes moved"),
        Column("n_bursts", "i8", "1", "bursts moved"),
    ),
    "conversions": (
        Column("actor", "u4", "row of actors", "crossbar with analog models; ideal ones are left out", since=2),
        Column("n_conversions", "i8", "1", "sums that its ADCs converted", since=2),
        Column("n_clipped", "i8", "1", "of these, sums beyond the ADC's range", since=2),
    ),
    "ranks": (
        Column("host", TEXT, "-", "where the rank ran"),
        Column("first_cluster", "u4", "-", "first cluster of its block"),
        Column("end_cluster", "u4", "-", "one behind the last"),
        Column("values_s", "f8", "s", "wall time of the value plane"),
        Column("timing_s", "f8", "s", "wall time of the timing plane"),
        Column("trace_s", "f8", "s", "wall time spent writing"),
        Column("total_s", "f8", "s", "wall time of everything"),
        Column("waited_s", "f8", "s", "wall time spent waiting for other ranks"),
        Column("n_messages", "i8", "1", "activation messages sent"),
        Column("n_bytes", "i8", "bytes", "bytes in them"),
        Column("n_events", "i8", "1", "timing events handled", since=2),
        Column("n_boundary_tokens", "i8", "1", "tokens sent to consumers of other ranks", since=2),
        Column("n_boundary_events", "i8", "1", "timing events sent to other ranks", since=2),
        Column("n_timing_messages", "i8", "1", "timing messages sent", since=2),
        Column("n_promises", "i8", "1", "timing messages that carried promises alone", since=2),
        Column("computing_s", "f8", "s", "wall time handling timing events", since=2),
        Column("packing_s", "f8", "s", "wall time with promises and timing messages", since=2),
        Column("waiting_s", "f8", "s", "wall time waiting for timing messages", since=2),
        Column("peak_bytes", "i8", "bytes", "most memory that the rank's process has held", since=2),
    ),
}

TABLES = {**STATIC_TABLES, **STREAMED_TABLES, **SUMMARY_TABLES}

#: Attributes that the writer and the merge fill in; a header holds the others.
OWN_ATTRIBUTES = frozenset({"schema", "schema_version", "complete", "digest", "n_events"})

#: Attributes of the file: name to (type, meaning).
ATTRIBUTES: dict[str, tuple[type, str]] = {
    "schema": (str, "always aimc-trace"),
    "schema_version": (int, "version of this layout"),
    "complete": (bool, "true once everything is written and verified"),
    "digest": (str, "digest of the canonical content, hexadecimal"),
    "program_hash": (str, "SHA-256 of the program, hexadecimal"),
    "model_hash": (str, "SHA-256 of the quantised ONNX model, hexadecimal, empty for shapes without weights"),
    "devices_hash": (str, "SHA-256 of the file of programmed devices, empty if there is none (since version 2)"),
    "name": (str, "network and chip, in words"),
    "plane": (str, "both, values or timing"),
    "engine": (str, "timing engine"),
    "seed": (int, "seed of the run"),
    "n_images": (int, "images in the batch"),
    "n_clusters": (int, "clusters on the chip"),
    "n_ranks": (int, "ranks of the run"),
    "n_events": (int, "timing events handled"),
    "cycle_ps": (int, "clock period in ps"),
    "output_scale": (float, "real = scale * (value - zero point) for outputs"),
    "output_zero_point": (int, "see output_scale"),
    "run_file": (str, "the run file's text"),
    "chip_file": (str, "the chip file's text"),
    "policy_file": (str, "the policy file's text"),
    "mapping_file": (str, "the mapping that was used, as the text of a policy file"),
    "versions": (str, "versions of emulator, Python and libraries, one per line"),
    "created": (str, "wall time at the start, ISO 8601"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """What is known before a run: static tables as columns, and attributes."""

    tables: dict[str, dict[str, list[str] | list[int]]]
    attributes: dict[str, str | int | float]
