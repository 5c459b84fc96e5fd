"""The energy model against sums on paper and, for whole networks, against closed forms of layer and mapping."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.energy import (
    COMPONENTS,
    ActorWork,
    AreaCosts,
    ClusterCosting,
    EnergyCosts,
    EnergyCounts,
    count_actors,
    count_transport,
    energy_pj,
)
from traces.schema import ActorKind, Resource

COSTS = EnergyCosts.model_validate(
    {
        "mvm": {"fixed": "1 nJ", "per_row": "10 pJ", "per_column": "20 pJ", "per_cell": "50 fJ"},
        "stream": "4 pJ/B", "core_cycle": "6 pJ", "l1": "2 pJ/B", "network_port": "3 pJ/B", "hbm": "30 pJ/B",
        "cluster_leakage": "2 mW", "cluster_idle": "500 uW",
    }
)  # fmt: skip
CLUSTER = ClusterCosting(n_cores=16, synchronization_cycles=100, row_bytes=1, column_bytes=2, columns_per_weight=1)
WORK = ActorWork(
    kind=np.array([ActorKind.INPUT, ActorKind.MVM, ActorKind.REDUCE, ActorKind.STORE], np.uint8),
    resource=np.array([Resource.NONE, Resource.IMA, Resource.CORES, Resource.NONE], np.uint8),
    n_rows=np.array([0, 200, 0, 0], np.int32),
    n_columns=np.array([3, 64, 64, 64], np.int32),
    n_firings=np.array([8, 8, 8, 8], np.int32),
    n_jobs=np.array([0, 1000, 0, 0], np.int64),
    core_cycles=np.array([0, 0, 5000, 0], np.int64),
)


def test_work_of_actors_is_counted_as_on_paper() -> None:
    counts = count_actors(WORK, CLUSTER)
    assert counts == EnergyCounts(
        n_mvms=1000,
        n_row_inputs=200_000,
        n_column_outputs=64_000,
        n_cell_uses=12_800_000,
        n_core_cycles=(5000 - 800) * 16 + 16 * 100,  # 8 firings on the IMA and 8 on the cores wake one core each
        stream_bytes=200_000 + 2 * 64_000,
    )


def test_every_slice_of_a_weight_is_a_column_with_a_conversion() -> None:
    whole, sliced = (count_actors(WORK, replace(CLUSTER, columns_per_weight=n)) for n in (1, 4))
    per_slice = {"n_column_outputs": 64_000, "n_cell_uses": 12_800_000, "stream_bytes": 2 * 64_000}
    assert sliced == replace(whole, **{name: getattr(whole, name) + 3 * n for name, n in per_slice.items()})


def test_energy_is_the_sum_on_paper() -> None:
    counts = count_actors(WORK, CLUSTER) + count_transport(500, n_ports=4, n_l1_ends=1, n_hbm_ends=1)
    counts += EnergyCounts(cluster_ps=4 * 10**9, idle_ps=10**9)
    energy = energy_pj(counts, COSTS)
    assert tuple(energy) == COMPONENTS
    assert energy == pytest.approx(
        {
            "array": 1000 * 1000 + 12_800_000 * 0.05,
            "dac": 200_000 * 10,
            "adc": 64_000 * 20,
            "cores": ((5000 - 800) * 16 + 1600) * 6,
            "stream": 328_000 * 4,
            "l1": 500 * 2,
            "network": 2000 * 3,
            "hbm": 500 * 30,
            "leakage": 8e6,  # 2 mW on 4 clusters for 1 ms
            "idle": 0.5e6,
        }
    )


@given(parts=st.lists(st.lists(st.integers(0, 2**50), min_size=11, max_size=11), min_size=1, max_size=5))
def test_energy_of_a_sum_is_the_sum_of_energies(parts: list[list[int]]) -> None:
    counts = [EnergyCounts(*part) for part in parts]
    total = sum(counts, EnergyCounts())
    energies = [energy_pj(each, COSTS) for each in counts]
    for name, value in energy_pj(total, COSTS).items():
        assert value == pytest.approx(sum(each[name] for each in energies))
    assert counts[0].times(3) == counts[0] + counts[0] + counts[0]
    assert len(fields(EnergyCounts)) == 11


def test_counts_do_not_overflow() -> None:
    many = ActorWork(*(np.array([value]) for value in (1, 1, 2**31 - 1, 2**31 - 1, 1, 2**40, 0)))
    assert count_actors(many, CLUSTER).n_cell_uses == 2**40 * (2**31 - 1) ** 2


def test_area_is_a_sum_of_parts() -> None:
    area = AreaCosts.model_validate(
        {
            "ima": "0.5 mm2",
            "cores": "200000 um2",
            "l1": "0.3 mm2",
            "cluster_rest": "0.1 mm2",
            "outside_clusters": "9 mm2",
        }
    )
    assert area.cluster_mm2 == pytest.approx(1.1)
    assert area.chip_mm2(10) == pytest.approx(20)
    assert sum(area.split_mm2(10).values()) == pytest.approx(20)
