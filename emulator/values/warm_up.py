"""Compile what the value plane runs, before the ranks need it: one rank does, the others find it in numba's cache."""

import numpy as np

from emulator.analog.crossbar import NO_DAC, NO_INL, AnalogCrossbar
from emulator.analog.wires import effective_conductance_us
from emulator.digital.compiled import add_columns, max_pool_columns, requantize_rows
from emulator.digital.window import Window
from emulator.network.geometry import Span
from emulator.network.graph import FeatureMap, Op, Quantization
from emulator.program.dataflow import Program, ProgramLayer
from emulator.values.convolution import Workspace
from emulator.values.gather import plan_gather
from emulator.values.gemm import GemmKind
from emulator.values.maps import MapBuffer
from emulator.values.summation import ConvertedCrossbar, IdealCrossbar, Positions


def compile_kernels(program: Program, *, is_noisy: bool, gemm: GemmKind = "auto") -> None:
    """Call every compiled function once with the types that ``program`` will use."""
    feature_maps = {program.input, *(layer.output for layer in program.layers)}
    for dtype in sorted({feature_map.quantization.dtype for feature_map in feature_maps}):
        _compile_for(dtype, is_noisy=is_noisy, gemm=gemm)
    if is_noisy:
        effective_conductance_us(np.ones((1, 1)), 1.0)


def _compile_for(dtype: str, *, is_noisy: bool, gemm: GemmKind) -> None:
    pixel = FeatureMap("pixel", 1, 1, 1, Quantization(1.0, 0, dtype))
    layer = ProgramLayer("layer", Op.CONV, Window(1, 1), (pixel,), pixel, 1, 0, 1)
    buffer = np.zeros((1, 1, 1), dtype)
    plan = plan_gather(MapBuffer(buffer, buffer, 0, 0), layer, Span(0, 1))
    positions = Positions(np.zeros(1, np.int64), 1, 1)
    total, one = np.zeros((1, 1), np.int32), np.ones(1, np.float32)
    zeros, columns = np.zeros(6, np.int64), np.zeros(1, np.int64)
    scratch = Workspace().scratch
    crossbar = ConvertedCrossbar(_a_crossbar(), plan, gemm, scratch) if is_noisy else None
    for each in (IdealCrossbar(np.ones((1, 1), np.int8), plan, gemm, scratch), crossbar):
        if each is not None:
            each.add_to(total, 0, positions, 0, is_first=True)
    requantize_rows(total, np.zeros(1, np.int32), one, 0, columns, 1, np.zeros(3, np.float32), buffer, 0, 0, 1, 0)
    add_columns(buffer, buffer, zeros, columns, 1, np.ones(3), np.zeros(2, np.float32), buffer)
    max_pool_columns(buffer, zeros[:4], columns, np.array([1, 1, 1, 1, 0, 0]), np.ones(3, np.int64), buffer)


def _a_crossbar() -> AnalogCrossbar:
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    code = np.ones(1, np.int32)
    return AnalogCrossbar(
        n_columns=1, levels=np.ones((1, 1), np.int16), gain=one, offset=zero, sigma=one, code_min=-code, code_max=code,
        readout_gain=one, readout_offset=zero, noise_key=0, inl=NO_INL, dac=NO_DAC,
    )  # fmt: skip
