"""From a run file to a workload: load the chip, bring the network into quantised form, load images, map, build.

Only rank 0 does this. Everything that made the run is copied to the output folder.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from emulator.chip.load import load_chip
from emulator.config import InputsConfig, OnnxConfig, ResNetConfig, RunConfig, load_run_config
from emulator.emulation import Workload
from emulator.errors import InputError
from emulator.mapping.mapping import Mapping
from emulator.mapping.place import map_network
from emulator.mapping.policy import ManualPolicy, load_policy
from emulator.network.graph import Network
from emulator.network.inputs import check_size, load_images
from emulator.network.onnx_import import import_onnx, is_quantized
from emulator.network.preprocess import PIXELS_OVER_255, Preprocessing, quantize_input
from emulator.network.quantize import quantize_onnx
from emulator.network.zoo import RESNET8, RESNET18, RESNET34, build_resnet, save_model
from emulator.program.build import build_program

MODEL_NAME = "model.onnx"
INPUTS_NAME = "inputs.npy"
CONFIG_NAMES = {"run_file": "run.yaml", "chip_file": "chip.yaml", "policy_file": "policy.yaml"}

_SHAPES = {"resnet18": RESNET18, "resnet34": RESNET34, "resnet8": RESNET8}


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A workload and what it was made from.

    Attributes:
        images: uint8, (n_images, height, width, channels).
        model_hash: SHA-256 of the quantised model's file.
        texts: run, chip and policy file, by the names of the trace's attributes.
    """

    config: RunConfig
    workload: Workload
    network: Network
    images: NDArray[np.uint8]
    model_hash: str
    texts: dict[str, str]


def prepare_run(config_path: Path, folder: Path, seed: int | None) -> Prepared:
    """Prepare a run and copy all that made it to ``folder``.

    Args:
        config_path: the run file.
        folder: an existing, empty output folder.
        seed: replaces the run file's seed if given.

    Raises:
        EmulatorError: whatever is wrong with the run's files, its network or its mapping.
    """
    config = load_run_config(config_path)
    if seed is not None:
        config = config.model_copy(update={"seed": seed})
    images = _load_inputs(config, config.inputs)
    model = folder / MODEL_NAME
    _write_model(config, images, model)
    network = _import(config, model)
    check_size(images, network, config.resolve(config.inputs.path))
    mapping = _map(config, network)
    workload = Workload(mapping, build_program(mapping), quantize_input(network, images, preprocessing_of(config)))
    np.save(folder / INPUTS_NAME, images)
    paths = {"run_file": config_path, "chip_file": config.resolve(config.chip)}
    paths["policy_file"] = config.resolve(config.policy)
    texts = {key: path.read_text(encoding="utf-8") for key, path in paths.items()}
    for key, text in texts.items():
        (folder / CONFIG_NAMES[key]).write_text(text, encoding="utf-8")
    model_hash = hashlib.sha256(model.read_bytes()).hexdigest()
    return Prepared(config, workload, network, images, model_hash, texts)


def map_only(config_path: Path) -> Mapping:
    """Map a run's network without running it.

    Raises:
        EmulatorError: whatever is wrong with the run's files, its network or its mapping.
    """
    config = load_run_config(config_path)
    images = _load_inputs(config, config.inputs)
    with TemporaryDirectory() as folder:
        model = Path(folder) / MODEL_NAME
        _write_model(config, images, model)
        network = _import(config, model)
    mapping = _map(config, network)
    build_program(mapping)  # checks that every L1 holds its buffers
    return mapping


def preprocessing_of(config: RunConfig) -> Preprocessing:
    """Return how the run's pixels become the network's input."""
    if isinstance(config.network, OnnxConfig):
        return Preprocessing(mean=config.network.mean, std=config.network.std)
    return PIXELS_OVER_255


def _import(config: RunConfig, model: Path) -> Network:
    network = config.network
    name = network.model.stem if isinstance(network, OnnxConfig) else network.kind
    return replace(import_onnx(model), name=name)


def _map(config: RunConfig, network: Network) -> Mapping:
    chip = load_chip(config.resolve(config.chip))
    policy = load_policy(config.resolve(config.policy))
    assert isinstance(policy, ManualPolicy)
    return map_network(network, chip, policy)


def _load_inputs(config: RunConfig, inputs: InputsConfig) -> NDArray[np.uint8]:
    path = config.resolve(inputs.path)
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


def _write_model(config: RunConfig, images: NDArray[np.uint8], target: Path) -> None:
    """Write the run's network as a quantised model to ``target``."""
    network = config.network
    if isinstance(network, ResNetConfig):
        _check_resnet_images(config, network, images)
        with TemporaryDirectory() as folder:
            source = Path(folder) / f"{network.kind}.onnx"
            size = network.image_size
            shape = _SHAPES[network.kind]
            model = build_resnet(shape, size, size, n_classes=network.classes, seed=network.seed, name=network.kind)
            save_model(model, source)
            quantize_onnx(source, images, target)
        return
    source = config.resolve(network.model)
    if is_quantized(source):
        copyfile(source, target)
        return
    calibration = images if network.calibration is None else load_images(config.resolve(network.calibration))
    quantize_onnx(source, calibration, target, preprocessing_of(config))


def _check_resnet_images(config: RunConfig, network: ResNetConfig, images: NDArray[np.uint8]) -> None:
    height, width = images.shape[1:3]
    if (height, width) != (network.image_size, network.image_size):
        raise InputError(
            f"{config.resolve(config.inputs.path)}: expected images of {network.image_size} x {network.image_size} "
            f"(network.image_size), got {height} x {width}; crop them (inputs.crop) or change the network"
        )
