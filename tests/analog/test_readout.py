"""Noise and conversion of one crossbar: moments, identity, and what rounding and clipping must give."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.analog.compiled import CompiledReadout, _add_nonlinearity
from emulator.analog.crossbar import NO_DAC, NO_INL, AnalogCrossbar, split_levels
from emulator.analog.noise import crossbar_key, normal_table, normals
from emulator.analog.readout import deviation, read_out


def a_crossbar(levels: np.ndarray, **changes: object) -> AnalogCrossbar:
    n = levels.shape[1]
    values = {
        "n_columns": n, "levels": levels.astype(np.int16), "gain": np.ones(n, np.float32),
        "offset": np.zeros(n, np.float32), "sigma": np.zeros(n, np.float32), "code_min": np.full(n, -128, np.int32),
        "code_max": np.full(n, 127, np.int32), "readout_gain": np.ones(n, np.float32),
        "readout_offset": np.zeros(n, np.float32), "noise_key": 1, "inl": NO_INL, "dac": NO_DAC,
    }  # fmt: skip
    return AnalogCrossbar(**{**values, **changes})  # type: ignore[arg-type]


@given(st.integers(-32768, 32639))
def test_two_bytes_write_every_level(level: int) -> None:
    high, low = split_levels(np.array([[level]], np.int16))[0].astype(int)
    assert 256 * high + low == level


def test_noise_is_normal_and_white() -> None:
    drawn = normals(crossbar_key(1, 2, 3, 4, 5), 0, np.arange(4096), 256).astype(np.float64)
    n = drawn.size
    assert abs(drawn.mean()) < 5 / np.sqrt(n)
    assert abs(drawn.var() - 1) < 5 * np.sqrt(2 / n) + 1e-3  # the table's own variance is 0.99998
    for lag in (1, 2, 3, 4, 5, 64, 256):
        flat = drawn.ravel()
        assert abs(np.mean(flat[lag:] * flat[:-lag])) < 5 / np.sqrt(n)
    assert abs(normal_table().astype(np.float64).mean()) < 1e-9


def test_noise_belongs_to_its_place() -> None:
    key = crossbar_key(7, 1, 0, 2, 3)
    whole = normals(key, 3, np.arange(100), 30)
    assert np.array_equal(normals(key, 3, np.array([41, 7]), 30), whole[[41, 7]])
    for other in (crossbar_key(8, 1, 0, 2, 3), crossbar_key(7, 0, 1, 2, 3), crossbar_key(7, 1, 0, 3, 2)):
        assert np.mean(normals(other, 3, np.arange(100), 30) == whole) < 0.01
    assert np.mean(normals(key, 4, np.arange(100), 30) == whole) < 0.01


def test_conversion_rounds_clips_and_counts() -> None:
    crossbar = a_crossbar(
        np.zeros((1, 4)),
        gain=np.full(4, 0.5, np.float32),
        offset=np.array([0, 1, 0, 0], np.float32),
        code_max=np.array([127, 127, 10, 127], np.int32),
        readout_gain=np.array([2, 2, 2, 2.5], np.float32),
        inl=np.zeros((2, 4), np.float32),
    )
    low = np.array([[5, 5, 40, 6], [-600, 0, 20, -6]], np.int32)
    read = read_out(crossbar, np.zeros_like(low), low, 0, np.arange(2))
    assert read.output.tolist() == [[4, 8, 20, 8], [-256, 2, 20, -8]]
    assert read.n_clipped == 2


def test_an_adc_that_is_not_linear_deviates_by_its_curve_and_is_right_beyond_its_range() -> None:
    bow, s_shape = np.array([10, 0, 10], np.float32), np.array([0, 20, -10], np.float32)
    crossbar = a_crossbar(
        np.zeros((1, 3)), code_min=np.full(3, -100, np.int32), code_max=np.full(3, 100, np.int32),
        inl=np.stack([bow, s_shape]),
    )  # fmt: skip
    low = np.repeat(np.array([[-100], [-50], [0], [50], [100], [130]], np.int32), 3, axis=1)
    read = read_out(crossbar, np.zeros_like(low), low, 0, np.arange(6))
    assert read.output.tolist() == [
        [-100, -100, -100], [-50 + 8, -50 - 8, -50 + 11], [10, 0, 10], [50 + 8, 50 + 8, 50 + 4], [100, 100, 100],
        [100, 100, 100],
    ]  # fmt: skip
    assert read.n_clipped == 3


def test_compiled_code_computes_the_same_deviation_to_the_last_bit() -> None:
    n, rng = 256, np.random.default_rng(5)
    crossbar = a_crossbar(
        np.zeros((1, n)),
        code_min=rng.integers(-128, -50, n).astype(np.int32),
        inl=rng.normal(0, 0.5, (2, n)).astype(np.float32),
    )
    for level in rng.normal(0, 60, (500, n)).astype(np.float32):
        expected = level + deviation(crossbar, level)
        _add_nonlinearity(level, *crossbar.inl, crossbar.code_center, crossbar.per_half_range)
        assert level.tobytes() == expected.tobytes()


def test_slices_of_a_weight_add_up() -> None:
    crossbar = a_crossbar(np.zeros((1, 4)), n_columns=2, readout_gain=np.array([16, 16, 1, 1], np.float32))
    low = np.array([[1, 2, 3, 4]], np.int32)
    assert read_out(crossbar, np.zeros_like(low), low, 0, np.arange(1)).output.tolist() == [[19, 36]]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_compiled_code_delivers_the_same_integers(data: st.DataObject) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    n_columns, n_slices, n = draw(st.integers(1, 70)), draw(st.integers(1, 3)), draw(st.integers(1, 9))
    n_physical = n_columns * n_slices
    real = lambda low, high: rng.uniform(low, high, n_physical).astype(np.float32)  # noqa: E731
    crossbar = a_crossbar(
        rng.integers(-32768, 32640, (20, n_physical)),
        n_columns=n_columns,
        gain=real(1e-5, 1e-4),
        offset=real(-3, 3),
        sigma=real(0, 2) if draw(st.booleans()) else np.zeros(n_physical, np.float32),
        code_min=rng.integers(-100, 0, n_physical).astype(np.int32),
        readout_gain=real(1, 300),
        readout_offset=real(-5, 5),
        inl=rng.uniform(-2, 2, (2, n_physical)).astype(np.float32) if draw(st.booleans()) else NO_INL,
        noise_key=draw(st.integers(0, 2**64 - 1)),
    )
    inputs = rng.integers(0, 256, (n, 20))
    exact = inputs @ split_levels(crossbar.levels).astype(np.int64)
    positions = rng.integers(0, 100_000, n)
    image = draw(st.integers(0, 1000))
    high, low = exact[:, :n_physical].astype(np.int32), exact[:, n_physical:].astype(np.int32)
    expected = read_out(crossbar, high, low, image, positions)
    excess = rng.integers(-1000, 1000, 2 * n_physical).astype(np.int32)
    total = np.full((n, n_columns), 9, np.int32)
    for dtype in (np.int32, np.float32):
        sums = (exact + excess).astype(dtype)
        n_clipped = CompiledReadout(crossbar).add_to(total, sums, excess, image, positions, is_first=True)
        assert np.array_equal(total, expected.output)
        assert n_clipped == expected.n_clipped
    CompiledReadout(crossbar).add_to(total, sums, excess, image, positions, is_first=False)
    assert np.array_equal(total, 2 * expected.output)
