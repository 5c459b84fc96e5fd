"""Random quantised networks, chips and policies for property tests."""

from collections.abc import Callable
from itertools import count

import numpy as np
from hypothesis import strategies as st

from emulator.chip.spec import Chip
from emulator.emulation import Workload
from emulator.mapping.place import map_network
from emulator.mapping.policy import ManualPolicy
from emulator.mapping.residuals import residual_operands
from emulator.network.graph import FeatureMap, Layer, Network, Op, Quantization, Weights, Window
from emulator.program.build import build_program


def a_quantization(draw: st.DrawFn) -> Quantization:
    dtype = draw(st.sampled_from(["uint8", "int8"]))
    low, high = (0, 255) if dtype == "uint8" else (-128, 127)
    scale = float(np.float32(draw(st.floats(0.01, 0.5))))
    return Quantization(scale, draw(st.integers(low, high)), dtype)


class NetworkMaker:
    """Grows a random network layer by layer; every layer reads a feature map that exists already."""

    def __init__(
        self,
        image: FeatureMap,
        next_quantization: Callable[[], Quantization],
        next_seed: Callable[[], int],
    ) -> None:
        self._next_quantization = next_quantization
        self._next_seed = next_seed
        self.feature_maps = {image.name: image}
        self.layers: list[Layer] = []
        self.latest = image.name

    def network(self) -> Network:
        """Return the network as it stands, with the latest feature map as its output."""
        return Network("random", self.feature_maps, tuple(self.layers), "image", self.latest)

    def conv(self, source: str, c_out: int, window: Window) -> str:
        """Add a convolution with random weights."""
        ifm = self.feature_maps[source]
        rng = np.random.default_rng(self._next_seed())
        weights = Weights(
            rng.integers(-127, 128, (c_out, window.kernel_h, window.kernel_w, ifm.channels)).astype(np.int8),
            rng.uniform(1e-4, 1e-2, c_out).astype(np.float32),
            rng.integers(-1000, 1000, c_out).astype(np.int32),
        )
        height, width = window.output_size(ifm.height, ifm.width)
        return self._add(Op.CONV, (source,), (height, width, c_out), window, weights)

    def fully_connected(self, source: str, n_outputs: int) -> str:
        """Add a fully connected layer: a convolution whose kernel is its whole input."""
        ifm = self.feature_maps[source]
        return self.conv(source, n_outputs, Window(ifm.height, ifm.width))

    def pool(self, source: str, op: Op, window: Window) -> str:
        """Add a pool."""
        ifm = self.feature_maps[source]
        height, width = window.output_size(ifm.height, ifm.width)
        return self._add(op, (source,), (height, width, ifm.channels), window, None)

    def relu(self, source: str) -> str:
        """Add a stand-alone ReLU."""
        return self._add(Op.RELU, (source,), self.feature_maps[source].shape, None, None)

    def add(self, left: str, right: str) -> str:
        """Add a residual addition."""
        return self._add(Op.ADD, (left, right), self.feature_maps[left].shape, None, None)

    def _add(
        self,
        op: Op,
        inputs: tuple[str, ...],
        shape: tuple[int, int, int],
        window: Window | None,
        weights: Weights | None,
    ) -> str:
        name = f"{op}{len(self.layers)}"
        quantization = self._next_quantization()
        if op is Op.MAX_POOL:  # onnxruntime's maximum pool works on the integers of its input
            quantization = self.feature_maps[inputs[0]].quantization
        self.feature_maps[f"{name}.out"] = FeatureMap(f"{name}.out", *shape, quantization)
        self.layers.append(Layer(name, op, inputs, f"{name}.out", window, weights))
        self.latest = f"{name}.out"
        return self.latest


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Draw a chain of convolutions, pools, ReLUs and residual blocks that ends in a fully connected layer."""
    size = (draw(st.integers(4, 10)), draw(st.integers(4, 10)), draw(st.integers(1, 4)))
    image = FeatureMap("image", *size, a_quantization(draw))
    maker = NetworkMaker(image, lambda: a_quantization(draw), lambda: draw(st.integers(0, 2**32 - 1)))
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "conv", "residual", "max_pool", "relu"]))
        ifm = maker.feature_maps[maker.latest]
        if kind == "conv":
            size, stride = draw(st.integers(1, min(3, ifm.height, ifm.width))), draw(st.integers(1, 2))
            pads = [draw(st.integers(0, size - 1)) for _ in range(4)]
            maker.conv(maker.latest, draw(st.integers(1, 12)), Window(size, size, stride, stride, *pads))
        elif kind == "residual":
            source = maker.latest
            inner = maker.conv(source, draw(st.integers(1, 9)), Window(3, 3, 1, 1, 1, 1, 1, 1))
            main = maker.conv(inner, ifm.channels, Window(3, 3, 1, 1, 1, 1, 1, 1))
            branch = maker.conv(source, ifm.channels, Window(1, 1)) if draw(st.booleans()) else source
            maker.add(*((main, branch) if draw(st.booleans()) else (branch, main)))
        elif kind == "max_pool" and min(ifm.height, ifm.width) >= 2:
            maker.pool(maker.latest, Op.MAX_POOL, Window(2, 2, draw(st.integers(1, 2)), draw(st.integers(1, 2))))
        elif kind == "relu":
            maker.relu(maker.latest)
    if draw(st.booleans()):
        ifm = maker.feature_maps[maker.latest]
        maker.pool(maker.latest, Op.AVG_POOL, Window(ifm.height, ifm.width))
    maker.fully_connected(maker.latest, draw(st.integers(1, 20)))
    return maker.network()


def a_chip(*, rows: int, columns: int, fan_outs: tuple[int, ...], l1: str = "1 MiB") -> Chip:
    """Return a chip like the published one with another crossbar, tree and L1."""
    levels = [
        {"name": f"level {i}", "fan_out": fan_out, "width": "64 B/cycle", "latency": "4 cycles"}
        for i, fan_out in enumerate(fan_outs)
    ]
    costs = ("accumulate", "requantize", "max_pool", "avg_pool", "add", "relu")
    return Chip.model_validate(
        {
            "name": "test chip",
            "source": "made for tests",
            "clock": "1 GHz",
            "cluster": {
                "cores": 16,
                "l1": l1,
                "synchronization": "10 cycles",
                "ima": {
                    "technology": "pcm",
                    "rows": rows,
                    "columns": columns,
                    "weight_bits": 8,
                    "dac_bits": 8,
                    "adc_bits": 8,
                    "mvm_latency": "130 ns",
                    "stream_ports": 16,
                    "stream_port_width": "4 B/cycle",
                    "stream_in_overhead": "2 cycles",
                    "stream_out_overhead": "4 cycles",
                    "pipelined": True,
                },
                "dma": {
                    "max_burst": "2 KiB",
                    "max_outstanding_reads": 8,
                    "max_outstanding_writes": 8,
                    "program_cost": "30 cycles",
                },
                "core_costs": {**dict.fromkeys(costs, "1.5 cycles/element"), "partial_sum": "2 B"},
            },
            "topology": {"kind": "tree", "levels": levels},
            "hbm": {"capacity": "1 GB", "width": "64 B/cycle", "latency": "100 cycles"},
        }
    )


@st.composite
def chips(draw: st.DrawFn) -> Chip:
    """Draw a chip with small crossbars, so that small networks are split, on a random tree."""
    fan_outs = tuple(draw(st.lists(st.integers(1, 6), min_size=2, max_size=4)))
    return a_chip(rows=draw(st.integers(4, 40)), columns=draw(st.integers(2, 16)), fan_outs=fan_outs)


def a_policy(**choices: object) -> ManualPolicy:
    """Return the naive policy with some choices replaced."""
    naive: dict[str, object] = {
        "kind": "manual",
        "copies": 1,
        "sharing": "turns",
        "tile_width": 1,
        "pixels_per_mvm": 1,
        "reduction": {"fan_in": 3},
        "residual": "consumer_l1",
        "spare_clusters": 0,
        "placement": "contiguous",
        "layers": {},
    }
    return ManualPolicy.model_validate(naive | choices)


@st.composite
def policies(draw: st.DrawFn, network: Network, chip: Chip) -> ManualPolicy:
    """Draw a policy with its own choices for every layer of a network."""
    layers: dict[str, dict[str, object]] = {}
    for i, layer in enumerate(network.layers):
        output = network.feature_maps[layer.output]
        most_pixels = min(3, output.width, max(1, chip.cluster.ima.columns // output.channels))
        n_pixels = draw(st.integers(1, most_pixels)) if layer.weights is not None else 1
        tile_width = min(output.width, n_pixels * draw(st.integers(1, 3)))
        tile_width -= tile_width % n_pixels
        n_tiles = -(-output.width // tile_width)
        choice: dict[str, object] = {
            "tile_width": tile_width,
            "copies": draw(st.integers(1, min(4, n_tiles))),
            "sharing": draw(st.sampled_from(["turns", "strips"])),
        }
        if layer.name in residual_operands(network):
            choice["residual"] = draw(st.sampled_from(["consumer_l1", "spare", "hbm"]))
        if layer.weights is not None:
            choice["pixels_per_mvm"] = n_pixels
            choice["reduction"] = draw(
                st.one_of(
                    st.fixed_dictionaries({"fan_in": st.integers(2, 5), "clusters": st.integers(0, 3)}),
                    st.fixed_dictionaries({"stages": st.sampled_from([[1], [3, 1], [4, 2, 1]])}),
                )
            )
        if i and draw(st.booleans()):
            choice["guest_of"] = network.layers[draw(st.integers(0, i - 1))].name
        layers[layer.name] = choice
    homes = {choice.get("residual") for choice in layers.values()}
    return a_policy(
        tile_width=draw(st.integers(1, 4)),
        spare_clusters=draw(st.integers(1, 3)) if "spare" in homes else 0,
        placement=draw(st.sampled_from(["contiguous", "aligned", "interleaved"])),
        layers=layers,
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Network, Chip, ManualPolicy]:
    """Draw a network, a chip and a policy for them."""
    network, chip = draw(networks()), draw(chips())
    return network, chip, draw(policies(network, chip))


def a_small_workload(chip: Chip, n_images: int, policy: ManualPolicy | None = None) -> Workload:
    """Return a residual network with splits in rows and columns, mapped and built, with random images."""
    image = FeatureMap("image", 12, 12, 3, Quantization(0.02, 3, "uint8"))
    seeds = count(11)
    maker = NetworkMaker(image, lambda: Quantization(0.05, 7, "uint8"), lambda: next(seeds))
    stem = maker.conv("image", 8, Window(3, 3, 1, 1, 1, 1, 1, 1))
    inner = maker.conv(stem, 12, Window(3, 3, 1, 1, 1, 1, 1, 1))
    maker.add(stem, maker.conv(inner, 8, Window(3, 3, 1, 1, 1, 1, 1, 1)))
    maker.pool(maker.latest, Op.MAX_POOL, Window(2, 2, 2, 2))
    maker.fully_connected(maker.latest, 10)
    mapping = map_network(maker.network(), chip, policy or a_policy())
    images = np.random.default_rng(5).integers(0, 256, (n_images, *image.shape)).astype(np.uint8)
    return Workload(mapping, build_program(mapping), images)
