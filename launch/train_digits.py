"""Train the digits network of ``configs/networks/digits`` anew: ``python -m launch.train_digits [FOLDER]``.

A small residual network learns the handwritten digits of the UCI repository (E. Alpaydin, C. Kaynak, 1998; CC BY 4.0)
that scikit-learn ships: 1797 images of 8 x 8 pixels with 17 grey levels, of which 540 are held out. Needs the extra
``training`` (PyTorch and scikit-learn); nothing else in the project does. Takes half a minute on one core; the result
depends on the versions of both libraries in the last bits, so accuracies may differ by an image or two.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from emulator.network.quantize import quantize_onnx

SEED = 1
N_TEST = 540
N_CALIBRATION = 128
N_EPOCHS = 60
BATCH = 64
PEAK_RATE = 0.01
CHANNELS = (16, 32, 64)

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


class Block(nn.Module):  # type: ignore[misc]  # PyTorch may be absent when types are checked
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where the shape changes."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            *_convolution(c_in, c_out, 3, stride), nn.ReLU(), *_convolution(c_out, c_out, 3, 1)
        )  # fmt: skip
        same = stride == 1 and c_in == c_out
        self.shortcut = nn.Identity() if same else nn.Sequential(*_convolution(c_in, c_out, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Add both branches."""
        return torch.relu(self.main(x) + self.shortcut(x))


def _convolution(c_in: int, c_out: int, kernel: int, stride: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(c_out)


def make_network() -> nn.Module:
    """Return the untrained network."""
    first, *_ = CHANNELS
    stages = [Block(c_in, c_out, 1 if c_in == c_out else 2) for c_in, c_out in zip((first, *CHANNELS), CHANNELS)]  # noqa: B905
    return nn.Sequential(
        *_convolution(1, first, 3, 1), nn.ReLU(), *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(CHANNELS[-1], 10),
    )  # fmt: skip


def load_images() -> tuple[Images, Images, Labels, Labels]:
    """Return images (uint8, (n, 8, 8, 1), the full range of grey) and labels: for training, then held out."""
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = digits.target.astype(np.int64)
    split = train_test_split(images, labels, test_size=N_TEST, stratify=labels, random_state=SEED)
    train_images, test_images, train_labels, test_labels = split
    return train_images, test_images, train_labels, test_labels


def train(network: nn.Module, images: Images, labels: Labels) -> None:
    """Train with shifted copies of the images (by at most one pixel)."""
    x, y = _tensor(images), torch.from_numpy(labels)
    n_steps = N_EPOCHS * -(-len(x) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=n_steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    network.train()
    for _ in range(N_EPOCHS):
        for chosen in torch.randperm(len(x)).split(BATCH):
            shifts = [int(shift) for shift in torch.randint(-1, 2, (2,))]
            batch = nn.functional.pad(x[chosen], (1, 1, 1, 1)).roll(shifts, (2, 3))[:, :, 1:-1, 1:-1]
            optimizer.zero_grad()
            loss_of(network(batch), y[chosen]).backward()
            optimizer.step()
            schedule.step()
    network.eval()


def _tensor(images: Images) -> Tensor:
    return torch.from_numpy(images.astype(np.float32) / 255).permute(0, 3, 1, 2)


def main() -> None:
    """Train, export, quantise, and write everything to the folder."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "configs/networks/digits")
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(1)
    train_images, test_images, train_labels, test_labels = load_images()
    network = make_network()
    train(network, train_images, train_labels)
    with torch.no_grad():
        guesses = network(_tensor(test_images)).argmax(dim=1).numpy()
    print(f"{int((guesses == test_labels).sum())} of {N_TEST} held-out images are right")
    np.save(folder / "calibration-images.npy", train_images[:N_CALIBRATION])
    np.save(folder / "test-images.npy", test_images)
    np.save(folder / "test-labels.npy", test_labels.astype(np.uint8))
    source = folder / "digits-float.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (_tensor(test_images[:1]),), str(source), dynamo=False, opset_version=17,
            input_names=["image"], output_names=["logits"],
            dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        )  # fmt: skip
    quantize_onnx(source, train_images[:N_CALIBRATION], folder / "digits.onnx")


if __name__ == "__main__":
    main()
