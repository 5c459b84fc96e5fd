"""IR drop against a direct solve of every node of an array."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

from emulator.analog.wires import effective_conductance_us

Real = NDArray[np.float64]


def solve_array(conductance_us: Real, segment_ohm: float, volts: Real) -> Real:
    """Currents in microampere that leave the bit lines of an array: Kirchhoff's law at all of its nodes.

    Nodes: word line (i, j), then bit line (i, j). Word line i is driven by volts[i] before column 0, bit line j ends in
    a virtual ground behind the last row.
    """
    n_rows, n_columns = conductance_us.shape
    wire = 1e6 / segment_ohm
    n = n_rows * n_columns
    matrix, source = lil_matrix((2 * n, 2 * n)), np.zeros(2 * n)

    def connect(a: int, b: int, conductance: float) -> None:
        for node, other in ((a, b), (b, a)):
            matrix[node, node] += conductance
            matrix[node, other] -= conductance

    for i in range(n_rows):
        for j in range(n_columns):
            word, bit = i * n_columns + j, n + i * n_columns + j
            connect(word, bit, conductance_us[i, j])
            if j:
                connect(word - 1, word, wire)
            else:
                matrix[word, word] += wire
                source[word] = wire * volts[i]
            if i < n_rows - 1:
                connect(bit, bit + n_columns, wire)
            else:
                matrix[bit, bit] += wire
    voltage = spsolve(matrix.tocsr(), source)
    last_row: Real = voltage[n + (n_rows - 1) * n_columns :]
    return last_row * wire


def an_array(n_rows: int, n_columns: int) -> Real:
    rng = np.random.default_rng(7)
    return rng.uniform(0, 25.0, (n_rows, n_columns)) * (rng.random((n_rows, n_columns)) < 0.6)


def test_each_conductance_seen_is_close_to_that_of_the_nodal_solve() -> None:
    conductance = an_array(24, 16)
    seen = effective_conductance_us(conductance, 1.0)
    exact = np.array([solve_array(conductance, 1.0, unit) for unit in np.eye(24)])
    dropped = np.abs(exact - conductance).max()
    assert dropped > 0.05  # of at most 25: there is something to get right
    assert np.abs(seen - exact).max() < 0.03 * dropped


@pytest.mark.parametrize("segment_ohm", [0.1, 0.35, 1.0, 3.0])
def test_currents_are_those_of_the_nodal_solve_to_a_few_percent_of_the_loss(segment_ohm: float) -> None:
    conductance = an_array(48, 32)
    volts = np.random.default_rng(8).uniform(0, 1, 48)
    exact = solve_array(conductance, segment_ohm, volts)
    lost = volts @ conductance - exact
    assert (lost > 0).all()
    error = volts @ effective_conductance_us(conductance, segment_ohm) - exact
    assert np.abs(error).max() < 0.06 * lost.max()


def test_the_error_is_of_second_order_in_the_resistance() -> None:
    conductance, volts = an_array(32, 32), np.ones(32)
    errors = [
        np.abs(volts @ effective_conductance_us(conductance, ohm) - solve_array(conductance, ohm, volts)).max()
        for ohm in (0.25, 0.5, 1.0)
    ]
    assert errors[1] / errors[0] == pytest.approx(4, rel=0.1)
    assert errors[2] / errors[1] == pytest.approx(4, rel=0.1)


def test_a_single_line_is_solved_exactly() -> None:
    column = an_array(40, 1)
    bit_line_only = effective_conductance_us(column, 5.0)
    # with one column the word lines are single segments: in series with the cell, then the bit line
    volts = np.random.default_rng(9).uniform(0, 1, 40)
    exact = solve_array(column, 5.0, volts)
    assert volts @ bit_line_only == pytest.approx(exact, rel=2e-5)


def test_ideal_wires_change_nothing() -> None:
    conductance = an_array(8, 8)
    assert (effective_conductance_us(conductance, 0.0) == conductance).all()


def test_what_is_farther_from_the_ends_loses_more() -> None:
    seen = effective_conductance_us(np.full((64, 64), 10.0), 0.5)
    assert (np.diff(seen, axis=0) > 0).all()  # the sense end is behind the last row
    assert (np.diff(seen, axis=1) < 0).all()  # the driver is before the first column
