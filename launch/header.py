"""What a trace knows of a run before it starts: the program as tables, provenance as attributes."""

import platform
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from emulator.chip.topology import build_topology
from emulator.emulation import Plane
from emulator.program.dataflow import Program
from emulator.program.transport import program_hash
from launch.prepare import Prepared
from traces.schema import Header

Columns = dict[str, list[str] | list[int]]

_PACKAGES = ("aimc-emulator", "numpy", "numba", "h5py", "mpi4py", "onnxruntime")


def make_header(prepared: Prepared, *, plane: Plane, n_ranks: int) -> Header:
    """Describe a run for its trace."""
    program, chip = prepared.workload.program, prepared.workload.mapping.chip
    output = program.output.quantization
    return Header(
        tables={
            "layers": _layers(program),
            "actors": _actors(program),
            "channels": _channels(program),
            "ports": _ports(prepared),
            "routes": _routes(prepared),
        },
        attributes={
            "program_hash": program_hash(program),
            "model_hash": prepared.model_hash,
            "devices_hash": prepared.devices_hash,
            "name": f"{prepared.workload.mapping.network.name} on {chip.name}",
            "plane": str(plane),
            "engine": "compiled",
            "seed": prepared.config.seed,
            "n_images": len(prepared.images),
            "n_clusters": program.n_clusters,
            "n_ranks": n_ranks,
            "cycle_ps": chip.cycle_ps,
            "output_scale": output.scale,
            "output_zero_point": output.zero_point,
            **prepared.texts,
            "versions": "\n".join([f"python {platform.python_version()}", *(f"{p} {version(p)}" for p in _PACKAGES)]),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


def _layers(program: Program) -> Columns:
    layers = program.layers
    return {
        "name": [layer.name for layer in layers],
        "op": [str(layer.op) for layer in layers],
        "macs": [layer.macs for layer in layers],
        "n_crossbars": [layer.n_crossbars for layer in layers],
        "output_height": [layer.output.height for layer in layers],
        "output_width": [layer.output.width for layer in layers],
        "output_channels": [layer.output.channels for layer in layers],
    }


def _actors(program: Program) -> Columns:
    actors = program.actors
    return {
        "name": [actor.name for actor in actors],
        "kind": [int(actor.kind) for actor in actors],
        "layer": [actor.layer_id for actor in actors],
        "site": [actor.site for actor in actors],
        "resource": [int(actor.resource) for actor in actors],
        "row_block": [actor.row_block for actor in actors],
        "column_block": [actor.column_block for actor in actors],
        "stage": [actor.stage for actor in actors],
        "n_rows": [len(actor.rows) for actor in actors],
        "n_columns": [len(actor.columns) for actor in actors],
        "n_firings": [actor.n_firings for actor in actors],
        "n_jobs": [actor.n_jobs for actor in actors],
        "core_cycles": [actor.core_cycles for actor in actors],
    }


def _channels(program: Program) -> Columns:
    channels = program.channels
    return {
        "producer": [channel.producer for channel in channels],
        "consumer": [channel.consumer for channel in channels],
        "n_tokens": [channel.n_tokens for channel in channels],
        "n_bytes": [sum(channel.token_bytes) for channel in channels],
        "capacity": [channel.capacity for channel in channels],
    }


def _ports(prepared: Prepared) -> Columns:
    chip = prepared.workload.mapping.chip
    ports = list(build_topology(chip).ports)
    return {
        "name": [port.name for port in ports],
        "level": [port.level for port in ports],
        "width": [port.width_bytes_per_cycle for port in ports],
        "latency_ps": [port.latency_cycles * chip.cycle_ps for port in ports],
    }


def _routes(prepared: Prepared) -> Columns:
    program = prepared.workload.program
    topology = build_topology(prepared.workload.mapping.chip)
    sites = np.array([actor.site for actor in program.actors], np.int64)
    sources, targets = (
        sites[[getattr(channel, end) for channel in program.channels]] for end in ("producer", "consumer")
    )
    routes = topology.routes(sources, targets, sources == program.hbm_site)
    return {
        "channel": np.repeat(np.arange(len(sources)), np.diff(routes.start)).tolist(),
        "port": routes.port.tolist(),
    }
