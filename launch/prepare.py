"""From a run file to a workload: load the chip, bring the network into quantised form, load images, map, build.

Only rank 0 does this. Everything that made the run is copied to the output folder.
"""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from emulator.chip.load import load_chip
from emulator.chip.spec import Chip
from emulator.config import OnnxConfig, RunConfig, load_run_config
from emulator.emulation import Plane, Workload
from emulator.errors import ConfigError, MappingError
from emulator.mapping.policy import OptimizePolicy, Policy, load_policy, policy_to_yaml
from emulator.network.inputs import check_size, load_images
from emulator.network.preprocess import quantize_input
from emulator.optimize.judge import Found, OnCandidate
from emulator.optimize.plan import Plan, plan_mapping
from emulator.program.build import build_program
from emulator.program.dataflow import Program
from emulator.values.calibration import calibrate, needs_calibration
from emulator.values.holdings import AnalogSetup
from launch.devices import load_devices
from launch.sources import (
    INPUTS_NAME,
    MODEL_NAME,
    hash_file,
    hash_model,
    load_inputs,
    preprocessing_of,
    read_network,
    write_model,
)

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
        model_hash: SHA-256 of the quantised model's file, empty where the network is shapes alone.
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
    if plane is not Plane.TIMING:
        config.require_weights("emulate its times alone (--plane timing)")
    if seed is not None:
        config = config.model_copy(update={"seed": seed})
    chip, policy = load_chip(config.resolve(config.chip)), load_policy(config.resolve(config.policy))
    images = load_inputs(config)
    model = folder / MODEL_NAME
    write_model(config, images, model)
    workload, mapping_text = make_workload(config, chip, policy, images, model, on_candidate)
    if plane is not Plane.TIMING:
        workload = set_up_analog(config, workload, images)
    if model.exists():
        with _writing(folder / INPUTS_NAME) as path:
            np.save(path, images)
    paths = {"run_file": config_path, "chip_file": config.resolve(config.chip)}
    paths["policy_file"] = config.resolve(config.policy)
    texts = {key: path.read_text(encoding="utf-8") for key, path in paths.items()} | {"mapping_file": mapping_text}
    for key, text in texts.items():
        with _writing(folder / CONFIG_NAMES[key]) as path:
            path.write_text(text, encoding="utf-8")
    devices_hash = "" if config.devices is None else hash_file(config.resolve(config.devices))
    return Prepared(config, workload, images, hash_model(model), texts, devices_hash)


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """Say which file could not be written.

    Raises:
        ConfigError: the system refuses to write it.
    """
    try:
        yield path
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror or error}; make room or choose another output folder"
        ) from None


def make_workload(
    config: RunConfig, chip: Chip, policy: Policy, images: NDArray[np.uint8], model: Path, on_candidate: OnCandidate,
    *, ends_early: bool = True,
) -> tuple[Workload, str]:  # fmt: skip
    """Map a quantised network, build its program and quantise its input; depends on nothing but the arguments.

    Args:
        config: the run file; its chip and policy are not read, but errors name them.
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
    network = read_network(config, model)
    if config.inputs.path is not None:
        check_size(images, network, config.image_path)
    with _naming_files(config):
        plan = plan_mapping(
            network, chip, policy, n_images=len(images), seed=config.seed, on_candidate=on_candidate,
            ends_early=ends_early,
        )  # fmt: skip
    pixels = quantize_input(network, images, preprocessing_of(config))
    program, text = build_program(plan.mapping), mapping_text(plan)
    return Workload(plan.mapping, program, pixels), text


@contextmanager
def _naming_files(config: RunConfig) -> Iterator[None]:
    """Put the path of the chip or policy file in place of "chip" or "policy", with which a mapping's errors begin."""
    try:
        yield
    except (ConfigError, MappingError) as error:
        what, _, said = str(error).partition(": ")
        path = {"chip": config.chip, "policy": config.policy}.get(what)
        if path is None:
            raise
        kind = ConfigError if isinstance(error, ConfigError) else MappingError
        raise kind(f"{config.resolve(path)}: {said}") from error


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
    comment = textwrap.fill(describe_search(plan, plan.found), 110, initial_indent="# ", subsequent_indent="# ")
    return f"# {plan.mapping.network.name} on {plan.mapping.chip.name}\n{comment}\n{text}"


def describe_search(plan: Plan, found: Found) -> str:
    """Say what a plan's search has found, and whether its policy allows more clusters than there are."""
    figures, policy, chip = found.figures, plan.policy, plan.mapping.chip
    more = ""
    if isinstance(policy, OptimizePolicy) and policy.clusters > chip.n_clusters:
        more = f" The policy allows {policy.clusters:,} clusters, {chip.name} has {chip.n_clusters:,}."
    return (
        f"Found among {found.n_evaluated} mappings: {figures.images_per_second:,.1f} images/s over "
        f"{figures.n_images} images, {figures.steady_images_per_second:,.1f} in steady state; no mapping exceeds "
        f"{found.bound.images_per_second:,.1f} in steady state.{more}"
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
        network = read_network(config, model)
    with _naming_files(config):
        plan = plan_mapping(network, chip, policy, n_images=len(images), seed=config.seed, on_candidate=on_candidate)
    return plan, build_program(plan.mapping)
