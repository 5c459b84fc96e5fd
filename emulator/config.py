"""The run file: which chip, network, policy, inputs and seed make up a run."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr

from emulator.config_file import Spec, load_model
from emulator.errors import ConfigError
from emulator.network.decoder import LLAMA_7B

Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]


class BuiltInConfig(Spec):
    """A built-in network with seeded random weights, quantised with the run's own images."""

    kind: Literal["resnet8", "resnet18", "resnet34", "resnet50", "vgg11", "vgg16"]
    image_size: Annotated[int, Field(ge=8, strict=True)]
    classes: Count
    seed: Seed


class OnnxConfig(Spec):
    """A network from an ONNX file, quantised (QDQ) or float.

    Attributes:
        model: the ONNX file.
        calibration: images with which a float model is quantised and ADC ranges are calibrated; by default the run's
            own inputs.
        float_model: the floating-point model behind a quantised one, to compare accuracies with.
        mean, std: subtracted from and divided into pixel / 255, one value or one per channel.
    """

    kind: Literal["onnx"]
    model: Path
    calibration: Path | None = None
    float_model: Path | None = None
    mean: Annotated[tuple[float, ...], Field(min_length=1, max_length=3)] = (0.0,)
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1, max_length=3)] = (1.0,)


class DecoderConfig(Spec):
    """The matrices of a decoder as shapes without weights, for times alone (``emulator.network.decoder``).

    Attributes:
        layers: decoder layers; those of LLaMA-7B by default, as the sizes are.
        width: of the residual stream.
        feed_forward: width of the feed-forward part.
        vocabulary: tokens to choose from.
    """

    kind: Literal["decoder"]
    layers: Count = LLAMA_7B.n_layers
    width: Count = LLAMA_7B.width
    feed_forward: Count = LLAMA_7B.feed_forward
    vocabulary: Count = LLAMA_7B.vocabulary


class InputsConfig(Spec):
    """Input images, or the number of a decoder's tokens.

    Attributes:
        path: a PNG or JPEG file, a folder of them, or a ``.npy`` array. Tokens have none.
        count: how many to use, from the first; all images by default.
        crop: use only the middle ``crop`` x ``crop`` pixels of each.
        labels: a ``.npy`` array with the class of each image, for ``aimc accuracy``.
    """

    path: Path | None = None
    count: Count | None = None
    crop: Count | None = None
    labels: Path | None = None


class RunConfig(Spec):
    """A run file. Paths in it are relative to the file.

    Attributes:
        seed: of everything random in the run.
        devices: what ``aimc program`` wrote: these devices are used instead of newly programmed ones. Conductances,
            drift, read noise, stuck devices and dead crossbars then follow the seed that the file was made with. The
            errors of the ADCs and the output noise follow the run's: the same devices behind other converters.
    """

    chip: Path
    policy: Path
    network: Annotated[BuiltInConfig | OnnxConfig | DecoderConfig, Field(discriminator="kind")]
    inputs: InputsConfig
    seed: Seed
    devices: Path | None = None
    _folder: Path = PrivateAttr(default=Path())

    def resolve(self, path: Path) -> Path:
        """Turn a path of the file into one that can be opened from here."""
        return self._folder / path

    @property
    def image_path(self) -> Path:
        """Where the images are, of a network that has weights."""
        assert self.inputs.path is not None  # load_run_config has checked it
        return self.resolve(self.inputs.path)

    def require_weights(self, otherwise: str) -> None:
        """Check that the network has weights.

        Args:
            otherwise: what can be done if it has not.

        Raises:
            ConfigError: it is shapes alone.
        """
        if isinstance(self.network, DecoderConfig):
            raise ConfigError(f"network.kind: a decoder is shapes without weights and has no values: {otherwise}")


def load_run_config(path: Path | str) -> RunConfig:
    """Read and check a run file and that the files it names exist.

    Raises:
        ConfigError: the file is missing, malformed or no run file, or a file that it names does not exist.
    """
    path = Path(path)
    config = load_model(path, RunConfig, "a run (chip, policy, network, inputs, seed)")
    config._folder = path.parent  # noqa: SLF001 (the model's own private attribute)
    named = {"chip": config.chip, "policy": config.policy, **_image_paths(path, config)}
    if config.devices is not None:
        named["devices"] = config.devices
    if isinstance(config.network, OnnxConfig):
        named["network.model"] = config.network.model
        for key in ("calibration", "float_model"):
            if getattr(config.network, key) is not None:
                named[f"network.{key}"] = getattr(config.network, key)
    for key, named_path in named.items():
        if not config.resolve(named_path).exists():
            raise ConfigError(f"{path}: {key}: no such file or folder: {config.resolve(named_path)}")
    return config


def _image_paths(path: Path, config: RunConfig) -> dict[str, Path]:
    """Return the paths under ``inputs`` by key, if what stands there suits the network.

    Raises:
        ConfigError: it does not.
    """
    inputs = config.inputs
    if isinstance(config.network, DecoderConfig):
        given = ", ".join(sorted(inputs.model_fields_set))
        if given != "count":
            raise ConfigError(
                f"{path}: inputs: a decoder's tokens have a number and nothing else: expected count, got "
                f"{given or 'nothing'}"
            )
        return {}
    if inputs.path is None:
        raise ConfigError(f"{path}: inputs.path: this key is missing")
    return {"inputs.path": inputs.path} | ({"inputs.labels": inputs.labels} if inputs.labels is not None else {})
