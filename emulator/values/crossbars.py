"""From what a chip file says about its crossbars to programmed crossbars that the value plane computes with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.analog.cells import Coding
from emulator.analog.converters import adc_steps, dac_rounding, largest_code, nonlinearity
from emulator.analog.crossbar import LARGEST_LEVEL, NO_DAC, NO_INL, AnalogCrossbar
from emulator.analog.devices import EffectiveWeights, ProgrammedDevices, Programming, Reading
from emulator.analog.randomness import Purpose, stream
from emulator.chip.analog import Adc, Analog, Faults, Wires
from emulator.chip.ima import INTEGER_BITS, Ima

Real = NDArray[np.float64]

#: The largest magnitude of an input, by its type.
LARGEST_INPUT = {"uint8": 255, "int8": 128}

#: Codes of a converter that neither clips nor rounds more than an ideal sum is rounded: no sum comes near.
_NO_LIMIT = 2**30

#: Digits so near to integers are integers whose conductances were kept in float32 (at most 256 levels, 24 bits).
_EXACT_TO = 1e-4


def is_ideal(ima: Ima) -> bool:
    """Tell whether crossbars compute exact sums, so that no model of them is needed."""
    return ima.analog == Analog()


def coding_of(ima: Ima) -> Coding:
    """Return how weights are cut into cells; cells wider than a weight are as good as cells of its width."""
    return Coding(min(ima.weight_bits, INTEGER_BITS), ima.columns_per_weight)


def dac_of(ima: Ima, input_dtype: str) -> NDArray[np.uint8] | NDArray[np.int8]:
    """Return what the DACs make of every input, see ``AnalogCrossbar.dac``; empty if they pass all 8 bits."""
    return dac_rounding(ima.dac_bits, input_dtype) if ima.analog.dac and ima.dac_bits < INTEGER_BITS else NO_DAC


@dataclass(frozen=True, slots=True, eq=False)
class CrossbarMaker:
    """Makes the crossbars of one chip."""

    ima: Ima

    def program(self, weights: NDArray[np.int8], key: int) -> ProgrammedDevices | None:
        """Program the devices for a block of weights (rows, columns); None if the chip's conductances are exact."""
        devices = self.ima.analog.devices
        if devices is None:
            return None
        faults = self.ima.analog.faults or Faults.model_construct(stuck_off=0.0, stuck_on=0.0, dead_crossbars=0.0)
        how = Programming(
            devices.model,
            devices.programming_noise,
            devices.g_min_us,
            faults.stuck_off,
            faults.stuck_on,
            faults.dead_crossbars,
        )
        return ProgrammedDevices.program(weights, coding_of(self.ima), how, key)

    def assemble(
        self,
        weights: NDArray[np.int8],
        programmed: ProgrammedDevices | None,
        *,
        largest_sums: Real,
        input_dtype: str,
        key: int,
    ) -> AnalogCrossbar:
        """Put devices and converters together.

        Args:
            weights: int8, (rows, columns), the block of weights.
            programmed: what ``program`` made of it, in this run or before.
            largest_sums: (n_slices, columns), what the ADCs must reach, in units of input times digit; see
                ``emulator.values.calibration``. Only its shape counts if the chip's ADCs are ideal or fixed.
            input_dtype: "uint8" or "int8", of the layer's inputs.
            key: of the crossbar, from ``crossbar_key``.
        """
        analog, place_values = self.ima.analog, coding_of(self.ima).place_values
        digits, per_device = self._read(weights, programmed, key)
        n_physical, n_columns = len(place_values) * weights.shape[1], weights.shape[1]
        flat = digits.digits.transpose(1, 0, 2).reshape(len(weights), n_physical)
        levels, digit_per_level = _fixed_point(flat)
        per_device_sum = LARGEST_INPUT[input_dtype] * per_device
        steps, gains, limit = self._adc(largest_sums, self.ima.rows * per_device_sum, key)
        sigma = (analog.output_noise or 0.0) * np.repeat(per_device_sum, n_columns)
        return AnalogCrossbar(
            n_columns=n_columns,
            levels=levels,
            gain=(digit_per_level / steps * gains).astype(np.float32),
            offset=np.zeros(n_physical, np.float32),
            sigma=(sigma / steps).astype(np.float32),
            code_min=np.full(n_physical, -limit, np.int32),
            code_max=np.full(n_physical, limit, np.int32),
            readout_gain=(steps * np.repeat(place_values, n_columns) * digits.compensation).astype(np.float32),
            readout_offset=np.zeros(n_physical, np.float32),
            noise_key=key,
            inl=_nonlinearity(analog.adc, n_physical, key),
            dac=dac_of(self.ima, input_dtype),
        )

    def _read(
        self, weights: NDArray[np.int8], programmed: ProgrammedDevices | None, key: int
    ) -> tuple[EffectiveWeights, Real]:
        """Return the digits that the devices stand for now, and what a device at its largest conductance stands for."""
        devices, wires = self.ima.analog.devices, self.ima.analog.wires or Wires.model_construct(segment_ohm=0.0)
        if devices is None or programmed is None:
            digits = coding_of(self.ima).digits(weights).astype(np.float64)
            return EffectiveWeights(digits, 1.0), np.abs(digits).max(axis=(1, 2), initial=1.0)
        model = devices.model
        how = Reading(model, devices.drift, devices.read_noise, devices.age_s, wires.segment_ohm)
        read = programmed.read(how, key)
        compensation = read.compensation if devices.drift_compensation else 1.0
        range_us = model.g_max_us - devices.g_min_us
        return EffectiveWeights(read.digits, compensation), range_us * programmed.digit_per_us

    def _adc(self, largest_sums: Real, full_scale: Real, key: int) -> tuple[Real, Real, int]:
        """Return each ADC's step (in units of input times digit), its gain error, and its largest code.

        Ideal ADCs resolve whole units of the ideal sum, whatever a digit is worth.
        """
        adc, bits, (n_slices, n_columns) = self.ima.analog.adc, self.ima.adc_bits, largest_sums.shape
        gains = np.ones(n_slices * n_columns)
        if adc is None:
            return np.repeat(1.0 / coding_of(self.ima).place_values, n_columns), gains, _NO_LIMIT
        if adc.gain_spread:
            gains += adc.gain_spread * stream(key, Purpose.ADC_GAIN).standard_normal(gains.size)
        if adc.fixed_range is not None:
            largest_sums = np.repeat(adc.fixed_range * full_scale[:, np.newaxis], n_columns, axis=1)
        return adc_steps(largest_sums, full_scale, bits).reshape(gains.size), gains, largest_code(bits)


def _fixed_point(digits: Real) -> tuple[NDArray[np.int16], Real]:
    """Write the columns of a matrix as 16-bit integers, each with a scale of its own; small integers stay exact."""
    largest = np.abs(digits).max(axis=0, initial=0.0)
    is_integer = (np.abs(digits - np.rint(digits)) <= _EXACT_TO).all(axis=0) & (largest <= LARGEST_LEVEL)
    scale = np.where(is_integer | (largest == 0), 1.0, largest / LARGEST_LEVEL)
    return np.rint(digits / scale).astype(np.int16), scale


def _nonlinearity(adc: Adc | None, n_physical: int, key: int) -> NDArray[np.float32]:
    if adc is None or not adc.nonlinearity_lsb:
        return NO_INL
    return nonlinearity(stream(key, Purpose.ADC_LINEARITY).standard_normal((2, n_physical)), adc.nonlinearity_lsb)
