"""The static dataflow graph between a mapping and its emulation."""
