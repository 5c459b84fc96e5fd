"""Mapping policies as data: every choice of the mapping is a field of a small file."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from emulator.config_file import Spec, load_model, read_yaml
from emulator.errors import ConfigError, MappingError
from emulator.network.graph import Network

Count = Annotated[int, Field(ge=1, strict=True)]
Home = Literal["consumer_l1", "spare", "hbm"]
Sharing = Literal["turns", "strips"]
Placement = Literal["contiguous", "aligned", "interleaved"]


class ReductionPolicy(Spec):
    """How the partial sums of a layer's row blocks are added.

    Attributes:
        fan_in: at most so many partial sums are added at once, in a tree as shallow as that allows.
        stages: instead of ``fan_in``, the number of additions in each stage of the tree, the last one being 1.
        clusters: clusters of their own for the additions of the layer, taken in turn; with 0 the additions run on the
            cores of the clusters that hold the row blocks.
    """

    fan_in: Annotated[int, Field(ge=2, strict=True)] | None = None
    stages: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    clusters: Annotated[int, Field(ge=0, strict=True)] = 0

    @model_validator(mode="after")
    def _one_shape(self) -> "ReductionPolicy":
        if (self.fan_in is None) == (self.stages is None):
            raise ValueError("expected either fan_in or stages")
        if self.stages is not None and self.stages[-1] != 1:
            raise ValueError(f"stages must end with one addition, the root, got {list(self.stages)}")
        return self


class LayerPolicy(Spec):
    """What one layer, or all layers whose names match a pattern, get instead of the policy's defaults."""

    copies: Count | None = None
    sharing: Sharing | None = None
    tile_width: Count | None = None
    pixels_per_mvm: Count | None = None
    reduction: ReductionPolicy | None = None
    residual: Home | None = None
    guest_of: str | None = None


class ManualPolicy(Spec):
    """A mapping written down choice by choice.

    Attributes:
        copies: of every crossbar of a layer, or the clusters that share a layer done by the cores.
        sharing: how copies share the tiles of a feature map: they take "turns" (least delay), or each makes a strip of
            neighbours (least traffic, for fewer inputs are needed by two copies).
        tile_width: columns of a layer's output feature map per tile.
        pixels_per_mvm: neighbouring output pixels that one crossbar makes at once, from shifted duplicates of the
            kernel (Zhang et al., TCAD 2020; Rhe et al., DATE 2022).
        reduction: the tree that adds partial sums.
        residual: where a residual waits for its addition: in the L1 of the cluster that adds it ("consumer_l1"),
            in the L1 of clusters kept for that ("spare") or in the HBM.
        spare_clusters: clusters kept for residuals.
        placement: "contiguous" fills clusters along the pipeline; "aligned" starts layers at quadrants that hold them;
            "interleaved" puts the copies of successive layers that work on the same part of the image side by side.
        layers: choices by layer name or pattern such as "stage1.*"; later entries win over earlier ones. ``guest_of``
            names an earlier layer whose clusters' idle crossbars (for a convolution) or cores are used first.
    """

    kind: Literal["manual"]
    copies: Count
    sharing: Sharing
    tile_width: Count
    pixels_per_mvm: Count
    reduction: ReductionPolicy
    residual: Home
    spare_clusters: Annotated[int, Field(ge=0, strict=True)]
    placement: Placement
    layers: dict[str, LayerPolicy]

    def choice(self, layer: str) -> LayerPolicy:
        """Return every choice for the layer of the given name; only ``guest_of`` may be None."""
        chosen = {name: getattr(self, name) for name in LayerPolicy.model_fields if name != "guest_of"}
        for pattern, special in self.layers.items():
            if fnmatchcase(layer, pattern):
                chosen |= {name: value for name in LayerPolicy.model_fields if (value := getattr(special, name))}
        return LayerPolicy.model_construct(**{"guest_of": None, **chosen})

    def check_names(self, network: Network) -> None:
        """Check that every pattern of ``layers`` matches a layer of ``network``.

        Raises:
            MappingError: names the pattern and the layers there are.
        """
        names = [layer.name for layer in network.layers]
        for pattern in self.layers:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise MappingError(
                    f"policy: layers.{pattern}: no layer of {network.name} has this name; there are {', '.join(names)}"
                )


class OptimizePolicy(Spec):
    """A mapping to be found.

    Attributes:
        objective: what to make best: images per second over the batch, the time to the first image's result, or the
            product of the batch's energy and time.
        clusters: at most so many clusters.
        evaluations: candidate mappings to time at most, beyond the analytic start.
        seconds: stop with the best so far after this wall time; leave it out where runs must repeat exactly.
        pixels_per_mvm: largest number of neighbouring pixels that one crossbar may make at once (1 forbids it).
    """

    kind: Literal["optimize"]
    objective: Literal["throughput", "latency", "energy-delay"]
    clusters: Count
    evaluations: Annotated[int, Field(ge=0, strict=True)]
    seconds: Annotated[float, Field(gt=0)] | None = None
    pixels_per_mvm: Count


Policy = ManualPolicy | OptimizePolicy
_KINDS: dict[str, type[ManualPolicy] | type[OptimizePolicy]] = {"manual": ManualPolicy, "optimize": OptimizePolicy}


def policy_to_yaml(policy: ManualPolicy) -> str:
    """Write a policy as the text of a policy file that says the same."""
    data = policy.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=120)


def load_policy(path: Path | str) -> Policy:
    """Read and check a policy file.

    Raises:
        ConfigError: the file is missing, malformed or no policy; names every offending key.
    """
    return read_policy(path, {})


def read_policy(path: Path | str, overrides: Mapping[str, Any]) -> Policy:
    """Read and check a policy file with some of its values replaced, by dotted key.

    Raises:
        ConfigError: as ``load_policy``; or an override names a key that the file does not have.
    """
    path = Path(path)
    data = read_yaml(path, "a mapping policy")
    kind = data.get("kind") if isinstance(data, dict) else "manual"  # what is no mapping at all is refused below
    if kind not in _KINDS:
        raise ConfigError(f"{path}: kind: expected one of {', '.join(_KINDS)}, got {kind!r}")
    return load_model(path, _KINDS[kind], "a mapping policy", overrides)
