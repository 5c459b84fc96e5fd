"""Any network on any chip under any policy either does not fit, and says why, or computes exactly the right values."""

import numpy as np
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from support.emulations import all_rows, emulate_on_ranks
from support.networks import a_chip, cases, networks, policies

from emulator.chip.spec import Chip
from emulator.emulation import Workload
from emulator.mapping.mapping import InfeasibleError
from emulator.mapping.place import map_network
from emulator.mapping.policy import ManualPolicy
from emulator.network.graph import Network
from emulator.network.reference import run_reference
from emulator.program.build import build_program
from emulator.timing.reference_engine import ReferenceEngine
from emulator.values.work import estimate_work

N_IMAGES = 3


def workload_of(network: Network, chip: Chip, policy: ManualPolicy, seed: int) -> Workload:
    mapping = map_network(network, chip, policy)
    image = network.feature_maps[network.input]
    info = np.iinfo(image.quantization.dtype)
    rng = np.random.default_rng(seed)
    images = rng.integers(info.min, info.max + 1, (N_IMAGES, *image.shape)).astype(image.quantization.dtype)
    return Workload(mapping, build_program(mapping), images)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(case=cases(), n_ranks=st.integers(1, 4), seed=st.integers(0, 999))
def test_values_and_times_are_right_on_any_number_of_ranks(
    case: tuple[Network, Chip, ManualPolicy], n_ranks: int, seed: int
) -> None:
    network, chip, _ = case
    try:
        workload = workload_of(*case, seed)
    except InfeasibleError as error:
        gaps = [shortage.gap for shortage in error.shortages]
        event("does not fit")
    else:
        gaps = []
    if gaps:
        assert min(gaps) > 0
        return
    n_ranks = min(n_ranks, np.count_nonzero(estimate_work(workload.program)))
    results = emulate_on_ranks(workload, n_ranks)
    outputs = {image: values for _, sink in results for image, values in sink.outputs.items()}
    for image in range(N_IMAGES):
        expected = run_reference(network, workload.images[image])[network.output]
        assert outputs[image].tolist() == expected.ravel().tolist()
    engine = ReferenceEngine(workload.program, chip, N_IMAGES)
    engine.run()
    assert all_rows(results, "firings") == sorted(engine.firings)
    assert all_rows(results, "transfers") == sorted(engine.transfers)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data())
def test_checksums_do_not_depend_on_ranks(data: st.DataObject) -> None:
    network, chip = data.draw(networks()), a_chip(rows=16, columns=16, fan_outs=(8, 32))
    workload = workload_of(network, chip, data.draw(policies(network, chip)), seed=1)
    counts = range(1, min(5, np.count_nonzero(estimate_work(workload.program)) + 1))
    checksums = [all_rows(emulate_on_ranks(workload, n), "checksums") for n in counts]
    assert checksums[0]
    assert all(each == checksums[0] for each in checksums)
