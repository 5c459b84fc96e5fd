"""The value plane: what the numbers are."""
