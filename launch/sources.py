"""The network and the inputs that a run file names: loaded, or made, in the form that everything else takes them."""

import hashlib
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from emulator.config import BuiltInConfig, DecoderConfig, OnnxConfig, RunConfig
from emulator.errors import InputError
from emulator.network.decoder import DecoderShape, decoder_stack
from emulator.network.graph import Network
from emulator.network.inputs import load_images
from emulator.network.onnx_import import import_onnx, is_quantized
from emulator.network.preprocess import PIXELS_OVER_255, Preprocessing
from emulator.network.quantize import quantize_onnx
from emulator.network.zoo import build_network, save_model

MODEL_NAME = "model.onnx"
INPUTS_NAME = "inputs.npy"


def load_inputs(config: RunConfig) -> NDArray[np.uint8]:
    """Load a run's images: as many as it asks for, cropped as it asks for; of tokens only their number and shape count.

    Raises:
        InputError: there are too few, or they are too small; or as ``load_images``.
    """
    inputs, network = config.inputs, config.network
    if isinstance(network, DecoderConfig):
        return np.broadcast_to(np.uint8(0), (inputs.count or 0, 1, 1, network.width))
    path = config.image_path
    images = load_images(path)
    if inputs.count is not None:
        if inputs.count > len(images):
            raise InputError(f"{path}: inputs.count asks for {inputs.count} images, there are {len(images)}")
        images = images[: inputs.count]
    if inputs.crop is not None:
        height, width = images.shape[1:3]
        if inputs.crop > min(height, width):
            raise InputError(f"{path}: inputs.crop asks for {inputs.crop} pixels, the images are {height} x {width}")
        top, left = (height - inputs.crop) // 2, (width - inputs.crop) // 2
        images = np.ascontiguousarray(images[:, top : top + inputs.crop, left : left + inputs.crop])
    return images


def write_model(config: RunConfig, images: NDArray[np.uint8], target: Path) -> None:
    """Write a run's network as a quantised model to ``target``, if it has weights.

    Raises:
        EmulatorError: the images have another size than a built-in network, or the network cannot be quantised.
    """
    network = config.network
    if isinstance(network, DecoderConfig):
        return
    if isinstance(network, BuiltInConfig):
        _check_image_size(config, network, images)
        with TemporaryDirectory() as folder:
            source = Path(folder) / f"{network.kind}.onnx"
            size = network.image_size
            model = build_network(network.kind, size, size, n_classes=network.classes, seed=network.seed)
            save_model(model, source)
            quantize_onnx(source, images, target)
        return
    source = config.resolve(network.model)
    if is_quantized(source):
        copyfile(source, target)
        return
    calibration = images if network.calibration is None else load_images(config.resolve(network.calibration))
    quantize_onnx(source, calibration, target, preprocessing_of(config))


def _check_image_size(config: RunConfig, network: BuiltInConfig, images: NDArray[np.uint8]) -> None:
    height, width = images.shape[1:3]
    if (height, width) != (network.image_size, network.image_size):
        raise InputError(
            f"{config.image_path}: expected images of {network.image_size} x {network.image_size} "
            f"(network.image_size), got {height} x {width}; crop them (inputs.crop) or change the network"
        )


def read_network(config: RunConfig, model: Path) -> Network:
    """Return a run's network as ``write_model`` wrote it to ``model``.

    Raises:
        NetworkError: the model holds what no crossbar and no core can do; names the run file's ONNX file.
    """
    network = config.network
    if isinstance(network, DecoderConfig):
        return decoder_stack(DecoderShape(network.layers, network.width, network.feed_forward, network.vocabulary))
    if isinstance(network, BuiltInConfig):
        return replace(import_onnx(model), name=network.kind)
    return replace(import_onnx(model, source=config.resolve(network.model)), name=network.model.stem)


def preprocessing_of(config: RunConfig) -> Preprocessing:
    """Return how the run's pixels become the network's input."""
    if isinstance(config.network, OnnxConfig):
        return Preprocessing(mean=config.network.mean, std=config.network.std)
    return PIXELS_OVER_255


def hash_model(model: Path) -> str:
    """Return the SHA-256 of what ``write_model`` wrote, empty where the network is shapes alone."""
    return hash_file(model) if model.exists() else ""


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
