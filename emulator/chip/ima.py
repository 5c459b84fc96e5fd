"""The crossbar of a cluster with its converters and streamers, in one of two technologies."""

from abc import abstractmethod
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from emulator.chip.analog import Analog
from emulator.config_file import Spec
from emulator.units import BytesPerCycle, Cycles, TimePs

#: Of rows, ports, cores, children: far beyond any chip, and few enough to make room for.
Count = Annotated[int, Field(ge=1, le=1 << 20, strict=True)]
Bits = Annotated[int, Field(ge=1, le=32, strict=True)]

#: Signed sums need at least this.
MIN_ADC_BITS = 2
#: Codes of so many bits are exact in float32, in which sums are converted.
MAX_ADC_BITS = 24

#: Bits of the network's weights and activations.
INTEGER_BITS = 8


class Ima(Spec):
    """An in-memory accelerator: one crossbar with what brings its inputs and takes its outputs."""

    rows: Count
    columns: Count
    weight_bits: Bits
    dac_bits: Bits
    adc_bits: Bits
    stream_ports: Count
    stream_port_bytes: BytesPerCycle = Field(alias="stream_port_width")
    stream_in_overhead_cycles: Cycles = Field(alias="stream_in_overhead")
    stream_out_overhead_cycles: Cycles = Field(alias="stream_out_overhead")
    pipelined: Annotated[bool, Field(strict=True)]

    @property
    def analog(self) -> Analog:
        """What is not ideal about the crossbar."""
        return Analog()

    @property
    def columns_per_weight(self) -> int:
        """Neighbouring columns that hold one weight together."""
        return 1

    @property
    def weight_columns(self) -> int:
        """Weights side by side in a row."""
        return self.columns // self.columns_per_weight

    @abstractmethod
    def mvm_ps(self, cycle_ps: int) -> int:
        """Time of one MVM without streaming."""

    def stream_in_cycles(self, n_rows: int) -> int:
        """Cycles to bring ``n_rows`` inputs to the crossbar."""
        return self._stream_cycles(n_rows, self.dac_bits) + self.stream_in_overhead_cycles

    def stream_out_cycles(self, n_columns: int) -> int:
        """Cycles to bring the results of ``n_columns`` columns of weights to L1."""
        n_results = n_columns * self.columns_per_weight
        return self._stream_cycles(n_results, self.adc_bits) + self.stream_out_overhead_cycles

    def job_latency_ps(self, n_rows: int, n_columns: int, cycle_ps: int) -> int:
        """Time of one MVM from the first input read to the last result written."""
        streaming = self.stream_in_cycles(n_rows) + self.stream_out_cycles(n_columns)
        return self.mvm_ps(cycle_ps) + streaming * cycle_ps

    def job_interval_ps(self, n_rows: int, n_columns: int, cycle_ps: int) -> int:
        """Time between two successive MVMs: the slower of computing and streaming, or their sum if not pipelined."""
        if not self.pipelined:
            return self.job_latency_ps(n_rows, n_columns, cycle_ps)
        streaming = self.stream_in_cycles(n_rows) + self.stream_out_cycles(n_columns)
        return max(self.mvm_ps(cycle_ps), streaming * cycle_ps)

    def _stream_cycles(self, n_elements: int, bits: int) -> int:
        n_bytes = n_elements * -(-bits // 8)
        return -(-n_bytes // (self.stream_ports * self.stream_port_bytes))


class PcmIma(Ima):
    """A crossbar of phase-change memory between DACs and ADCs.

    ``analog`` says what is not ideal about it; without that key, sums are exact integers and the converters only set
    the bytes of what they take and give.
    """

    technology: Literal["pcm"]
    mvm_latency_ps: TimePs = Field(alias="mvm_latency")
    models: Analog | None = Field(default=None, alias="analog")

    @property
    def analog(self) -> Analog:
        """What is not ideal about the crossbar."""
        return self.models or Analog()

    @property
    def columns_per_weight(self) -> int:
        """Slices of a weight."""
        return self.analog.slices

    def mvm_ps(self, cycle_ps: int) -> int:  # noqa: ARG002 (digital crossbars count in cycles)
        """Time of one MVM without streaming: the integration time of the converters, whatever the clock."""
        return self.mvm_latency_ps

    @model_validator(mode="after")
    def _slices_fit(self) -> Self:
        analog = self.analog
        if analog.slices > -(-INTEGER_BITS // self.weight_bits):
            raise ValueError(
                f"analog.slices: weights of {INTEGER_BITS} bits fill at most {-(-INTEGER_BITS // self.weight_bits)} "
                f"cells of {self.weight_bits} bits (weight_bits), got {analog.slices}"
            )
        if analog.slices > self.columns:
            raise ValueError(f"analog.slices: {analog.slices} columns per weight, but there are {self.columns}")
        if analog.adc is not None and not MIN_ADC_BITS <= self.adc_bits <= MAX_ADC_BITS:
            raise ValueError(
                f"adc_bits: converters with a model have {MIN_ADC_BITS} to {MAX_ADC_BITS} bits, got {self.adc_bits}"
            )
        largest_code = (1 << (self.adc_bits - 1)) - 1
        if analog.adc is not None and analog.adc.nonlinearity_lsb > largest_code:
            raise ValueError(
                f"analog.adc.integral_nonlinearity: ADCs of {self.adc_bits} bits reach {largest_code} LSB, got "
                f"{analog.adc.nonlinearity_lsb:.6g}"
            )
        return self


class DigitalIma(Ima):
    """An array of SRAM cells with multipliers and adder trees: exact, one bit of all inputs per step.

    The inputs have ``dac_bits`` bits (``input_bits`` in the file), the sums leave with ``adc_bits`` (``output_bits``).
    """

    technology: Literal["digital"]
    dac_bits: Bits = Field(alias="input_bits")
    adc_bits: Bits = Field(alias="output_bits")
    cycles_per_input_bit: Annotated[Cycles, Field(ge=1)]
    adder_tree_cycles: Cycles = Field(alias="adder_tree_latency")

    def mvm_ps(self, cycle_ps: int) -> int:
        """Time of one MVM without streaming: bit after bit of the inputs, then what is still in the adder tree."""
        return (self.dac_bits * self.cycles_per_input_bit + self.adder_tree_cycles) * cycle_ps
