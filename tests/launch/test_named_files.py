"""Errors name the file that the user can mend: never a temporary copy, never none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from support import commands
from support.commands import ROOT, TINY, tiny

from launch.cli import main


def write_model(
    path: Path, operator: str, *, batch: int | str = 1, channels: int = 3, size: int = 9, **attributes: Any
) -> None:
    """Write a float model: a convolution and one more node."""
    weights = np.random.default_rng(1).normal(0, 0.3, (4, channels, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", kernel_shape=[3, 3]),
        helper.make_node(operator, ["c"], ["y"], name="odd", **attributes),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, channels, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def refusal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command on the tiny run file with keys changed; it must fail with one error, which is returned."""

    def run(command: str, code: int, **changes: Any) -> str:
        output = ["-o", str(tmp_path / "out")] if command != "map" else []
        return commands.refusal([command, str(tiny(tmp_path, **changes)), *output], capfd, code)

    return run


@pytest.fixture
def images(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Write random images of any number of channels; returns what a run file says of them."""

    def write(channels: int = 3, height: int = 9, width: int = 9) -> dict[str, Any]:
        pixels = np.random.default_rng(2).integers(0, 256, (2, height, width, channels), dtype=np.uint8)
        np.save(tmp_path / "images.npy", pixels)
        return {"path": "images.npy"}

    return write


@pytest.mark.parametrize(
    ("operator", "attributes", "said"),
    [
        ("Sigmoid", {}, "unsupported nodes:\n  odd (Sigmoid): operator not supported"),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, "odd (MaxPool): ceil_mode=1 adds"),
    ],
)
@pytest.mark.parametrize("command", ["map", "run"])
def test_what_a_network_holds(
    tmp_path: Path, refusal: Callable[..., str], images: Callable[..., Any], command: str, operator: str,
    attributes: dict[str, Any], said: str,
) -> None:  # fmt: skip
    write_model(tmp_path / "user.onnx", operator, **attributes)
    message = refusal(command, 3, network={"kind": "onnx", "model": "user.onnx"}, inputs=images())
    assert f"aimc: error: {tmp_path}/user.onnx: {said}" in message
    assert "model.onnx" not in message


def test_accuracy_names_the_network_too(
    tmp_path: Path, refusal: Callable[..., str], images: Callable[..., Any]
) -> None:
    write_model(tmp_path / "user.onnx", "Sigmoid")
    np.save(tmp_path / "labels.npy", np.zeros(2, np.int64))
    message = refusal(
        "accuracy", 3, network={"kind": "onnx", "model": "user.onnx"}, inputs={**images(), "labels": "labels.npy"},
        chip=str(ROOT / "configs/chips/bruschi2023-pcm.yaml"),
    )  # fmt: skip
    assert f"aimc: error: {tmp_path}/user.onnx: unsupported nodes" in message


def test_a_fixed_batch_is_refused_in_one_line(
    tmp_path: Path, refusal: Callable[..., str], images: Callable[..., Any]
) -> None:
    write_model(tmp_path / "user.onnx", "Relu", batch=8)
    message = refusal("map", 3, network={"kind": "onnx", "model": "user.onnx"}, inputs=images())
    said = "the model takes 8 images at once; export it with a dynamic batch or one of 1"
    assert message.splitlines() == [f"aimc: error: {tmp_path}/user.onnx: {said}"]


@pytest.mark.parametrize("batch", [1, "n"])
def test_other_batches_are_not(tmp_path: Path, images: Callable[..., Any], batch: int | str) -> None:
    from emulator.network.onnx_import import import_onnx
    from emulator.network.quantize import quantize_onnx

    images()
    write_model(tmp_path / "user.onnx", "Relu", batch=batch)
    quantize_onnx(tmp_path / "user.onnx", np.load(tmp_path / "images.npy"), tmp_path / "out.onnx")
    assert [layer.name for layer in import_onnx(tmp_path / "out.onnx").layers]


def test_cropping_is_advised_only_where_it_helps(
    tmp_path: Path, refusal: Callable[..., str], images: Callable[..., Any]
) -> None:
    write_model(tmp_path / "user.onnx", "Relu", channels=1)
    network = {"kind": "onnx", "model": "user.onnx"}
    (tmp_path / "png").mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "png/a.png")
    message = refusal("map", 3, network=network, inputs={"path": "png"})
    assert "expected images of 9 x 9 with 1 channels, got 9 x 9 with 3; " in message
    assert "a .npy array of (n, height, width, 1)" in message
    assert "inputs.crop" not in message
    message = refusal("map", 3, network=network, inputs=images(channels=1, height=12, width=12))
    assert "got 12 x 12 with 1; images are not scaled, but inputs.crop takes the middle of larger ones" in message
    assert ".npy" not in message


def edited(source: str, target: Path, **changes: Any) -> str:
    """Write a configuration file with keys of its first level changed; returns its name."""
    target.write_text(yaml.safe_dump(yaml.safe_load((ROOT / "configs" / source).read_text()) | changes))
    return str(target)


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"layers": {"c9": {"copies": 2}}}, 2, "layers.c9: no layer of resnet8 has this name"),
        ({"layers": {"stem": {"guest_of": "c9"}}}, 2, "layers: stem is to be a guest of 'c9'"),
        ({"residual": "spare"}, 2, "residuals are to live on spare clusters"),
        ({"copies": 50}, 4, "stem: the policy asks for 50 copies"),
        ({"pixels_per_mvm": 64}, 4, "stem: the policy asks for 64 pixels per MVM"),
    ],
)
@pytest.mark.parametrize("command", ["map", "run"])
def test_what_a_policy_asks_for(
    tmp_path: Path, refusal: Callable[..., str], command: str, changes: dict[str, Any], code: int, said: str
) -> None:
    policy = edited("policies/naive.yaml", tmp_path / "my-policy.yaml", **changes)
    assert refusal(command, code, policy=policy).startswith(f"aimc: error: {policy}: {said}")


def test_a_chip_that_is_too_narrow(tmp_path: Path, refusal: Callable[..., str]) -> None:
    cluster = yaml.safe_load((ROOT / "configs/chips/small16.yaml").read_text())["cluster"]
    cluster["ima"]["weight_bits"] = 4
    chip = edited("chips/small16.yaml", tmp_path / "my-chip.yaml", cluster=cluster)
    assert refusal("map", 4, chip=chip).startswith(f"aimc: error: {chip}: cluster.ima.weight_bits: weights have 8 bits")


def test_studies_name_the_case_and_the_policy(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study = {"name": "s", "cases": [{"name": "odd", "run": str(TINY), "policy": {"layers": {"c9": {"copies": 2}}}}]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    with pytest.raises(SystemExit, match="2"):
        main(["study", str(tmp_path / "study.yaml"), "-o", str(tmp_path / "out")])
    policy = TINY.parent / "../policies/naive.yaml"
    assert capfd.readouterr().err.startswith(f"aimc: error: case 'odd': {policy}: layers.c9: no layer of resnet8")
