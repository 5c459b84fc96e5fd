"""What a chip is: its description, and the interconnect that follows from it."""
