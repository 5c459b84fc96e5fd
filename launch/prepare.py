"""From a run file to a workload: load the chip, bring the network into quantised form, load images, map, build.

Only rank 0 does this. Everything that made the run is copied to the output folder.
"""

import hashlib
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from emulator.chip.load import load_chip
from emulator.chip.spec import Chip
from emulator.config import BuiltInConfig, OnnxConfig, RunConfig, load_run_config
from emulator.emulation import Plane, Workload
from emulator.errors import InputError
from emulator.mapping.policy import Policy, load_policy, policy_to_yaml
from emulator.network.graph import Network
from emulator.network.inputs import check_size, load_images
from emulator.network.onnx_import import import_onnx, is_quantized
from emulator.network.preprocess import PIXELS_OVER_255, Preprocessing, quantize_input
from emulator.network.quantize import quantize_onnx
from emulator.network.zoo import build_network, save_model
from emulator.optimize.judge import Found, OnCandidate
from emulator.optimize.plan import Plan, plan_mapping
from emulator.program.build import build_program
from emulator.program.dataflow import Program
from emulator.values.calibration import calibrate, needs_calibration
from emulator.values.holdings import AnalogSetup
from launch.devices import load_devices

MODEL_NAME = "model.onnx"
INPUTS_NAME = "inputs.npy"
CONFIG_NAMES = {
    "run_file": "run.yaml",
    "chip_file": "chip.yaml",
    "policy_file": "policy.yaml",
    "mapping_file": "mapping.yaml",
}


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A workload and what it was made from.

    Attributes:
        images: uint8, (n_images, height, width, channels).
        model_hash: SHA-256 of the quantised model's file.
        texts: run, chip and policy file, and the mapping as a policy file, by the names of the trace's attributes.
        devices_hash: SHA-256 of the programmed devices' file, empty if there is none.
    """

    config: RunConfig
    workload: Workload
    images: NDArray[np.uint8]
    model_hash: str
    texts: dict[str, str]
    devices_hash: str = ""


def prepare_run(
    config_path: Path, folder: Path, seed: int | None, on_candidate: OnCandidate, plane: Plane = Plane.BOTH
) -> Prepared:
    """Prepare a run and copy all that made it to ``folder``.

    Args:
        config_path: the run file.
        folder: an existing, empty output folder.
        seed: replaces the run file's seed if given.
        on_candidate: hears of every candidate of a search for a mapping.
        plane: what will run; analog crossbars are set up for values alone.

    Raises:
        EmulatorError: whatever is wrong with the run's files, its network or its mapping.
    """
    config = load_run_config(config_path)
    if seed is not None:
        config = config.model_copy(update={"seed": seed})
    chip, policy = load_chip(config.resolve(config.chip)), load_policy(config.resolve(config.policy))
    images = load_inputs(config)
    model = folder / MODEL_NAME
    write_model(config, images, model)
    workload, mapping_text = make_workload(config, chip, policy, images, model, on_candidate)
    if plane is not Plane.TIMING:
        workload = set_up_analog(config, workload, images)
    np.save(folder / INPUTS_NAME, images)
    paths = {"run_file": config_path, "chip_file": config.resolve(config.chip)}
    paths["policy_file"] = config.resolve(config.policy)
    texts = {key: path.read_text(encoding="utf-8") for key, path in paths.items()} | {"mapping_file": mapping_text}
    for key, text in texts.items():
        (folder / CONFIG_NAMES[key]).write_text(text, encoding="utf-8")
    devices_hash = "" if config.devices is None else hash_file(config.resolve(config.devices))
    return Prepared(config, workload, images, hash_file(model), texts, devices_hash)


def make_workload(
    config: RunConfig, chip: Chip, policy: Policy, images: NDArray[np.uint8], model: Path, on_candidate: OnCandidate,
    *, ends_early: bool = True,
) -> tuple[Workload, str]:  # fmt: skip
    """Map a quantised network, build its program and quantise its input; depends on nothing but the arguments.

    Args:
        config: the run file; its chip, policy and inputs are not read.
        chip: the chip to map to.
        policy: how to map.
        images: the run's images, as ``load_inputs`` gave them.
        model: the run's quantised network, as ``write_model`` wrote it.
        on_candidate: hears of every candidate of a search for a mapping.
        ends_early: an interrupt ends a search with the best so far, if there is one.

    Returns:
        The workload, and its mapping as the text of a policy file.

    Raises:
        EmulatorError: the images do not fit the network, or the network does not fit the chip (``MappingError``).
    """
    network = _import(config, model)
    check_size(images, network, config.resolve(config.inputs.path))
    plan = plan_mapping(
        network, chip, policy, n_images=len(images), seed=config.seed, on_candidate=on_candidate, ends_early=ends_early
    )
    pixels = quantize_input(network, images, preprocessing_of(config))
    program, text = build_program(plan.mapping), mapping_text(plan)
    return Workload(plan.mapping, program, pixels), text


def set_up_analog(config: RunConfig, workload: Workload, images: NDArray[np.uint8]) -> Workload:
    """Return a workload with calibrated ADCs and programmed devices, as far as its chip and the run file ask for them.

    Args:
        config: the run file.
        workload: what ``make_workload`` made of it.
        images: the run's images, for calibration where the run file names no others.

    Raises:
        EmulatorError: calibration images or devices are not there, or do not fit.
    """
    mapping, program = workload.mapping, workload.program
    ima, largest_sums, programmed = mapping.chip.cluster.ima, {}, {}
    if needs_calibration(ima):
        calibration_images = _calibration_images(config, images)
        seen = quantize_input(mapping.network, calibration_images, preprocessing_of(config))
        largest_sums = calibrate(mapping, program, seen)
    if config.devices is not None:
        programmed = load_devices(config.resolve(config.devices), mapping, program)
    return replace(workload, analog=AnalogSetup(config.seed, largest_sums, programmed))


def _calibration_images(config: RunConfig, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what ranges are calibrated with: the images that the run file names for it, else the run's own."""
    named = config.network.calibration if isinstance(config.network, OnnxConfig) else None
    return images if named is None else load_images(config.resolve(named))


