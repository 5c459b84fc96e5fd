"""Decoders as run files: shapes without weights, timed like any network."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.commands import refusal
from support.records import MemorySink

from emulator.chip.load import load_chip
from emulator.config import load_run_config
from emulator.network.decoder import LLAMA_7B, DecoderShape, decoder_stack
from emulator.program.lower import lower
from emulator.program.stack import stack_columns
from emulator.timing.engine import TimingEngine
from launch.cli import main
from traces.reader import Trace

CONFIGS = Path(__file__).parents[2] / "configs"
CHIP = CONFIGS / "chips/small16.yaml"
SHAPE = {"kind": "decoder", "layers": 1, "width": 96, "feed_forward": 160, "vocabulary": 300}


def run_file(folder: Path, **changes: Any) -> Path:
    data = {"chip": str(CHIP), "policy": str(CONFIGS / "policies/naive.yaml"), "network": SHAPE, "inputs": {"count": 3}}
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(data | {"seed": 1} | changes))
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three tokens on one rank."""
    folder = tmp_path_factory.mktemp("decoder")
    assert main(["run", str(run_file(folder)), "--plane", "timing", "-o", str(folder / "out")]) == 0
    return folder / "out"


def test_the_events_are_those_of_the_stack_built_as_columns(alone: Path) -> None:
    chip, sink = load_chip(CHIP), MemorySink()
    columns = stack_columns(decoder_stack(DecoderShape(1, 96, 160, 300)), chip)
    engine = TimingEngine(lower(columns, chip), 3, sink)
    engine.run()
    ends = [ps for batch in sink.batches["firings"] for ps in batch["end_ps"].tolist()]
    with Trace(alone) as trace:
        assert sorted(trace["firings"]["end_ps"].tolist()) == sorted(ends)
        assert trace.attribute("n_events") == engine.n_events
        assert trace.attribute("n_images") == 3
        assert trace.attribute("model_hash") == ""


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_the_digest_is_the_same_on_any_number_of_ranks(alone: Path, tmp_path: Path, n_ranks: int) -> None:
    arguments = ["run", str(run_file(tmp_path)), "--plane", "timing", "--split-timing", "-n", str(n_ranks)]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 0
    with Trace(alone) as first, Trace(tmp_path / "out") as second:
        assert first.attribute("digest") == second.attribute("digest")


def test_reports_and_mappings_are_made(alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(alone), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["n_images"] == 3
    assert main(["map", str(run_file(tmp_path))]) == 0
    assert "layer0.gate" in capsys.readouterr().out


def test_a_study_varies_the_number_of_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, study = run_file(tmp_path), tmp_path / "study.yaml"
    cases = [{"name": f"{n}", "run": str(run), "count": n} for n in (1, 4)]
    study.write_text(yaml.safe_dump({"name": "tokens", "cases": cases}))
    assert main(["study", str(study), "-o", str(tmp_path / "out"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["cases"]) == 2
    reports = [json.loads((tmp_path / "out" / name / "report.json").read_text()) for name in ("1", "4")]
    assert [report["n_images"] for report in reports] == [1, 4]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["run"], "has no values: emulate its times alone (--plane timing)"),
        (["run", "--plane", "values"], "has no values: emulate its times alone (--plane timing)"),
        (["accuracy"], "has no values: it has no accuracy"),
        (["program"], "has no values: there is nothing to program"),
    ],
)
def test_what_needs_weights_is_refused(
    command: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run = run_file(tmp_path, chip=str(CONFIGS / "chips/bruschi2023-pcm.yaml"))
    said = refusal([command[0], str(run), *command[1:], "-o", str(out)], capsys, 2)
    assert f"network.kind: a decoder is shapes without weights and {message}" in said
    assert not list(out.glob("*"))


def test_the_default_is_the_published_decoder(tmp_path: Path) -> None:
    network = load_run_config(run_file(tmp_path, network={"kind": "decoder"})).network
    assert network == load_run_config(CONFIGS / "runs/decoder7b.yaml").network
    assert network.model_dump(exclude={"kind"}) == {
        "layers": LLAMA_7B.n_layers, "width": LLAMA_7B.width, "feed_forward": LLAMA_7B.feed_forward,
        "vocabulary": LLAMA_7B.vocabulary,
    }  # fmt: skip
