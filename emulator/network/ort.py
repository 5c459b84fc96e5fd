"""Run a quantised model with onnxruntime: what the emulator's outputs are compared with."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from emulator.digital.quantization import Quantization, Quantized
from emulator.errors import NetworkError
from emulator.network.onnx_import import import_onnx
from emulator.network.preprocess import PIXELS_OVER_255, Preprocessing, to_nchw, to_tensor


def run_onnxruntime(
    model_path: Path, images: NDArray[np.uint8], preprocessing: Preprocessing = PIXELS_OVER_255
) -> Quantized:
    """Run a quantised model on one thread, all operators on 8-bit integers.

    One setting differs from a default session, chosen by the type of the activations:

    - uint8: "session.x64quantprecision". The u8 x s8 products of x86 processors without VNNI saturate; with this
      setting onnxruntime multiplies u8 x u8 instead, which is exact everywhere. With VNNI it changes no result.
    - int8: "session.qdqisint8allowed". By default onnxruntime makes some signed activations unsigned and computes the
      convolutions in between in floating point, which differs from its own integer kernels by a few units in the last
      place. The setting for exact products cannot be combined with it, so int8 models need a processor with VNNI.

    Args:
        model_path: a quantised model in QDQ form.
        images: uint8, (n, height, width, channels).
        preprocessing: how pixels become the model's input.

    Returns:
        (n, values of the output feature map in the order (h, w, c)) integers: what enters the model's last
        DequantizeLinear.

    Raises:
        NetworkError: the model cannot be imported.
    """
    network = import_onnx(model_path)
    quantization = network.feature_maps[network.output].quantization
    options = _options(quantization.dtype)
    session = onnxruntime.InferenceSession(str(model_path), options, providers=["CPUExecutionProvider"])
    tensor = to_nchw(to_tensor(images, preprocessing))
    return _integers(_run_each(session, tensor), quantization)


def run_float(
    model_path: Path, images: NDArray[np.uint8], preprocessing: Preprocessing = PIXELS_OVER_255
) -> NDArray[np.float32]:
    """Run a floating-point model with one image input and one output, on one thread.

    Returns:
        float32, (n, values of the output); a feature map's in the order (h, w, c).

    Raises:
        NetworkError: onnxruntime refuses the model.
    """
    try:
        session = onnxruntime.InferenceSession(str(model_path), _options("uint8"), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises types of its own, all of them bare exceptions
        raise NetworkError(f"{model_path}: onnxruntime cannot load the model: {error}") from error
    return _run_each(session, to_nchw(to_tensor(images, preprocessing)))


def _run_each(session: onnxruntime.InferenceSession, tensor: NDArray[np.float32]) -> NDArray[Any]:
    """Run image by image; a feature map, (1, c, h, w), is flattened in the emulator's order (h, w, c)."""
    name = session.get_inputs()[0].name
    outputs = [session.run(None, {name: tensor[i : i + 1]})[0] for i in range(len(tensor))]
    return np.concatenate([(o.transpose(0, 2, 3, 1) if o.ndim == 4 else o).reshape(1, -1) for o in outputs])


def _options(dtype: str) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    setting = "session.qdqisint8allowed" if dtype == "int8" else "session.x64quantprecision"
    options.add_session_config_entry(setting, "1")
    return options


def _integers(output: NDArray[np.generic], quantization: Quantization) -> Quantized:
    """Undo the last DequantizeLinear: the quotient lies within 1e-4 of the integer, so rounding recovers it exactly."""
    if output.dtype != np.float32:
        return output
    integers = np.rint(output.astype(np.float64) / quantization.scale) + quantization.zero_point
    return integers.astype(quantization.dtype)
