"""Load input images from PNG and JPEG files, folders of them, and numpy arrays."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from emulator.errors import InputError
from emulator.network.graph import Network

#: Endings of picture files, in lower case; a folder's other files are left alone.
SUFFIXES = (".png", ".jpg", ".jpeg")


def load_images(paths: Path | str | Iterable[Path | str]) -> NDArray[np.uint8]:
    """Load images of one size.

    Args:
        paths: a PNG or JPEG file, a folder (its PNG and JPEG files in the order of their names), a ``.npy`` file with
            uint8 (n, height, width, channels) or (height, width, channels), or several of these.

    Returns:
        uint8, (n, height, width, channels); 3 channels from pictures.

    Raises:
        InputError: a path does not exist, is no image, or the sizes differ; names the file.
    """
    sources = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    batches = [(path, batch) for source in sources for path, batch in _load(source)]
    if not batches:
        raise InputError("no input images given")
    first_path, first = batches[0]
    for path, batch in batches:
        if batch.shape[1:] != first.shape[1:]:
            sizes = f"{_size(batch)}, but {first_path} is {_size(first)}"
            raise InputError(f"{path}: the image is {sizes}; all images of a run have one size")
    return np.concatenate([batch for _, batch in batches])


def check_size(images: NDArray[np.uint8], network: Network, source: Path | str) -> None:
    """Check that the images have the size of the network's input.

    Raises:
        InputError: names the source, the size that the network expects and the size that came.
    """
    expected = network.feature_maps[network.input]
    if images.shape[1:] != expected.shape:
        wanted = f"{expected.height} x {expected.width} with {expected.channels} channels"
        advice = how_to_fit(images.shape[3], expected.channels)
        raise InputError(
            f"{source}: expected images of {wanted} for network {network.name}, got {_size(images)}; {advice}"
        )


def how_to_fit(channels: int, wanted: int | str | None) -> str:
    """Say what to do about images that a network cannot take.

    Args:
        channels: of the images.
        wanted: channels of the network's input; no number where it leaves them open.
    """
    if isinstance(wanted, int) and wanted != channels:
        pictures = "or pictures" if wanted == 3 else "(pictures are read with 3 channels)"
        return f"give a .npy array of (n, height, width, {wanted}) {pictures}"
    return "images are not scaled, but inputs.crop takes the middle of larger ones"


def _load(path: Path) -> list[tuple[Path, NDArray[np.uint8]]]:
    """Return the batches behind one path, each with the file that it came from."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise InputError(f"{path}: the folder holds no PNG or JPEG files")
        return [(file, _load_picture(file)) for file in files]
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; expected PNG, JPEG or .npy images")
    return [(path, _load_array(path) if path.suffix == ".npy" else _load_picture(path))]


def _load_picture(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"), np.uint8)[np.newaxis]
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path}: cannot be read as an image: {error}") from error


def _load_array(path: Path) -> NDArray[np.uint8]:
    try:
        array: NDArray[np.uint8] = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as a numpy array: {error}") from error
    batch: NDArray[np.uint8] = array[np.newaxis] if array.ndim == 3 else array
    if batch.ndim != 4 or batch.dtype != np.uint8 or batch.shape[0] == 0:
        raise InputError(f"{path}: expected uint8 (n, height, width, channels), got {array.dtype} {array.shape}")
    return batch


def _size(images: NDArray[np.uint8]) -> str:
    _, height, width, channels = images.shape
    return f"{height} x {width} with {channels} channels"
