"""What the MVMs of a block read, gathered from a feature map into rows of memory.

Rows of a weight matrix run in the order (kernel_h, kernel_w, c_in), so every kernel row that a block touches is one run
of contiguous bytes per MVM in a (height, width, channels) feature map.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from emulator.network.geometry import Span, kernel_runs, unrolled
from emulator.program.dataflow import ProgramLayer
from emulator.values.maps import MapBuffer

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class GatherPlan:
    """Where the inputs of a block of rows lie in the buffer of its input feature map.

    Attributes:
        source: the buffer, flat.
        starts: where each run begins for the output's first position, (n_runs,).
        lengths: bytes of each run.
        by_row: bytes from one output row to the next.
        by_group: bytes from one group of output pixels to the next.
        n_rows: rows of the block.
        flip: what inputs are xor-ed with to make them unsigned: 128 for signed ones, else 0.
    """

    source: Bytes
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    by_row: int
    by_group: int
    n_rows: int
    flip: int

    def gather(self, first: int, groups: NDArray[np.int64], inputs: Bytes, dac: NDArray[Any] | None) -> None:
        """Gather positions ``first`` and following into ``inputs``, (n, n_rows).

        Positions are counted row by row of the output, ``groups`` says which groups of pixels each row has. What is
        gathered passes through the table ``dac`` of 256 bytes if there is one.
        """
        flat = inputs.reshape(-1)
        _gather(self.source, self.starts, self.lengths, self.by_row, self.by_group, first, groups, self.n_rows, flat)
        if dac is not None:
            flat[:] = dac.view(np.uint8)[flat]
        if self.flip:
            np.bitwise_xor(flat, self.flip, out=flat)


def plan_gather(source: MapBuffer, layer: ProgramLayer, rows: Span) -> GatherPlan:
    """Plan the gathering for a block that holds ``rows`` of ``layer``'s weight matrix."""
    assert layer.window is not None
    window = unrolled(layer.window, layer.pixels_per_mvm)
    _, width, n_channels = source.buffer.shape
    origin = ((source.top - window.pad_top) * width + source.left - window.pad_left) * n_channels
    runs = list(kernel_runs(rows, window, n_channels))
    return GatherPlan(
        source=source.buffer.reshape(-1).view(np.uint8),
        starts=np.array([origin + row * width * n_channels + run.start for row, run in runs], np.int64),
        lengths=np.array([len(run) for _, run in runs], np.int64),
        by_row=window.stride_h * width * n_channels,
        by_group=window.stride_w * n_channels,
        n_rows=len(rows),
        flip=128 if source.buffer.dtype == np.int8 else 0,
    )


@intrinsic
def _copy_bytes(_context: Any, target: Any, to: Any, source: Any, start: Any, count: Any) -> Any:  # noqa: ANN401, ARG001
    """Copy ``count`` bytes from ``source[start:]`` to ``target[to:]``: the processor's memcpy, six times a loop."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        target, to, source, start, count = arguments
        into = context.make_array(signature.args[0])(context, builder, target)
        out_of = context.make_array(signature.args[2])(context, builder, source)
        ends = builder.gep(into.data, [to]), builder.gep(out_of.data, [start])
        cgutils.raw_memcpy(builder, *ends, count, 1)  # type: ignore[no-untyped-call]
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.intp), generate


@njit(cache=True, nogil=True)
def _gather(
    source: Bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64], by_row: int, by_group: int, first: int,
    groups: NDArray[np.int64], n_rows: int, inputs: Bytes,
) -> None:  # fmt: skip
    """Copy run after run; bounds are the caller's."""
    n_groups = len(groups)
    for i in range(len(inputs) // n_rows):
        row = (first + i) // n_groups
        base = row * by_row + groups[first + i - row * n_groups] * by_group
        at = i * n_rows
        for run in range(len(starts)):
            _copy_bytes(inputs, at, source, base + starts[run], lengths[run])  # type: ignore[call-arg]
            at += lengths[run]
