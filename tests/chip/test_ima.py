"""Crossbar technologies and their analog models in chip files."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from emulator.chip.analog import Analog
from emulator.chip.ima import DigitalIma, PcmIma
from emulator.chip.load import load_chip
from emulator.chip.spec import Chip
from emulator.errors import ConfigError, MappingError
from emulator.mapping.place import _check_widths

CHIPS = Path(__file__).parents[2] / "configs" / "chips"
DEVICES = {
    "statistics": "generic", "programming_noise": True, "drift": True, "read_noise": True, "age": "1 day",
    "drift_compensation": True,
}  # fmt: skip
VARIANTS = ("bruschi2023-pcm", "bruschi2023-hermes", "bruschi2023-sram")


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CHIPS / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def refusal(tmp_path: Path, ima: dict[str, Any], name: str = "bruschi2023-pcm") -> str:
    content = read(name)
    content["cluster"]["ima"] |= ima
    path = tmp_path / "chip.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_chip(path)
    return str(caught.value).replace(f"{path}: ", "")


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_differ_from_the_published_chip_in_their_crossbars_alone(name: str) -> None:
    variant, published = read(name), read("bruschi2023")
    for content in (variant, published):
        del content["cluster"]["ima"], content["name"]
        if name == "bruschi2023-sram":  # other silicon: other energy and area, and nothing was published of it
            del content["energy"]["mvm"], content["area"]["ima"]
            content.pop("published", None)
    assert variant == published


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_survives_the_way_to_another_rank(name: str) -> None:
    chip = load_chip(CHIPS / f"{name}.yaml")
    assert Chip.model_validate_json(chip.model_dump_json(by_alias=True)) == chip


@pytest.mark.parametrize("name", VARIANTS)
def test_every_value_of_a_variants_crossbars_names_its_source(name: str) -> None:
    lines = (CHIPS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    begin, end = (next(i for i, line in enumerate(lines) if line.startswith(key)) for key in ("  ima:", "  dma:"))
    valued = [line for line in lines[begin:end] if line.partition(":")[2].split("#")[0].strip()]
    assert len(valued) >= 11
    assert all("# [" in line for line in valued), valued


def test_crossbars_without_models_are_ideal() -> None:
    assert load_chip(CHIPS / "bruschi2023.yaml").cluster.ima.analog == Analog()
    assert load_chip(CHIPS / "bruschi2023-sram.yaml").cluster.ima.analog == Analog()


def test_models_come_with_their_units() -> None:
    analog = load_chip(CHIPS / "bruschi2023-hermes.yaml").cluster.ima.analog
    assert analog.devices is not None
    assert analog.wires is not None
    assert analog.adc is not None
    assert (analog.devices.statistics, analog.devices.age_s) == ("hermes_two_devices", 3600.0)
    assert (analog.wires.segment_ohm, analog.adc.gain_spread, analog.adc.nonlinearity_lsb) == (0.35, 0.005, 0.5)
    assert analog.output_noise == 0.06


def test_a_digital_crossbar_takes_its_inputs_bit_by_bit() -> None:
    ima = load_chip(CHIPS / "bruschi2023-sram.yaml").cluster.ima
    assert isinstance(ima, DigitalIma)
    assert ima.mvm_ps(1000) == (8 + 4) * 1000
    assert ima.mvm_ps(2500) == (8 + 4) * 2500
    four_bits = ima.model_copy(update={"dac_bits": 4, "cycles_per_input_bit": 3})
    assert four_bits.mvm_ps(1000) == (12 + 4) * 1000
    # 256 inputs of 1 byte and 256 sums of 3 bytes over 64 bytes per cycle
    assert ima.job_latency_ps(256, 256, 1000) == ((4 + 2) + (12 + 4) + 12) * 1000
    assert ima.job_interval_ps(256, 256, 1000) == 22_000


def test_the_time_of_an_analog_mvm_does_not_depend_on_the_clock() -> None:
    ima = load_chip(CHIPS / "bruschi2023-pcm.yaml").cluster.ima
    assert ima.mvm_ps(1000) == ima.mvm_ps(2500) == 130_000


def test_sliced_weights_take_columns_and_results_of_their_own() -> None:
    ima = load_chip(CHIPS / "bruschi2023-pcm.yaml").cluster.ima
    assert isinstance(ima, PcmIma)
    sliced = ima.model_copy(update={"weight_bits": 4, "models": Analog(slices=2)})
    assert (ima.weight_columns, sliced.weight_columns) == (256, 128)
    assert sliced.stream_out_cycles(128) == ima.stream_out_cycles(256)


@pytest.mark.parametrize(
    ("analog", "message"),
    [
        ({"drift": True}, "cluster.ima.analog.drift: unknown key; known keys: slices, cells, devices"),
        ({"wires": {"segment": "1 ohm"}}, "cluster.ima.analog: 'wires' needs 'devices'"),
        ({"wires": {"segment": "1"}}, "cluster.ima.analog.wires.segment: expected a resistance such as '0.35 ohm'"),
        ({"output_noise": 0.06}, "cluster.ima.analog.output_noise: expected a ratio such as '1.5 %', got 0.06 without"),
        (
            {"output_noise": "1001 %"},
            "cluster.ima.analog: expected output_noise of at most 1000 % of one device's largest current, got 1001 %",
        ),
        (
            {"adc": {"range": "per_column", "gain_spread": "21 %", "integral_nonlinearity": "0 LSB"}},
            "cluster.ima.analog.adc: expected gain_spread of at most 20 %, got 21 %",
        ),
        (
            {"adc": {"range": "per_column", "gain_spread": "0 %", "integral_nonlinearity": "128 LSB"}},
            "cluster.ima: analog.adc.integral_nonlinearity: ADCs of 8 bits reach 127 LSB, got 128",
        ),
        ({"slices": 2}, "cluster.ima: analog.slices: weights of 8 bits fill at most 1 cells of 8 bits"),
        (
            {"adc": {"range": "fixed", "gain_spread": "0 %", "integral_nonlinearity": "0 LSB"}},
            "cluster.ima.analog.adc: fixed_range is needed with 'range: fixed'",
        ),
        (
            {"adc": {"range": "per_cell", "gain_spread": "0 %", "integral_nonlinearity": "0 LSB"}},
            "cluster.ima.analog.adc.range: expected 'per_column', 'per_layer' or 'fixed', got 'per_cell'",
        ),
        (
            {"devices": {**DEVICES, "g_max": "5 uS", "g_min": "6 uS"}},
            "devices: expected g_max above g_min, got 5.0",
        ),
        ({"devices": {"statistics": "generic", "drift": True}}, "analog.devices: drift needs 'age', the time since"),
        # the statistics' own g_max counts, too
        ({"devices": {**DEVICES, "g_min": "25 uS"}}, "devices: expected g_max above g_min, got 25.0 and 25.0 uS"),
        (
            {"devices": {"statistics": "flash"}},
            "cluster.ima.analog.devices.statistics: expected 'generic', 'hermes_one_device' or 'hermes_two_devices'",
        ),
        (
            {"devices": {"age": "1 fortnight"}},
            "cluster.ima.analog.devices.age: expected a time such as '1 day', got '1 fortnight' (known units: s",
        ),
    ],
)
def test_an_impossible_model_is_refused_with_its_path(tmp_path: Path, analog: dict[str, Any], message: str) -> None:
    assert message in refusal(tmp_path, {"analog": analog})


def test_a_model_whose_key_is_absent_is_off() -> None:
    short = {"devices": {"statistics": "generic"}, "faults": {"stuck_on": "1 %"}, "adc": {"range": "per_column"}}
    long = {
        "devices": {
            "statistics": "generic", "programming_noise": False, "drift": False, "read_noise": False, "age": "0 s",
            "drift_compensation": False,
        },
        "faults": {"stuck_off": "0 %", "stuck_on": "1 %", "dead_crossbars": "0 %"},
        "adc": {"range": "per_column", "gain_spread": "0 %", "integral_nonlinearity": "0 LSB"},
    }  # fmt: skip
    assert Analog.model_validate(short) == Analog.model_validate(long)


@pytest.mark.parametrize(
    ("bits", "message"),
    [(1, "adc_bits: converters with a model have 2 to 24 bits, got 1"), (25, "have 2 to 24 bits, got 25")],
)
def test_converters_of_impossible_widths_are_refused(tmp_path: Path, bits: int, message: str) -> None:
    assert message in refusal(tmp_path, {"adc_bits": bits})


def test_a_digital_crossbar_has_no_analog_models(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"analog": {"output_noise": "6 %"}}, "bruschi2023-sram")
    assert message.startswith("cluster.ima.analog: unknown key")


@pytest.mark.parametrize(
    ("changes", "is_fine"),
    [
        ({"weight_bits": 4}, False),
        ({"weight_bits": 4, "models": Analog(slices=2)}, True),
        ({"weight_bits": 4, "models": Analog(cells="rounding")}, True),
        ({"dac_bits": 6}, False),
        ({"dac_bits": 6, "models": Analog(dac="rounding")}, True),
    ],
)
def test_narrow_cells_and_dacs_need_a_model_of_what_they_do(  # what pytest passes by name
    changes: dict[str, Any], *, is_fine: bool
) -> None:
    chip = load_chip(CHIPS / "bruschi2023.yaml")
    ima = chip.cluster.ima.model_copy(update=changes)
    changed = chip.model_copy(update={"cluster": chip.cluster.model_copy(update={"ima": ima})})
    if is_fine:
        _check_widths(changed)
    else:
        with pytest.raises(MappingError, match="rounding"):
            _check_widths(changed)
