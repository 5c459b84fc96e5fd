"""IR drop: what is lost along the lines of a crossbar, whose every segment from cell to cell has a resistance.

An array of resistors is linear, so its wires act as if the conductances were smaller ones. Each line is solved exactly
with the lines that cross it taken as ideal: bit lines give the share of a cell's current that reaches the sense end,
word lines the share of the voltage that reaches a cell, and the two are multiplied. What is neglected, the influence of
one line's drop on the other's, is of second order in (segment resistance x conductance x number of cells squared). The
tests compare with a nodal solve of whole arrays.

It holds for voltages and for pulse widths alike as long as rows without a pulse are grounded.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Real = NDArray[np.float64]

_SIEMENS_PER_US = 1e-6


def effective_conductance_us(conductance_us: Real, segment_ohm: float) -> Real:
    """Return the conductances that an array with resistive lines seems to have.

    Args:
        conductance_us: (rows, bit lines). Word lines are driven at bit line 0, bit lines sensed behind the last row.
        segment_ohm: resistance of a line from one cell to the next, to the driver and to the sense amplifier.
    """
    relative = conductance_us * (segment_ohm * _SIEMENS_PER_US)
    along_bit_line = _share_reaching_the_end(relative)
    along_word_line = _share_reaching_the_end(np.ascontiguousarray(relative.T[::-1]))[::-1].T
    return conductance_us * along_bit_line * along_word_line


@njit(cache=True, nogil=True)
def _share_reaching_the_end(relative: Real) -> Real:
    """Return the share of a current fed in at each cell that leaves at the end of its line.

    By reciprocity also the share of a voltage applied at the end that reaches each cell. Eliminating the tridiagonal
    nodal equations from the far end on leaves the ratio of neighbouring shares; the share at the end is 1.

    Args:
        relative: (cells, lines), conductance to ground times segment resistance; the end lies behind the last cell.
    """
    n_cells, n_lines = relative.shape
    shares = np.empty((n_cells, n_lines))
    ratios = np.ones(n_lines)  # nothing flows beyond the first cell
    for cell in range(n_cells):
        for line in range(n_lines):
            ratios[line] = 1.0 / (2.0 + relative[cell, line] - ratios[line])
            shares[cell, line] = ratios[line]
    for cell in range(n_cells - 2, -1, -1):
        for line in range(n_lines):
            shares[cell, line] *= shares[cell + 1, line]
    return shares
