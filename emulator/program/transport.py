"""A program as bytes: how it travels from the rank that built it, and what its content hash is taken over."""

from functools import cache

from pydantic import TypeAdapter

from emulator.parallel.wire import content_hash, pack, unpack
from emulator.program.dataflow import Program


@cache
def _adapter() -> TypeAdapter[Program]:
    return TypeAdapter(Program)


def program_to_bytes(program: Program) -> bytes:
    """Encode a program as MessagePack; equal programs give equal bytes."""
    return pack(_adapter().dump_python(program, mode="json"))


def program_from_bytes(data: bytes) -> Program:
    """Decode what ``program_to_bytes`` made."""
    return _adapter().validate_python(unpack(data))


def program_hash(program: Program) -> str:
    """Hash a program's content: SHA-256 of its bytes, in hexadecimal."""
    return content_hash(program_to_bytes(program))
