"""Random numbers of a crossbar's making, keyed by what they are for, so that no order of drawing can change them.

What varies from one MVM to the next comes from ``emulator.analog.noise`` instead, which is faster.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream of random numbers is for. The numbers are part of the key: never reuse one."""

    PROGRAMMING = 1
    DRIFT = 2
    READ = 3
    FAULTS = 4
    DEATH = 5
    ADC_GAIN = 6
    ADC_LINEARITY = 7


def stream(key: int, purpose: Purpose, moment: int = 0) -> np.random.Generator:
    """Return the random stream of one purpose at one crossbar: Philox, a counter-based generator, keyed by identity.

    Args:
        key: of the crossbar, from ``emulator.analog.noise.crossbar_key``: seed and identity.
        purpose: what is drawn.
        moment: tells draws apart that repeat in time, such as reads; not negative.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((key, int(purpose), moment))))
