"""Stacks of fully connected layers with the shapes of a decoder, for the timing plane: they have no weights in memory.

The shapes are those of LLaMA-7B (H. Touvron et al., arXiv:2302.13971, table 2: dimension 4096, 32 layers; feed-forward
width 11008 and vocabulary 32000 from the released model). What lies between the matrices is simplified to what the
cores can do here: scores and mixing of attention, which depend on the context, and the product of the gate are
element-wise additions; norms and rotary embeddings are left out. The traffic between the matrices is that of the model.
"""

from dataclasses import dataclass

import numpy as np

from emulator.network.graph import FeatureMap, Layer, Network, Op, Quantization, Weights, Window

_QUANTIZATION = Quantization(1.0, 0, "int8")


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """Sizes of a decoder: width of the residual stream, of the feed-forward part, of the vocabulary; and its depth."""

    n_layers: int
    width: int
    feed_forward: int
    vocabulary: int


LLAMA_7B = DecoderShape(n_layers=32, width=4096, feed_forward=11008, vocabulary=32000)


def decoder_stack(shape: DecoderShape) -> Network:
    """Return the stack as a network that takes one token's embedding (1, 1, width) and gives its logits."""
    feature_maps: dict[str, FeatureMap] = {}
    layers: list[Layer] = []

    def name_output(name: str, channels: int) -> str:
        feature_maps[name] = FeatureMap(name, 1, 1, channels, _QUANTIZATION)
        return name

    def matrix(name: str, source: str, n_outputs: int) -> str:
        weights = _no_weights(n_outputs, feature_maps[source].channels)
        layers.append(Layer(name, Op.CONV, (source,), name_output(f"{name}.out", n_outputs), Window(1, 1), weights))
        return layers[-1].output

    def add(name: str, left: str, right: str) -> str:
        output = name_output(f"{name}.out", feature_maps[left].channels)
        layers.append(Layer(name, Op.ADD, (left, right), output))
        return output

    stream = name_output("token", shape.width)
    for i in range(shape.n_layers):
        query, key, value = (matrix(f"layer{i}.{name}", stream, shape.width) for name in ("query", "key", "value"))
        mixed = add(f"layer{i}.mix", add(f"layer{i}.scores", query, key), value)
        stream = add(f"layer{i}.residual1", stream, matrix(f"layer{i}.output", mixed, shape.width))
        gate, up = (matrix(f"layer{i}.{name}", stream, shape.feed_forward) for name in ("gate", "up"))
        down = matrix(f"layer{i}.down", add(f"layer{i}.gated", gate, up), shape.width)
        stream = add(f"layer{i}.residual2", stream, down)
    logits = matrix("head", stream, shape.vocabulary)
    return Network(f"decoder of {shape.n_layers} layers", feature_maps, tuple(layers), "token", logits)


def _no_weights(n_outputs: int, n_inputs: int) -> Weights:
    """Return weights that are one zero seen everywhere: they have a shape and take no memory."""
    return Weights(
        np.broadcast_to(np.int8(0), (n_outputs, 1, 1, n_inputs)),
        np.broadcast_to(np.float32(1), (n_outputs,)),
        np.broadcast_to(np.int32(0), (n_outputs,)),
    )
