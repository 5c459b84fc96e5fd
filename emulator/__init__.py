"""A distributed emulator of massively parallel analog in-memory computing chips."""
