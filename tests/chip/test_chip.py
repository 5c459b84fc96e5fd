"""Chip files: the published chip as published, and one clear sentence for everything that is wrong."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from emulator.chip.load import load_chip
from emulator.chip.spec import Chip
from emulator.errors import ConfigError

CHIPS = Path(__file__).parents[2] / "configs/chips"


@pytest.fixture
def chip_text() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((CHIPS / "small16.yaml").read_text())
    return data


def refusal(tmp_path: Path, data: dict[str, Any]) -> str:
    path = tmp_path / "chip.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError) as caught:
        load_chip(path)
    message = str(caught.value)
    assert all(line.startswith(f"{path}: ") for line in message.splitlines())
    assert "pydantic" not in message
    return message.replace(f"{path}: ", "")


def test_the_published_chip_has_the_figures_of_table_i() -> None:
    chip = load_chip(CHIPS / "bruschi2023.yaml")
    assert chip.n_clusters == 512
    assert [level.fan_out for level in chip.topology.levels] == [8, 4, 4, 4]
    assert {(level.bytes_per_cycle, level.latency_cycles) for level in chip.topology.levels} == {(64, 4)}
    assert (chip.hbm.bytes_per_cycle, chip.hbm.latency_cycles, chip.hbm.capacity_bytes) == (64, 100, 1_500_000_000)
    assert (chip.clock_hz, chip.cycle_ps) == (10**9, 1000)
    cluster, ima = chip.cluster, chip.cluster.ima
    assert (cluster.n_cores, cluster.l1_bytes) == (16, 1 << 20)
    assert (ima.rows, ima.columns, ima.mvm_latency_ps, ima.stream_ports) == (256, 256, 130_000, 16)
    assert (cluster.dma.max_burst_bytes, cluster.dma.max_outstanding_reads) == (2048, 8)
    assert cluster.core_costs.add == 9600


def test_a_full_array_streams_4_plus_2_in_and_4_plus_4_out() -> None:
    ima = load_chip(CHIPS / "bruschi2023.yaml").cluster.ima
    assert (ima.stream_in_cycles(256), ima.stream_out_cycles(256)) == (6, 8)
    assert ima.job_interval_ps(256, 256, 1000) == 130_000
    slow_streams = ima.model_copy(update={"stream_ports": 1})
    assert slow_streams.job_interval_ps(256, 256, 1000) == (64 + 2 + 64 + 4) * 1000
    in_turn = ima.model_copy(update={"pipelined": False})
    assert in_turn.job_interval_ps(256, 256, 1000) == in_turn.job_latency_ps(256, 256, 1000) == 144_000


@pytest.mark.parametrize("name", ["bruschi2023", "small16"])
def test_a_chip_survives_the_way_to_another_rank(name: str) -> None:
    chip = load_chip(CHIPS / f"{name}.yaml")
    assert Chip.model_validate_json(chip.model_dump_json(by_alias=True)) == chip


def test_every_value_of_the_published_chip_names_its_source() -> None:
    lines = (CHIPS / "bruschi2023.yaml").read_text().splitlines()
    tags = (
        "[T1]",
        "[text]",
        "[code]",
        "[HERMES]",
        "[Garofalo]",
        "[assumed]",
        "[Vega]",
        "[PULP-NN]",
        "[HBM2]",
        "[Horowitz]",
    )
    for number, line in enumerate(lines):
        key, _, value = line.partition(":")
        is_value = value.split("#")[0].strip() and not key.strip().startswith(("#", "-", "name", "source", "kind"))
        if is_value:
            comments = [line]
            above = number - 1
            while lines[above].strip().startswith("#"):
                comments.append(lines[above])
                above -= 1
            assert any(tag in comment for comment in comments for tag in tags), line


def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path, chip_text: dict[str, Any]) -> None:
    chip_text["cluster"]["ima"]["colums"] = chip_text["cluster"]["ima"].pop("columns")
    message = refusal(tmp_path, chip_text)
    assert "cluster.ima.colums: unknown key; did you mean 'columns'?" in message
    assert "cluster.ima.columns: this key is missing" in message


def test_a_wrong_unit_and_a_bare_number_are_refused(tmp_path: Path, chip_text: dict[str, Any]) -> None:
    chip_text["cluster"]["ima"]["mvm_latency"] = "130 MiB"
    chip_text["cluster"]["l1"] = 1048576
    assert refusal(tmp_path, chip_text).splitlines() == [
        "cluster.l1: expected a size such as '1 MiB', got 1048576 without a unit",
        "cluster.ima.mvm_latency: expected a time such as '130 ns', got '130 MiB' (known units: ps, ns, us, µs, ms, s)",
    ]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("cluster", "ima", "rows"), -256, "cluster.ima.rows: expected a number of at least 1, got -256"),
        (("cluster", "ima", "rows"), "many", "cluster.ima.rows: expected a valid integer, got 'many'"),
        (("cluster", "ima", "adc_bits"), 99, "cluster.ima.adc_bits: expected a number of at most 32, got 99"),
        (
            ("cluster", "ima", "technology"),
            "magic",
            "cluster.ima.technology: expected one of 'pcm', 'digital', got ",
        ),
        (("cluster", "l1"), "-1 MiB", "cluster.l1: expected a size such as '1 MiB', at least 1 bytes, got '-1 MiB'"),
        (
            ("clock",),
            "700 MHz",
            (
                "clock: expected a clock whose period is a whole number of picoseconds, got 700000000 Hz (1428.571 "
                "ps); the nearest are 625 MHz (1600 ps) and 781.25 MHz (1280 ps)"
            ),
        ),
        (("clock",), "1000001 Hz", "clock: expected a clock whose period is a whole number of picoseconds"),
        (("topology", "kind"), "torus", "topology.kind: expected 'tree', got 'torus'"),
        (("topology", "levels"), [], "topology.levels: expected a list with at least 1 in it, got []"),
        (
            ("cluster", "ima", "mvm_latency"),
            "1000000000 s",
            "cluster.ima.mvm_latency: expected a time such as '130 ns', at most 1 s, got '1000000000 s'",
        ),
        (
            ("cluster", "synchronization"),
            "99999999999999999999 cycles",
            "cluster.synchronization: expected a number of cycles such as '4 cycles', at most 1000000 cycles, got '99",
        ),
        (
            ("cluster", "core_costs", "partial_sum"),
            "2 KiB",
            "cluster.core_costs.partial_sum: expected a number of at",
        ),
        (("cluster", "cores"), 10**30, "cluster.cores: expected a number of at most 1048576, got 1000"),
        (("hbm", "latency"), "0 cycles", "hbm.latency: expected a number of at least 1, got "),
    ],
)
def test_an_impossible_value_is_refused_with_its_path(
    tmp_path: Path, chip_text: dict[str, Any], path: tuple[str, ...], value: object, message: str
) -> None:
    place = chip_text
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert refusal(tmp_path, chip_text).startswith(message)


def test_a_wrong_value_in_a_list_is_found_by_its_index(tmp_path: Path, chip_text: dict[str, Any]) -> None:
    chip_text["topology"]["levels"][1]["width"] = "64 B"
    assert refusal(tmp_path, chip_text).startswith("topology.levels[1].width: expected a width such as '64 B/cycle'")


def test_a_wrong_entry_of_a_list_is_all_that_is_said_of_it(tmp_path: Path, chip_text: dict[str, Any]) -> None:
    chip_text["topology"]["levels"] = [{**chip_text["topology"]["levels"][0], "width": "0 B/cycle"}]
    assert refusal(tmp_path, chip_text).splitlines() == [
        "topology.levels[0].width: expected a width such as '64 B/cycle', at least 1 bytes per cycle, got '0 B/cycle'"
    ]


def test_a_chip_of_too_many_clusters_is_refused(tmp_path: Path, chip_text: dict[str, Any]) -> None:
    for level in chip_text["topology"]["levels"]:
        level["fan_out"] = 4096
    assert refusal(tmp_path, chip_text) == (
        "topology: levels: expected fan_outs with a product of at most 4,194,304 clusters, got 4096 x 4096 = 16,777,216"
    )


def test_missing_malformed_and_doubled_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; expected a YAML file with a chip"):
        load_chip(tmp_path / "none.yaml")
    path = tmp_path / "chip.yaml"
    path.write_text("a: [1,\nb: 2")
    with pytest.raises(ConfigError, match="malformed YAML at line 2"):
        load_chip(path)
    path.write_text("name: a\nname: b\n")
    with pytest.raises(ConfigError, match="line 2, column 1: key 'name' is given twice"):
        load_chip(path)
    path.write_text("- 1\n- 2\n")
    with pytest.raises(ConfigError, match="expected a mapping with a chip, got a list"):
        load_chip(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as text"):
        load_chip(path)


def test_the_published_chip_costs_what_its_sources_say() -> None:
    chip = load_chip(CHIPS / "bruschi2023.yaml")
    assert chip.energy is not None
    assert chip.area is not None
    mvm, ima = chip.energy.mvm, chip.cluster.ima
    whole_pj = mvm.fixed_pj + ima.rows * mvm.per_row_pj + ima.columns * mvm.per_column_pj
    whole_pj += ima.rows * ima.columns * mvm.per_cell_pj
    n_operations = 2 * ima.rows * ima.columns
    assert n_operations / whole_pj == pytest.approx(10.5, rel=0.01)  # HERMES core, TOPS/W
    assert n_operations / 130e-9 / 1e12 / chip.area.ima_mm2 == pytest.approx(1.59, rel=0.01)  # and TOPS/mm2
    with_cluster_pj = whole_pj + (ima.rows + ima.columns) * chip.energy.stream_byte_pj
    assert n_operations / with_cluster_pj == pytest.approx(6.39, rel=0.01)  # Garofalo et al., TOPS/W
    assert 2 * 1.94 / chip.energy.core_cycle_pj == pytest.approx(0.615, rel=0.01)  # Vega, TOPS/W
    assert chip.energy.hbm_byte_pj == pytest.approx(8 * 3.92, rel=0.01)  # HBM2


def test_sections_for_reports_may_be_absent_but_not_incomplete(tmp_path: Path, chip_text: dict[str, Any]) -> None:
    del chip_text["energy"]["mvm"]["per_row"], chip_text["energy"]["l1"], chip_text["area"]
    chip_text["energy"]["core_cycles"] = "6.3 pJ"
    chip_text["energy"]["hbm"] = "31 pJ"
    assert set(refusal(tmp_path, chip_text).splitlines()) == {
        "energy.mvm.per_row: this key is missing",
        "energy.l1: this key is missing",
        "energy.core_cycles: unknown key; did you mean 'core_cycle'?",
        "energy.hbm: expected an energy per byte such as '15.6 pJ/B', got '31 pJ' (known units: pJ/B, fJ/B)",
    }
    del chip_text["energy"]
    path = tmp_path / "plain.yaml"
    path.write_text(yaml.safe_dump(chip_text))
    chip = load_chip(path)
    assert (chip.energy, chip.area, chip.published) == (None, None, None)
