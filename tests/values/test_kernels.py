"""What a crossbar reads and computes, against loops over pixels."""

import numpy as np
import pytest
from emulator.values.kernels import convolution_padding, gather_rows, make_kernel
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.network.geometry import Span, input_channels
from emulator.network.graph import FeatureMap, Op, Quantization, Window
from emulator.program.dataflow import Actor, ProgramLayer
from emulator.program.tiles import Share, Tiling
from emulator.values.weights import ActorWeights
from traces.schema import ActorKind, Resource

NOTHING = np.empty(0)


def an_mvm(rows: Span, columns: Span) -> Actor:
    return Actor(
        actor_id=0, kind=ActorKind.MVM, name="block", layer_id=0, tiling=Tiling(1, 1), share=Share(), site=0,
        resource=Resource.IMA, columns=columns, rows=rows, row_block=0, column_block=0, stage=0, durations_ps=(1,),
        n_jobs=1, core_cycles=0, is_root=False, output_token_bytes=1,
    )  # fmt: skip


def a_layer(window: Window, shape: tuple[int, int, int], zero_point: int, dtype: str) -> ProgramLayer:
    source = FeatureMap("x", *shape, Quantization(1.0, zero_point, dtype))
    out = FeatureMap("y", *window.output_size(*shape[:2]), 4, Quantization(1.0, 0, "uint8"))
    return ProgramLayer("layer", Op.CONV, window, (source,), out, 1, 0, 1)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_block_reads_its_rows_of_the_padded_window(data: st.DataObject) -> None:
    draw = data.draw
    kernel_h, kernel_w = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    pads = [draw(st.integers(0, k - 1)) for k in (kernel_h, kernel_w, kernel_h, kernel_w)]
    window = Window(kernel_h, kernel_w, draw(st.integers(1, 3)), draw(st.integers(1, 3)), *pads)
    shape = (draw(st.integers(kernel_h, 8)), draw(st.integers(kernel_w, 8)), draw(st.integers(1, 5)))
    n_rows = kernel_h * kernel_w * shape[2]
    start = draw(st.integers(0, n_rows - 1))
    rows = Span(start, draw(st.integers(start + 1, n_rows)))
    layer = a_layer(window, shape, zero_point=9, dtype="uint8")
    ifm = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    channels = input_channels(rows, shape[2])
    gathered = np.empty((layer.output.height, layer.output.width, len(rows)), np.float32)
    padded = np.pad(ifm, (*convolution_padding(layer), (0, 0)), constant_values=9)
    read = np.ascontiguousarray(padded[..., channels.start : channels.end])
    gather_rows(read, an_mvm(rows, Span(0, 4)), layer, slice(None), gathered)
    for y in range(layer.output.height):
        for x in range(layer.output.width):
            for i, row in enumerate(range(rows.start, rows.end)):
                position, channel = divmod(row, shape[2])
                at_y = y * window.stride_h + position // kernel_w - window.pad_top
                at_x = x * window.stride_w + position % kernel_w - window.pad_left
                inside = 0 <= at_y < shape[0] and 0 <= at_x < shape[1]
                assert gathered[y, x, i] == (ifm[at_y, at_x, channel] if inside else 9)


@pytest.mark.parametrize("n_rows", [256, 512, 1024, 4096])
@pytest.mark.parametrize("weight", [-128, 127])
def test_the_largest_sums_are_exact_for_crossbars_of_any_height(n_rows: int, weight: int) -> None:
    layer = a_layer(Window(1, 1), (1, 1, n_rows), zero_point=0, dtype="uint8")
    crossbar = np.full((n_rows, 2), weight, np.int8)
    crossbar[0] = [1, 3]
    kernel = make_kernel(an_mvm(Span(0, n_rows), Span(0, 2)), (layer,), ActorWeights(crossbar, NOTHING, NOTHING))  # type: ignore[arg-type]
    ifm = np.full((1, 1, n_rows), 255, np.uint8)
    assert kernel([ifm]).tolist() == [[255 * (weight * (n_rows - 1) + first) for first in (1, 3)]]
