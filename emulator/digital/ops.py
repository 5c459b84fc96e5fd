"""The operations of a cluster's cores, under one name: arrays of integers in, arrays of integers out."""

from emulator.digital.elementwise import add, relu, requantize
from emulator.digital.pool import avg_pool, max_pool

__all__ = ["add", "avg_pool", "max_pool", "relu", "requantize"]
