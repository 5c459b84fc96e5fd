"""From the pixels of an image to the network's input tensor."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.digital.quantization import Quantized, quantize
from emulator.network.graph import Network


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Normalisation of pixels, ``(pixel / 255 - mean) / std`` in float32; one number for each channel or for all."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


PIXELS_OVER_255 = Preprocessing()


def to_tensor(images: NDArray[np.uint8], preprocessing: Preprocessing = PIXELS_OVER_255) -> NDArray[np.float32]:
    """Normalise pixels.

    Args:
        images: uint8, (n, height, width, channels).
        preprocessing: mean and standard deviation, in units of the full pixel range.

    Returns:
        float32, same shape and layout.
    """
    mean = np.asarray(preprocessing.mean, np.float32)
    std = np.asarray(preprocessing.std, np.float32)
    return (images.astype(np.float32) / np.float32(255) - mean) / std


def to_nchw(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring (n, height, width, channels) into ONNX's order (n, channels, height, width)."""
    return np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))


def quantize_input(
    network: Network, images: NDArray[np.uint8], preprocessing: Preprocessing = PIXELS_OVER_255
) -> Quantized:
    """Turn images into the integers that enter the network's first layer, one after the other: they may be many.

    Args:
        network: the network; its input feature map has the images' size.
        images: uint8, (n, height, width, channels).
        preprocessing: how pixels are normalised.

    Returns:
        (n, height, width, channels) integers, exactly as onnxruntime's QuantizeLinear makes them.
    """
    quantization = network.feature_maps[network.input].quantization
    result = np.empty(images.shape, quantization.dtype)
    for image, quantized in zip(images, result, strict=True):
        quantized[...] = quantize(to_tensor(image, preprocessing), quantization)
    return result
