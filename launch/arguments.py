"""Arguments that several commands take."""

import argparse


def add_ranks_argument(parser: argparse.ArgumentParser) -> None:
    """Let a command start ranks of its own."""
    about = "MPI ranks to start on this machine (default: 1)"
    parser.add_argument("-n", "--ranks", type=positive, default=1, help=about)


def positive(text: str) -> int:
    """Read a number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got '{text}'")
    return int(text)


def seed(text: str) -> int:
    """Read a number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got '{text}'")
    return int(text)
