"""Built-in networks: floating-point ONNX models with random weights and batch norm folded in."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import onnx

from emulator.network.model_builder import ModelBuilder

_STEM_VARIANCE = 64.0  # pixels are positive with little local contrast: this lifts the first feature map to unit scale


@dataclass(frozen=True, slots=True)
class ResNetShape:
    """The shape of a residual network.

    Attributes:
        blocks: number of blocks of each stage; every stage but the first halves the size of the feature map.
        channels: channels of the 3 x 3 convolutions of each stage.
        stem_kernel: kernel size of the first convolution.
        stem_stride: its stride; with 2, a 3 x 3 maximum pool of stride 2 follows.
        expansion: 1 for basic blocks (two 3 x 3 convolutions), else for bottleneck blocks (1 x 1, 3 x 3, 1 x 1), whose
            output has so many times more channels.
    """

    blocks: tuple[int, ...]
    channels: tuple[int, ...]
    stem_kernel: int = 7
    stem_stride: int = 2
    expansion: int = 1


@dataclass(frozen=True, slots=True)
class VggShape:
    """The shape of a network of 3 x 3 convolutions.

    Attributes:
        stages: channels of the convolutions of each stage; a 2 x 2 maximum pool follows each stage.
        hidden: outputs of the fully connected layers before the last one.
    """

    stages: tuple[tuple[int, ...], ...]
    hidden: tuple[int, ...]


#: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1. In ResNet-50 the 3 x 3 convolution of
#: a bottleneck block has the stride, as in later implementations. ResNet-8 is for images of 32 x 32 pixels.
#: Simonyan and Zisserman, ICLR 2015, table 1, columns A and D; VGG-11 with one fully connected layer only, as usual for
#: images of 32 x 32 pixels.
SHAPES: dict[str, ResNetShape | VggShape] = {
    "resnet8": ResNetShape((1, 1, 1), (8, 16, 32), stem_kernel=3, stem_stride=1),
    "resnet18": ResNetShape((2, 2, 2, 2), (64, 128, 256, 512)),
    "resnet34": ResNetShape((3, 4, 6, 3), (64, 128, 256, 512)),
    "resnet50": ResNetShape((3, 4, 6, 3), (64, 128, 256, 512), expansion=4),
    "vgg11": VggShape(((64,), (128,), (256, 256), (512, 512), (512, 512)), ()),
    "vgg16": VggShape(((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3), (4096, 4096)),
}


def build_network(kind: str, height: int, width: int, *, n_classes: int, seed: int) -> onnx.ModelProto:
    """Build a network as a floating-point ONNX model.

    Args:
        kind: a key of ``SHAPES``; also the name of the graph.
        height: image height in pixels.
        width: image width in pixels.
        n_classes: outputs of the last layer.
        seed: of the weights; every layer draws from its own stream.

    Returns:
        The model: input "image" (batch, 3, height, width), output "logits" (batch, n_classes).
    """
    shape, builder = SHAPES[kind], ModelBuilder(seed)
    if isinstance(shape, ResNetShape):
        _add_resnet(builder, shape, n_classes)
    else:
        _add_vgg(builder, shape, height, width, n_classes)
    return builder.model(kind, height, width, n_classes)


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a model to a file."""
    onnx.save(model, path)


def _add_resnet(builder: ModelBuilder, shape: ResNetShape, n_classes: int) -> None:
    c_in = shape.channels[0]
    x = builder.relu(builder.conv("stem", "image", (3, c_in, shape.stem_kernel), shape.stem_stride, _STEM_VARIANCE))
    if shape.stem_stride > 1:
        x = builder.node("MaxPool", "pool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for stage, (n_blocks, channels) in enumerate(zip(shape.blocks, shape.channels, strict=True), start=1):
        for block in range(1, n_blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _add_block(builder, f"stage{stage}.block{block}", x, (c_in, channels, shape.expansion), stride)
            c_in = channels * shape.expansion
    x = builder.node("GlobalAveragePool", "average", [x])
    x = builder.node("Flatten", "flatten", [x], axis=1)
    builder.classifier("classifier", x, c_in, n_classes)


def _add_block(builder: ModelBuilder, name: str, x: str, channels: tuple[int, int, int], stride: int) -> str:
    """Add the convolutions of a block beside a shortcut, which is a 1 x 1 convolution where the shape changes.

    ``channels`` is (input channels, channels within, expansion). The last convolution is scaled by sqrt(1/2) and
    shortcut convolutions keep the variance, so that the residual sums stay in range.
    """
    c_in, c_within, expansion = channels
    c_out = c_within * expansion
    if expansion == 1:
        y = builder.relu(builder.conv(f"{name}.conv1", x, (c_in, c_within, 3), stride))
        y = builder.conv(f"{name}.conv2", y, (c_within, c_out, 3), 1, variance=1.0)
    else:
        y = builder.relu(builder.conv(f"{name}.conv1", x, (c_in, c_within, 1), 1))
        y = builder.relu(builder.conv(f"{name}.conv2", y, (c_within, c_within, 3), stride))
        y = builder.conv(f"{name}.conv3", y, (c_within, c_out, 1), 1, variance=1.0)
    if stride > 1 or c_in != c_out:
        x = builder.conv(f"{name}.shortcut", x, (c_in, c_out, 1), stride, variance=1.0)
    return builder.relu(builder.node("Add", f"{name}.add", [y, x]))


def _add_vgg(builder: ModelBuilder, shape: VggShape, height: int, width: int, n_classes: int) -> None:
    x, c_in = "image", 3
    for stage, convolutions in enumerate(shape.stages, start=1):
        for i, channels in enumerate(convolutions, start=1):
            variance = {"variance": _STEM_VARIANCE} if x == "image" else {}
            x = builder.relu(builder.conv(f"stage{stage}.conv{i}", x, (c_in, channels, 3), 1, **variance))
            c_in = channels
        x = builder.node("MaxPool", f"stage{stage}.pool", [x], kernel_shape=[2, 2], strides=[2, 2])
        height, width = height // 2, width // 2
    x = builder.node("Flatten", "flatten", [x], axis=1)
    sizes = (height * width * c_in, *shape.hidden)
    for i, (n_inputs, n_outputs) in enumerate(pairwise(sizes), start=1):
        x = builder.relu(builder.dense(f"dense{i}", x, n_inputs, n_outputs))
    builder.classifier("classifier", x, sizes[-1], n_classes)
