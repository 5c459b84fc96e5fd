"""The commands as a user types them, in process; ranks are started for real where ranks matter."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.commands import ROOT, TINY, refusal, tiny

from launch.cli import main
from traces.reader import Trace


def test_a_run_leaves_a_complete_folder_and_no_rank_files(run: Path) -> None:
    names = {path.name for path in run.iterdir()} - {"timeline.png"}
    assert names == {"trace.h5", "model.onnx", "inputs.npy", "run.yaml", "chip.yaml", "policy.yaml", "mapping.yaml"}


def test_report_verify_digest_and_map_speak(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run)]) == 0
    assert "exact: all 40 outputs of 4 images" in capsys.readouterr().out
    assert main(["report", str(run)]) == 0
    assert "images/s over the batch" in capsys.readouterr().out
    assert (run / "timeline.png").stat().st_size > 10_000
    assert main(["report", str(run), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert main(["digest", str(run)]) == 0
    assert capsys.readouterr().out.strip() == report["digest"]
    assert main(["map", str(TINY), "--json"]) == 0
    mapping = json.loads(capsys.readouterr().out)
    assert mapping["clusters_used"] == report["clusters_used"] == 15
    assert mapping["gmac_per_image"] == report["gmac_per_image"]
    assert main(["map", str(TINY)]) == 0
    assert "stage3.block1.conv2" in capsys.readouterr().out


def test_report_draws_writes_a_page_and_costs_anew(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, figures = tmp_path / "report.html", tmp_path / "figures"
    assert main(["report", str(run), "--html", str(page), "--figures", str(figures)]) == 0
    text = capsys.readouterr().out
    assert str(page) in text
    assert page.stat().st_size > 1e6
    assert len(list(figures.glob("*.png"))) == 9
    chip = (ROOT / "configs/chips/small16.yaml").read_text()
    (tmp_path / "dear.yaml").write_text(chip.replace("stream: 15.6 pJ/B", "stream: 31.2 pJ/B"))
    costs = []
    for arguments in ([], ["--chip", str(tmp_path / "dear.yaml")]):
        assert main(["report", str(run), "--json", *arguments]) == 0
        costs.append(json.loads(capsys.readouterr().out))
    assert costs[1]["energy"]["counts"] == costs[0]["energy"]["counts"]
    streaming = [each["energy"]["by_component_mj"]["stream"] for each in costs]
    assert streaming[1] == pytest.approx(2 * streaming[0])
    (tmp_path / "bad.yaml").write_text(chip.replace("  stream: 15.6 pJ/B\n", ""))
    message = refusal(["report", str(run), "--chip", str(tmp_path / "bad.yaml")], capsys, 2)
    assert "energy.stream: this key is missing" in message


def test_time_shares_of_a_real_run_add_up_exactly(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {sum(shares.values()) for shares in report["time_shares"].values()} == {report["makespan_ps"]}


def test_export_and_compare_speak(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--perfetto", "a.pftrace"], ["--chrome", "a.json.gz", "--window", "..1ms"], ["--csv", "csv"]):
        arguments[1] = str(tmp_path / arguments[1])
        assert main(["export", str(run), *arguments]) == 0
        assert arguments[1] in capsys.readouterr().out
    message = refusal(["export", str(run), "--csv", str(tmp_path / "b"), "--window", "..1ms"], capsys, 8)
    assert "only --perfetto and --chrome" in message
    other = tmp_path / "other"
    assert main(["run", str(tiny(tmp_path, seed=2)), "--plane", "timing", "-o", str(other)]) == 0
    capsys.readouterr()
    page, picture = tmp_path / "compare.html", tmp_path / "steps.png"
    assert main(["compare", str(run), str(other), "--html", str(page), "--figure", str(picture)]) == 0
    text = capsys.readouterr().out
    assert "seed" in text
    assert page.exists()
    assert picture.exists()
    assert main(["compare", str(run), str(other), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["label"] for each in found["runs"]] == ["tiny", "other"]
    assert found["figures"]["makespan_s"][0] == found["figures"]["makespan_s"][1]


def test_verify_notices_other_values_and_other_models(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    images = np.load(copy / "inputs.npy")
    np.save(copy / "inputs.npy", 255 - images)
    assert main(["verify", str(copy)]) == 1
    assert "differ from onnxruntime's" in capsys.readouterr().out
    with (copy / "model.onnx").open("ab") as file:
        file.write(b"\0")
    assert "not the model that was run" in refusal(["verify", str(copy)], capsys, 8)


def test_verify_compares_feature_maps_of_many_pixels_in_one_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(5)
    weights = numpy_helper.from_array(rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32), "weights")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, *size])
        for name, channels, size in (("image", 3, (16, 12)), ("result", 8, (14, 10)))
    ]
    conv = helper.make_node("Conv", ["image", "weights"], ["result"], name="conv", kernel_shape=[3, 3])
    graph = helper.make_graph([conv], "one", ends[:1], ends[1:], [weights])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "one.onnx"
    )
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (2, 16, 12, 3), np.uint8))
    network = {"kind": "onnx", "model": str(tmp_path / "one.onnx")}
    config = tiny(tmp_path, network=network, inputs={"path": str(tmp_path / "images.npy")})
    assert main(["run", str(config), "-o", str(tmp_path / "out")]) == 0
    assert main(["verify", str(tmp_path / "out")]) == 0
    assert f"exact: all {2 * 14 * 10 * 8:,} outputs of 2 images" in capsys.readouterr().out


@pytest.mark.parametrize(("n_ranks", "how"), [(2, []), (2, ["--split-timing"]), (3, ["--split-timing"]), (4, [])])
def test_the_digest_is_the_same_on_any_number_of_ranks(run: Path, tmp_path: Path, n_ranks: int, how: list[str]) -> None:
    assert main(["run", str(TINY), "-n", str(n_ranks), *how, "-o", str(tmp_path / "out")]) == 0
    with Trace(run) as alone, Trace(tmp_path / "out") as together:
        assert together.attribute("digest") == alone.attribute("digest")
        assert together.attribute("n_ranks") == n_ranks
        assert len(together["ranks"]) == n_ranks
        assert together["ranks"]["n_messages"].sum() > 0


@pytest.mark.parametrize("plane", ["values", "timing"])
def test_one_plane_alone_gives_its_part_of_the_records(
    run: Path, tmp_path: Path, plane: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(TINY), "--plane", plane, "-o", str(tmp_path / "out")]) == 0
    with Trace(run) as both, Trace(tmp_path / "out") as one:
        for table in ("firings", "transfers") if plane == "timing" else ("checksums", "outputs"):
            assert len(one[table]) == len(both[table])
        for table in ("firings", "transfers") if plane == "values" else ("checksums", "outputs"):
            assert len(one[table]) == 0
    assert main(["report", str(tmp_path / "out")]) == 0
    assert ("top-1" in capsys.readouterr().out) == (plane == "values")
    if plane == "values":
        message = refusal(["report", str(tmp_path / "out"), "--figures", str(tmp_path / "figures")], capsys, 8)
        assert "no timing plane, so there are no figures" in message
        message = refusal(["export", str(tmp_path / "out"), "--chrome", str(tmp_path / "a.gz")], capsys, 8)
        assert "no timing plane" in message


def test_a_quantised_and_a_float_onnx_file_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from emulator.network.zoo import build_network, save_model

    save_model(build_network("resnet8", 32, 32, n_classes=10, seed=1), tmp_path / "float.onnx")
    digests = []
    for model in (run / "model.onnx", tmp_path / "float.onnx"):
        config = tiny(tmp_path, network={"kind": "onnx", "model": str(model)})
        folder = tmp_path / f"out-{model.stem}"
        assert main(["run", str(config), "-o", str(folder)]) == 0
        assert main(["verify", str(folder)]) == 0
        with Trace(folder) as trace:
            digests.append(trace["checksums"]["crc32"].tolist())
    assert digests[0] == digests[1]
    capsys.readouterr()


def test_python_dash_m_emulator_is_one_rank(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "emulator", str(TINY), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, check=False, timeout=120, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "digest" in done.stdout


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", str(tmp_path / "no.yaml"), "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["run"], ["study"], ["report"], ["export"], ["compare"], ["verify"], ["map"]])
def test_help_is_there(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert "usage: aimc" in capsys.readouterr().out
