"""MessagePack with arrays: how programs and weights travel between ranks, and how content is hashed.

Arrays become an extension type of their own (dtype, shape, raw bytes); nothing is ever pickled, so decoding cannot run
code.
"""

import hashlib
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from emulator.errors import ParallelError

_ARRAY = 1
#: Kinds of array elements whose bytes are all there is to them: truth values, integers, floats, complex numbers.
_PLAIN_KINDS = "biufc"
#: MessagePack's own length limit of one object.
_LONGEST = 2**32 - 1


def pack(value: object) -> bytes:
    """Encode plain values (None, bool, int, float, str, bytes, list, tuple, dict) and numpy arrays."""
    encoded: bytes = msgpack.packb(value, default=_encode, strict_types=False)
    return encoded


def unpack(data: bytes) -> Any:  # noqa: ANN401 (whatever was packed)
    """Decode what ``pack`` made; tuples come back as lists, arrays as writable arrays.

    Raises:
        ParallelError: the bytes are no whole message.
    """
    try:
        return msgpack.unpackb(data, ext_hook=_decode, strict_map_key=False, max_bin_len=_LONGEST, max_ext_len=_LONGEST)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ParallelError(f"a message of {len(data)} bytes cannot be decoded: {error}") from error


def content_hash(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _encode(value: object) -> msgpack.ExtType:
    if isinstance(value, np.ndarray) and value.dtype.kind in _PLAIN_KINDS:
        header = msgpack.packb((value.dtype.str, value.shape))
        return msgpack.ExtType(_ARRAY, header + np.ascontiguousarray(value).tobytes())
    kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise TypeError(f"cannot pack {kind}")


def _decode(code: int, data: bytes) -> NDArray[Any]:
    if code != _ARRAY:
        raise ValueError(f"unknown extension type {code}")
    unpacker = msgpack.Unpacker()
    unpacker.feed(data[:4096])
    dtype, shape = unpacker.unpack()
    return np.frombuffer(data, dtype, offset=unpacker.tell()).reshape(shape).copy()
