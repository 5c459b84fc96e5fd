"""The file format of a run, and everything that is read from it."""
