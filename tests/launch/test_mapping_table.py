"""The mapping as a table."""

import pytest
from support.networks import a_chip, a_policy, a_small_workload

from launch.mapping_table import mapping_to_json, mapping_to_text

CHIP = a_chip(rows=40, columns=16, fan_outs=(8, 8))


@pytest.mark.parametrize("placement", ["contiguous", "interleaved"])
def test_clusters_are_a_range_only_where_they_are_neighbors(placement: str) -> None:
    layers = {name: {"copies": 3} for name in ("conv0", "conv1", "conv2", "add3")}
    policy = a_policy(placement=placement, layers=layers)
    mapping = a_small_workload(CHIP, 1, policy).mapping
    text = mapping_to_text(mapping)
    assert ("\nN of A..B: N clusters" in text) == (placement == "interleaved")
    lines = {line.split()[0]: line for line in text.partition("N of A")[0].splitlines() if line.strip()}
    for layer in mapping_to_json(mapping)["layers"]:
        clusters = sorted(layer["clusters"])
        is_range = clusters == list(range(clusters[0], clusters[-1] + 1))
        number = "" if is_range else f"{len(clusters)} of "
        whole = f"{number}{clusters[0]}..{clusters[-1]}" if len(clusters) > 1 else str(clusters[0])
        assert f"  {whole}  " in lines[layer["name"]]
    assert (" of " in "".join(line for name, line in lines.items() if name != "random")) == (placement == "interleaved")
