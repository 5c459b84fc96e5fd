from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from emulator.errors import InputError
from emulator.network.graph import FeatureMap, Network, Quantization
from emulator.network.inputs import check_size, load_images

SHIPPED = Path(__file__).parents[2] / "configs" / "images"


def picture(path: Path, size: tuple[int, int] = (8, 6), mode: str = "RGB", value: int = 0) -> NDArray[np.uint8]:
    array = np.random.default_rng(value).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(array).convert(mode).save(path)
    return array


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    expected = [picture(tmp_path / name, value=i) for i, name in enumerate(["a.png", "b.png", "c.PNG"])]
    (tmp_path / "notes.txt").write_text("not an image")
    images = load_images(tmp_path)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, np.stack(expected))


def test_files_and_arrays_may_be_mixed(tmp_path: Path) -> None:
    first = picture(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", np.full((2, 6, 8, 3), 9, np.uint8))
    np.save(tmp_path / "c.npy", np.full((6, 8, 3), 5, np.uint8))
    images = load_images([tmp_path / "b.npy", str(tmp_path / "a.png"), tmp_path / "c.npy"])
    assert images.shape == (4, 6, 8, 3)
    np.testing.assert_array_equal(images[2], first)
    assert (images[:2] == 9).all()
    assert (images[3] == 5).all()


def test_gray_pictures_become_three_channels(tmp_path: Path) -> None:
    picture(tmp_path / "gray.png", mode="L")
    images = load_images(tmp_path / "gray.png")
    assert images.shape == (1, 6, 8, 3)
    assert (images[..., 0] == images[..., 2]).all()


def test_missing_empty_and_unreadable_sources_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "broken.npy").write_bytes(b"no array")
    np.save(tmp_path / "real.npy", np.zeros((1, 4, 4, 3)))
    for name in ("missing.png", "empty", "broken.png", "broken.npy", "real.npy"):
        with pytest.raises(InputError, match=name):
            load_images(tmp_path / name)
    with pytest.raises(InputError, match="no input images"):
        load_images([])


def test_sizes_that_differ_are_refused_with_both_files(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", size=(9, 6))
    with pytest.raises(InputError, match=r"b\.png: the image is 6 x 9 .* but .*a\.png is 6 x 8"):
        load_images(tmp_path)


def test_size_is_checked_against_the_network() -> None:
    image = FeatureMap("image", 32, 24, 3, Quantization(1.0, 0, "uint8"))
    network = Network("small", {"image": image}, (), "image", "image")
    check_size(np.zeros((2, 32, 24, 3), np.uint8), network, "photos")
    with pytest.raises(InputError, match=r"photos: expected images of 32 x 24 .* small, got 24 x 32"):
        check_size(np.zeros((2, 24, 32, 3), np.uint8), network, "photos")


def test_sixteen_photographs_are_shipped_with_attribution() -> None:
    files = sorted(SHIPPED.glob("*.jpg"))
    images = load_images(SHIPPED)
    assert images.shape == (16, 256, 256, 3)
    assert len(np.unique(images.reshape(16, -1), axis=0)) == 16
    assert sum(file.stat().st_size for file in files) < 1_500_000
    attribution = (SHIPPED / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert all(file.name in attribution for file in files)
