"""Reports as one self-contained page for any browser."""
