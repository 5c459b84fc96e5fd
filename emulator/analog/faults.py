"""Broken devices: stuck without conductance, or stuck at the largest one."""

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


def fault_masks(uniform: Real, stuck_off: float, stuck_on: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which devices are stuck off (dead, no conductance) and which are stuck on (at ``g_max``).

    Args:
        uniform: one number of [0, 1) per device.
        stuck_off: share of the devices.
        stuck_on: share of the devices; at most 1 together with the other.
    """
    return uniform < stuck_off, (uniform >= stuck_off) & (uniform < stuck_off + stuck_on)
