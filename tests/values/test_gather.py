"""What a block of rows reads, against loops over pixels."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.network.geometry import Span
from emulator.network.graph import FeatureMap, Op, Quantization, Window
from emulator.program.dataflow import ProgramLayer
from emulator.values.gather import plan_gather
from emulator.values.maps import MapBuffer


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_block_reads_its_rows_of_the_padded_window(data: st.DataObject) -> None:
    draw = data.draw
    kernel_h, kernel_w = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    pads = [draw(st.integers(0, k - 1)) for k in (kernel_h, kernel_w, kernel_h, kernel_w)]
    window = Window(kernel_h, kernel_w, draw(st.integers(1, 3)), draw(st.integers(1, 3)), *pads)
    shape = (draw(st.integers(kernel_h, 8)), draw(st.integers(kernel_w, 8)), draw(st.integers(1, 5)))
    dtype = draw(st.sampled_from(["uint8", "int8"]))
    n_rows = kernel_h * kernel_w * shape[2]
    start = draw(st.integers(0, n_rows - 1))
    rows = Span(start, draw(st.integers(start + 1, n_rows)))
    source = FeatureMap("x", *shape, Quantization(1.0, 9, dtype))
    height, width = window.output_size(*shape[:2])
    layer = ProgramLayer(
        "layer", Op.CONV, window, (source,), FeatureMap("y", height, width, 4, source.quantization), 1, 0, 1
    )
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8).view(dtype)
    more = draw(st.integers(0, 2))  # room that another consumer wants
    around = [(pads[0] + more, pads[2]), (pads[1], pads[3] + more), (0, 0)]
    buffer = np.pad(pixels, around, constant_values=9)
    inside = buffer[pads[0] + more :][: shape[0], pads[1] :][:, : shape[1]]
    plan = plan_gather(MapBuffer(buffer, inside, pads[0] + more, pads[1]), layer, rows)
    groups = np.array(sorted(draw(st.sets(st.integers(0, width - 1), min_size=1))))
    n_positions = height * len(groups)
    first = draw(st.integers(0, n_positions - 1))
    gathered = np.empty((n_positions - first, len(rows)), np.uint8)
    plan.gather(first, groups, gathered, None)
    offset = 128 if dtype == "int8" else 0
    for number in range(first, n_positions):
        y, x = number // len(groups), groups[number % len(groups)]
        for i, row in enumerate(range(rows.start, rows.end)):
            position, channel = divmod(row, shape[2])
            at_y = y * window.stride_h + position // kernel_w - window.pad_top
            at_x = x * window.stride_w + position % kernel_w - window.pad_left
            is_inside = 0 <= at_y < shape[0] and 0 <= at_x < shape[1]
            expected = int(pixels[at_y, at_x, channel]) if is_inside else 9
            assert gathered[number - first, i] == expected + offset
