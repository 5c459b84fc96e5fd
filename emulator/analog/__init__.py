"""The numerics of one analog crossbar: arrays in, arrays out."""
