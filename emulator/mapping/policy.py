"""Mapping policies as data: every choice of the mapping is a field of a small file."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from emulator.config_file import Spec, load_model


class Policy(Spec):
    """Policy ``naive``: one copy of every layer, cluster after cluster along the pipeline.

    Attributes:
        tile_width: columns of a layer's output feature map per tile.
        reduction_fan_in: partial sums added at once in a reduction tree.
        residuals: where a residual waits for its addition ("consumer_l1": in the L1 of the adding cluster).
        placement: order of the clusters ("contiguous": along the pipeline, without gaps).
    """

    kind: Literal["naive"]
    tile_width: Annotated[int, Field(ge=1, strict=True)]
    reduction_fan_in: Annotated[int, Field(ge=2, strict=True)]
    residuals: Literal["consumer_l1"]
    placement: Literal["contiguous"]


def load_policy(path: Path | str) -> Policy:
    """Read and check a policy file.

    Raises:
        ConfigError: the file is missing, malformed or no policy; names every offending key.
    """
    return load_model(Path(path), Policy, "a mapping policy")
