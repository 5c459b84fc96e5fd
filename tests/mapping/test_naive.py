"""The naive mapping: counts known from the publication, and a report where a network does not fit."""

from pathlib import Path

import pytest
from support.networks import a_chip, a_small_workload

from emulator.chip.load import load_chip
from emulator.errors import MappingError
from emulator.mapping.mapping import InfeasibleError, Mapping
from emulator.mapping.place import map_network
from emulator.mapping.policy import load_policy
from emulator.network.graph import FeatureMap, Layer, Network, Op, Quantization, Weights, Window

ROOT = Path(__file__).parents[2]


def resnet18_shapes() -> Network:
    """Return ResNet-18 at 256 x 256 with weights of zero: only its shapes matter here."""
    import numpy as np

    maps = {"image": FeatureMap("image", 256, 256, 3, Quantization(1.0, 0, "uint8"))}
    layers: list[Layer] = []

    def add(op: Op, inputs: tuple[str, ...], c_out: int, window: Window | None, *, weights: bool = False) -> str:
        ifm = maps[inputs[0]]
        height, width = window.output_size(ifm.height, ifm.width) if window else (ifm.height, ifm.width)
        name = f"{op}{len(layers)}"
        maps[name] = FeatureMap(name, height, width, c_out, Quantization(1.0, 0, "uint8"))
        held = None
        if weights and window:
            shape = (c_out, window.kernel_h, window.kernel_w, ifm.channels)
            held = Weights(np.zeros(shape, np.int8), np.ones(c_out, np.float32), np.zeros(c_out, np.int32))
        layers.append(Layer(name, op, inputs, name, window, held))
        return name

    def conv(source: str, c_out: int, kernel: int, stride: int) -> str:
        pad = kernel // 2
        window = Window(kernel, kernel, stride, stride, pad, pad, pad, pad)
        return add(Op.CONV, (source,), c_out, window, weights=True)

    latest = add(Op.MAX_POOL, (conv("image", 64, 7, 2),), 64, Window(3, 3, 2, 2, 1, 1, 1, 1))
    for stage, channels in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            inner = conv(conv(latest, channels, 3, stride), channels, 3, 1)
            shortcut = conv(latest, channels, 1, stride) if stride == 2 else latest
            latest = add(Op.ADD, (inner, shortcut), channels, None)
    average = add(Op.AVG_POOL, (latest,), 512, Window(8, 8))
    result = add(Op.CONV, (average,), 1000, Window(1, 1), weights=True)
    return Network("resnet18", maps, tuple(layers), "image", result)


@pytest.fixture(scope="module")
def mapping() -> Mapping:
    chip = load_chip(ROOT / "configs/chips/bruschi2023.yaml")
    return map_network(resnet18_shapes(), chip, load_policy(ROOT / "configs/policies/naive.yaml"))


def test_resnet18_takes_the_201_crossbars_of_the_publication(mapping: Mapping) -> None:
    assert mapping.network.total_macs == 2_369_245_184
    assert sum(len(layer.blocks) for layer in mapping.layers) == 201
    digital = [layer for layer in mapping.layers if layer.workers]
    assert len(digital) == 10  # two pools and eight residual additions
    assert mapping.n_clusters_used == 211


def test_blocks_tile_every_weight_matrix_without_overlap(mapping: Mapping) -> None:
    for mapped in mapping.layers:
        weights = mapped.layer.weights
        if weights is None:
            continue
        n_columns = len(weights.values)
        cells = sum(len(block.rows) * len(block.columns) for block in mapped.blocks)
        assert cells == weights.values.size
        corners = {(block.rows.start, block.columns.start) for block in mapped.blocks}
        assert len(corners) == len(mapped.blocks)
        assert all(len(block.rows) <= 256 and len(block.columns) <= 256 for block in mapped.blocks)
        assert max(block.columns.end for block in mapped.blocks) == n_columns


def test_clusters_are_used_once_and_in_order_along_the_pipeline(mapping: Mapping) -> None:
    clusters = [cluster for layer in mapping.layers for cluster in layer.clusters]
    assert clusters == list(range(211))


def test_reductions_live_on_the_clusters_of_their_row_blocks(mapping: Mapping) -> None:
    for mapped in mapping.layers:
        for reduction in mapped.reductions:
            column = [block for block in mapped.blocks if block.column_block == reduction.column_block]
            assert reduction.cluster in {block.cluster for block in column}
        assert len({reduction.cluster for reduction in mapped.reductions}) == len(mapped.reductions)


def test_cells_are_counted(mapping: Mapping) -> None:
    stem = mapping.layers[0]
    assert mapping.cell_utilization(stem) == 147 * 64 / 65536
    assert mapping.cell_utilization(mapping.layers[1]) == 0.0


@pytest.mark.parametrize(("key", "taken"), [("weight_bits", "1 x 4"), ("dac_bits", "4")])
def test_cells_and_dacs_that_are_too_narrow_are_refused(key: str, taken: str) -> None:
    chip = a_chip(rows=16, columns=8, fan_outs=(64,))
    ima = chip.cluster.ima.model_copy(update={key: 4})
    narrow = chip.model_copy(update={"cluster": chip.cluster.model_copy(update={"ima": ima})})
    with pytest.raises(MappingError, match=rf"cluster\.ima\.{key}: .* the chip takes {taken}"):
        a_small_workload(narrow, n_images=1)


def test_what_does_not_fit_says_by_how_much_and_what_would_help() -> None:
    with pytest.raises(InfeasibleError) as caught:
        a_small_workload(a_chip(rows=8, columns=8, fan_outs=(4, 4)), n_images=1)
    (shortage,) = caught.value.shortages
    assert (shortage.resource, shortage.bound) == ("clusters", 16)
    assert shortage.gap == shortage.demand - 16 > 0
    assert sum(amount for _, amount in shortage.terms) == shortage.demand
    assert f"a chip with at least {shortage.demand} clusters" in str(caught.value)
    enough = a_chip(rows=8, columns=8, fan_outs=(shortage.demand,))
    assert a_small_workload(enough, n_images=1).mapping.n_clusters_used == shortage.demand
