"""Arguments that several commands take."""

import argparse
from dataclasses import fields
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 (its only name)


def add_command(
    commands: Commands, common: argparse.ArgumentParser, name: str, about: str, examples: str, text: str | None = None
) -> argparse.ArgumentParser:
    """Add a command whose help shows ``text``, by default what it is about in a sentence, and examples."""
    return commands.add_parser(
        name,
        parents=[common],
        help=about,
        description=text or f"{about[0].upper()}{about[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_ranks_argument(parser: argparse.ArgumentParser) -> None:
    """Let a command start ranks of its own."""
    about = "MPI ranks to start on this machine (default: 1)"
    parser.add_argument("-n", "--ranks", type=positive, default=1, help=about)


def take(kind: type[T], options: argparse.Namespace) -> T:
    """Make the options of a command, a dataclass, from the arguments of the same names."""
    return kind(**{each.name: getattr(options, each.name) for each in fields(kind)})  # type: ignore[arg-type]


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
