"""Where on the chip every piece of a network lives."""