def mapping_text(plan: Plan) -> str:
    """Return a mapping as the text of a policy file; says what it was found to reach."""
    text = policy_to_yaml(plan.mapping.policy)
    if plan.found is None:
        return text
    comment = textwrap.fill(describe_search(plan.found), 110, initial_indent="# ", subsequent_indent="# ")
    return f"# {plan.mapping.network.name} on {plan.mapping.chip.name}\n{comment}\n{text}"


def describe_search(found: Found) -> str:
    """Say what a search has found."""
    figures = found.figures
    return (
        f"Found among {found.n_evaluated} mappings: {figures.images_per_second:,.1f} images/s over "
        f"{figures.n_images} images, {figures.steady_images_per_second:,.1f} in steady state; no mapping exceeds "
        f"{found.bound.images_per_second:,.1f} in steady state."
    )


def map_only(config_path: Path, on_candidate: OnCandidate) -> tuple[Plan, Program]:
    """Map a run's network without running it.

    Raises:
        EmulatorError: whatever is wrong with the run's files, its network or its mapping.
    """
    config = load_run_config(config_path)
    images = load_inputs(config)
    chip, policy = load_chip(config.resolve(config.chip)), load_policy(config.resolve(config.policy))
    with TemporaryDirectory() as folder:
        model = Path(folder) / MODEL_NAME
        write_model(config, images, model)
        network = _import(config, model)
    plan = plan_mapping(network, chip, policy, n_images=len(images), seed=config.seed, on_candidate=on_candidate)
    return plan, build_program(plan.mapping)


def preprocessing_of(config: RunConfig) -> Preprocessing:
    """Return how the run's pixels become the network's input."""
    if isinstance(config.network, OnnxConfig):
        return Preprocessing(mean=config.network.mean, std=config.network.std)
    return PIXELS_OVER_255


def _import(config: RunConfig, model: Path) -> Network:
    network = config.network
    name = network.model.stem if isinstance(network, OnnxConfig) else network.kind
    return replace(import_onnx(model), name=name)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_inputs(config: RunConfig) -> NDArray[np.uint8]:
    """Load a run's images: as many as it asks for, cropped as it asks for.

    Raises:
        InputError: there are too few, or they are too small; or as ``load_images``.
    """
    inputs = config.inputs
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


def write_model(config: RunConfig, images: NDArray[np.uint8], target: Path) -> None:
    """Write a run's network as a quantised model to ``target``.

    Raises:
        EmulatorError: the images have another size than a built-in network, or the network cannot be quantised.
    """
    network = config.network
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
            f"{config.resolve(config.inputs.path)}: expected images of {network.image_size} x {network.image_size} "
            f"(network.image_size), got {height} x {width}; crop them (inputs.crop) or change the network"
        )
