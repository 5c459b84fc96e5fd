"""The value plane of analog crossbars once more, in plain numpy: layer after layer, copy after copy."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from emulator.analog.crossbar import AnalogCrossbar, split_levels
from emulator.analog.readout import Readout, read_out
from emulator.digital.elementwise import requantize
from emulator.emulation import Workload
from emulator.network.epilogue import conv_epilogue
from emulator.network.graph import Layer, Op
from emulator.network.reference import _run_layer
from emulator.program.dataflow import Actor
from emulator.program.tiles import Tiling
from emulator.values.calibration import _inputs
from traces.schema import ActorKind


class AnalogOracle:
    """Runs a workload's network with the given crossbars, by MVM actor id, and counts what was clipped."""

    def __init__(self, workload: Workload, crossbars: Mapping[int, AnalogCrossbar]) -> None:
        self._workload, self._crossbars = workload, crossbars
        self.n_clipped = dict.fromkeys(crossbars, 0)

    def run(self, image: int) -> NDArray[np.int64]:
        """Outputs of one image of the workload, flat."""
        network = self._workload.mapping.network
        maps = {network.input: self._workload.images[image]}
        for layer_id, layer in enumerate(network.layers):
            inputs = [maps[name] for name in layer.inputs]
            is_crossbar = layer.op is Op.CONV
            maps[layer.output] = (
                self._conv(layer_id, layer, inputs[0], image) if is_crossbar else _run_layer(layer, network, inputs)
            )
        return maps[network.output].astype(np.int64).ravel()

    def _conv(self, layer_id: int, layer: Layer, ifm: NDArray[np.generic], image: int) -> NDArray[np.generic]:
        program, network = self._workload.program, self._workload.mapping.network
        described = program.layers[layer_id]
        n_pixels, output = described.pixels_per_mvm, described.output
        n_groups = -(-output.width // n_pixels)
        inputs = _inputs(described, ifm).reshape(output.height, n_groups, -1)
        total = np.zeros((output.height, n_groups, n_pixels * output.channels), np.int32)
        for actor in program.actors:
            if actor.kind is ActorKind.MVM and actor.layer_id == layer_id:
                groups = made_groups(actor, n_pixels)
                positions = (np.arange(output.height)[:, np.newaxis] * n_groups + groups).ravel()
                rows = inputs[:, groups, actor.rows.start : actor.rows.end].reshape(len(positions), -1)
                readout = self._mvm(actor, rows, image, positions)
                made = readout.output.reshape(output.height, len(groups), -1)
                total[:, groups, actor.columns.start : actor.columns.end] += made
                self.n_clipped[actor.actor_id] += readout.n_clipped
        pixels = total.reshape(output.height, n_groups * n_pixels, output.channels)[:, : output.width]
        offset, multiplier = conv_epilogue(layer, network)
        return requantize(pixels + offset, multiplier, output.quantization)

    def _mvm(
        self, actor: Actor, rows: NDArray[np.generic], image: int, positions: NDArray[np.int64]
    ) -> Readout:  # fmt: skip
        crossbar = self._crossbars[actor.actor_id]
        taken = crossbar.dac[np.ascontiguousarray(rows).view(np.uint8)] if crossbar.dac.size else rows
        high, low = np.split(taken.astype(np.int32) @ split_levels(crossbar.levels).astype(np.int32), 2, axis=1)
        return read_out(crossbar, high, low, image, positions)


def made_groups(actor: Actor, n_pixels: int) -> NDArray[np.int64]:
    """Groups of neighbouring output pixels that an actor makes."""
    tiling: Tiling = actor.tiling
    spans = [tiling.span(tile) for tile in actor.share.tiles(tiling.n_tiles)]
    return np.unique(np.concatenate([np.arange(span.start, span.end) for span in spans]) // n_pixels)
