"""``aimc accuracy``: cases, intervals, ranks, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from scipy import stats

from emulator.chip.analog import Analog
from emulator.chip.load import load_chip
from emulator.errors import ConfigError, InputError
from emulator.values.crossbars import is_ideal
from launch.accuracy_cases import AGES_S, Sweeps, make_cases
from launch.accuracy_plot import _draw_panel
from launch.accuracy_table import Accuracy, _point, accuracy_to_text
from launch.accuracy_workload import Score
from launch.cli import main

CONFIGS = Path(__file__).parents[2] / "configs"

NOISY = make_cases(load_chip(CONFIGS / "chips" / "bruschi2023-pcm.yaml"), Sweeps((8,), (256,)))[-1]


def a_run_file(folder: Path, n_images: int = 40, **changes: Any) -> Path:
    """The digits run with some keys replaced and fewer images."""
    text = (CONFIGS / "runs" / "digits.yaml").read_text(encoding="utf-8").replace("../", f"{CONFIGS}/")
    content = yaml.safe_load(text)
    content["inputs"]["count"] = n_images
    path = folder / "digits.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}), encoding="utf-8")
    return path


def accuracy_of(config: Path, folder: Path, *arguments: str) -> dict[str, Any]:
    sweeps = ["--adc-bits", "2", "10", "--sizes", "64"]
    assert main(["accuracy", str(config), "-o", str(folder), *sweeps, *arguments]) == 0
    result: dict[str, Any] = json.loads((folder / "accuracy.json").read_text(encoding="utf-8"))
    return result


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("accuracy")
    return accuracy_of(a_run_file(folder), folder / "out", "--seeds", "2")


def points(result: dict[str, Any], group: str) -> dict[str, dict[str, Any]]:
    return {point["label"]: point for point in result["points"] if point["group"] == group}


def test_every_curve_has_its_points(result: dict[str, Any]) -> None:
    assert result["n_images"] == 40
    for group in ("drift, compensated", "drift, not compensated"):
        assert list(points(result, group)) == list(AGES_S)
    assert list(points(result, "after programming")) == ["programmed"]
    assert list(points(result, "ADC alone")) == list(points(result, "ADC with all models")) == ["2 bit", "10 bit"]
    assert list(points(result, "crossbar size")) == ["64 x 64"]


def test_ideal_crossbars_are_as_good_as_int8_and_a_wide_adc_is_nearly_so(result: dict[str, Any]) -> None:
    ideal = points(result, "reference")["ideal crossbars"]
    assert ideal["mean"] == result["int8_accuracy"]
    assert (ideal["half_width"], len(ideal["accuracies"])) == (0.0, 1)
    alone = points(result, "ADC alone")
    assert abs(alone["10 bit"]["mean"] - result["int8_accuracy"]) <= 1 / 40
    assert alone["2 bit"]["mean"] < result["int8_accuracy"] - 0.1


def test_drift_compensation_helps(result: dict[str, Any]) -> None:
    with_it, without = points(result, "drift, compensated"), points(result, "drift, not compensated")
    assert with_it["1 year"]["mean"] > without["1 year"]["mean"] + 0.3
    assert len(with_it["1 year"]["accuracies"]) == 2


def test_the_folder_gets_a_picture(result: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    assert result["points"]
    pictures = list(tmp_path_factory.getbasetemp().glob("accuracy0/out/accuracy.png"))
    assert len(pictures) == 1
    assert pictures[0].read_bytes().startswith(b"\x89PNG")


def test_results_do_not_depend_on_ranks(result: dict[str, Any], tmp_path: Path) -> None:
    config = a_run_file(tmp_path)
    assert accuracy_of(config, tmp_path / "two", "--seeds", "2", "-n", "2") == result


def test_an_interval_is_students() -> None:
    case = make_cases(load_chip(CONFIGS / "chips" / "bruschi2023-pcm.yaml"), Sweeps((8,), (256,)))[-1]
    counts = [500, 510, 520, 490]
    point = _point(case, [Score(n_right, 100, 3) for n_right in counts], 540)
    low, high = stats.t.interval(0.95, 3, np.mean(counts) / 540, stats.sem(np.array(counts) / 540))
    assert point.half_width == pytest.approx((high - low) / 2)
    assert point.clipped_share == 0.03
    single = _point(case, [Score(500, 0, 0)], 540)
    assert (single.half_width, single.clipped_share) == (None, None)


def test_an_interval_ends_at_0_and_100_percent_and_few_seeds_are_noted() -> None:
    def text(*counts: int) -> str:
        point = _point(NOISY, [Score(n_right, 0, 0) for n_right in counts], 100)
        return accuracy_to_text(Accuracy("digits", 100, 1, None, 0.99, (0.95, 1.0), (point,)))

    point = _point(NOISY, [Score(n_right, 0, 0) for n_right in (96, 100)], 100)
    assert point.half_width is not None
    assert point.half_width > 0.2
    assert point.errors == pytest.approx((point.half_width, 0.02))
    assert f"-{100 * point.half_width:.2f} +2.00" in text(96, 100)
    assert "Intervals from 2 seeds are rough and wide: use 5 or more (--seeds)." in text(96, 100)
    assert "1 seed gives no intervals: use 5 or more" in text(96)
    assert "--seeds" not in text(50, 51, 52, 53, 54)
    mean, half_width = 52, 100 * stats.t.ppf(0.975, 4) * stats.sem(np.array([50, 51, 52, 53, 54]) / 100)
    assert f"{mean}.00%" in text(50, 51, 52, 53, 54)
    assert f" {half_width:.2f} " in text(50, 51, 52, 53, 54)


def test_error_bars_stay_between_0_and_100_percent() -> None:
    points = [_point(NOISY, [Score(n_right, 0, 0) for n_right in counts], 100) for counts in ((96, 100), (0, 9))]
    axis = Figure().subplots()
    _draw_panel(axis, Accuracy("digits", 100, 1, None, 0.99, (0.95, 1.0), tuple(points)), (NOISY.group,))
    ((bars,),) = (container[2] for container in axis.containers)
    heights = [y for segment in bars.get_segments() for _, y in segment]
    assert min(heights) == pytest.approx(0)
    assert max(heights) == pytest.approx(100)


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (None, 1),
        ({"statistics": "generic", "drift": True, "drift_compensation": True, "age": "1 day"}, 0),
        ({"statistics": "generic", "drift": True, "drift_compensation": True, "age": "2 days"}, 1),
        ({"statistics": "generic", "programming_noise": True}, 0),
        ({"statistics": "generic", "read_noise": True}, 1),
    ],
)
def test_the_chip_as_it_is_is_among_the_cases_once(devices: dict[str, Any] | None, expected: int) -> None:
    chip = load_chip(CONFIGS / "chips" / "bruschi2023-pcm.yaml")
    models = Analog.model_validate({"output_noise": "6 %"} | ({} if devices is None else {"devices": devices}))
    ima = chip.cluster.ima.model_copy(update={"models": models})
    changed = chip.model_copy(update={"cluster": chip.cluster.model_copy(update={"ima": ima})})
    cases = make_cases(changed, Sweeps((), ()))
    as_it_is = [case for case in cases if case.label == "the chip as it is"]
    assert len(as_it_is) == expected
    assert sum(case.ima == ima for case in cases) == 1
    assert all(case.is_random for case in as_it_is)


@pytest.mark.parametrize(
    ("chip", "message"), [("bruschi2023", "its crossbars are ideal"), ("bruschi2023-sram", "digital and exact")]
)
def test_chips_without_analog_models_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], chip: str, message: str
) -> None:
    config = a_run_file(tmp_path, chip=str(CONFIGS / "chips" / f"{chip}.yaml"))
    assert main(["accuracy", str(config), "-o", str(tmp_path / "out")]) == ConfigError.exit_code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_impossible_converters_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["accuracy", str(a_run_file(tmp_path)), "-o", str(tmp_path / "out"), "--adc-bits", "8", "40"]
    assert main(arguments) == ConfigError.exit_code
    assert "--adc-bits: expected 2 to 24 bits, got 40" in capsys.readouterr().err


def test_crossbars_too_small_for_a_weight_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chip = yaml.safe_load((CONFIGS / "chips" / "bruschi2023-pcm.yaml").read_text(encoding="utf-8"))
    chip["cluster"]["ima"]["weight_bits"], chip["cluster"]["ima"]["analog"]["slices"] = 4, 2
    (tmp_path / "chip.yaml").write_text(yaml.safe_dump(chip), encoding="utf-8")
    config = a_run_file(tmp_path, chip=str(tmp_path / "chip.yaml"))
    assert main(["accuracy", str(config), "-o", str(tmp_path / "out"), "--sizes", "64", "1"]) == ConfigError.exit_code
    assert "--sizes: a weight takes 2 columns (slices), got 1" in capsys.readouterr().err


def test_the_reference_case_is_ideal_whatever_the_cells_have_room_for() -> None:
    chip = load_chip(CONFIGS / "chips" / "bruschi2023-pcm.yaml")
    models = chip.cluster.ima.analog.model_copy(update={"slices": 2, "cells": "rounding"})
    ima = chip.cluster.ima.model_copy(update={"weight_bits": 3, "models": models})
    narrow = chip.model_copy(update={"cluster": chip.cluster.model_copy(update={"ima": ima})})
    ideal = next(case for case in make_cases(narrow, Sweeps((8,), (64,))) if case.label == "ideal crossbars")
    assert is_ideal(ideal.ima)
    assert not ideal.is_random


@pytest.mark.parametrize("key", ["programming_noise", "read_noise"])
def test_noise_that_the_chip_does_not_have_is_in_no_case(key: str) -> None:
    chip = load_chip(CONFIGS / "chips" / "bruschi2023-pcm.yaml")
    ima = chip.cluster.ima
    assert ima.analog.devices is not None
    devices = ima.analog.devices.model_copy(update={key: False})
    ima = ima.model_copy(update={"models": ima.analog.model_copy(update={"devices": devices})})
    quiet = chip.model_copy(update={"cluster": chip.cluster.model_copy(update={"ima": ima})})
    cases = [case.ima.analog.devices for case in make_cases(quiet, Sweeps((8,), (64,)))]
    assert not any(getattr(each, key) for each in cases if each is not None)
    aged = [each for each in cases if each is not None and each.age_s == AGES_S["1 day"]]
    assert [each.drift for each in aged] == [True, True]


def test_a_run_on_analog_crossbars_differs_and_says_that_it_may(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["run", str(a_run_file(tmp_path)), "-o", str(run)]) == 0
    assert main(["verify", str(run)]) == 1
    assert "the chip's crossbars are not ideal, so this is no defect" in capsys.readouterr().out
    assert main(["report", str(run), "--json"]) == 0
    conversions = json.loads(capsys.readouterr().out)["conversions"]
    assert len(conversions) == 10  # convolutions, the classifier among them
    assert all(0 <= layer["n_clipped"] < 0.05 * layer["n_conversions"] for layer in conversions)
    stem = conversions[0]
    assert stem["n_conversions"] == 40 * 64 * 16  # images, pixels, channels
    assert main(["report", str(run)]) == 0
    assert "conversions clipped" in capsys.readouterr().out


def test_missing_and_wrong_labels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = str(CONFIGS / "networks" / "digits" / "test-images.npy")
    config = a_run_file(tmp_path, inputs={"path": images})
    assert main(["accuracy", str(config), "-o", str(tmp_path / "out")]) == ConfigError.exit_code
    assert "inputs.labels: accuracy needs the class of every image" in capsys.readouterr().err
    np.save(tmp_path / "labels.npy", np.zeros(10, np.uint8))
    config = a_run_file(tmp_path, inputs={"path": images, "labels": str(tmp_path / "labels.npy")})
    assert main(["accuracy", str(config), "-o", str(tmp_path / "out")]) == InputError.exit_code
    assert "expected whole numbers, one for each of 540 images, got uint8 (10,)" in capsys.readouterr().err
    from_one = np.load(CONFIGS / "networks" / "digits" / "test-labels.npy") + 1
    np.save(tmp_path / "labels.npy", from_one)
    assert main(["accuracy", str(config), "-o", str(tmp_path / "out")]) == InputError.exit_code
    assert "labels.npy: expected classes from 0 to 9, got 1 to 10" in capsys.readouterr().err


def test_programmed_devices_can_be_kept_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, kept = a_run_file(tmp_path, n_images=4), tmp_path / "devices.npz"
    assert main(["program", str(config), "-o", str(kept)]) == 0
    assert "14 crossbars programmed" in capsys.readouterr().out
    assert main(["program", str(config), "-o", str(kept)]) == ConfigError.exit_code
    assert "the file exists" in capsys.readouterr().err

    def digest(name: str, run: Path) -> str:
        assert main(["run", str(run), "-o", str(tmp_path / name), "--plane", "values"]) == 0
        return capsys.readouterr().out.split("digest ")[1].strip()

    programmed_anew = digest("anew", config)
    assert digest("kept", a_run_file(tmp_path, n_images=4, devices=str(kept))) == programmed_anew
    other = {"chip": str(CONFIGS / "chips" / "bruschi2023-hermes.yaml"), "devices": str(kept)}
    assert main(["run", str(a_run_file(tmp_path, 4, **other)), "-o", str(tmp_path / "x")]) == ConfigError.exit_code
    assert "programmed for another run (statistics differ)" in capsys.readouterr().err
    assert main(["accuracy", str(a_run_file(tmp_path, 4, devices=str(kept))), "-o", str(tmp_path / "z")]) == 2
    assert "devices: accuracy programs the devices of every seed and size anew" in capsys.readouterr().err


def test_what_are_no_programmed_devices_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "devices.npz"
    assert main(["program", str(a_run_file(tmp_path, n_images=4)), "-o", str(kept)]) == 0
    config = a_run_file(tmp_path, 4, devices=str(kept))

    def refusal() -> str:
        capsys.readouterr()
        assert main(["run", str(config), "-o", str(tmp_path / "out"), "--plane", "values"]) == InputError.exit_code
        error = capsys.readouterr().err
        assert error.startswith(f"aimc: error: {kept}: cannot be read as programmed devices: ")
        return error

    with np.load(kept) as file:
        arrays = dict(file)
    name = next(each for each in arrays if each.endswith("/conductance_us"))
    np.savez(kept, **{**arrays, name: arrays[name][..., :1]})  # would be spread over all columns
    assert f"{name.removesuffix('/conductance_us')}: expected numbers (2, 1, " in refusal()
    np.savez(kept, **{each: array for each, array in arrays.items() if each != name})
    assert "is not a file in the archive" in refusal()
    for wrong in (-0.5, np.nan, np.inf):
        np.savez(kept, **{**arrays, name: np.where(arrays[name] > 0, arrays[name], np.float32(wrong))})
        assert "expected finite numbers, at least 0" in refusal()
    np.savez(kept, **{**arrays, "identity": np.array("[]")})
    assert "expected a file that 'aimc program' wrote" in refusal()
    kept.write_bytes(b"nonsense")
    assert "expected a file that 'aimc program' wrote" in refusal()
    with kept.open("wb") as file:
        np.save(file, np.zeros(3))
    assert "expected a file that 'aimc program' wrote" in refusal()
