"""The relaxed bound: against all mappings of small networks counted out, and against mappings that were timed."""

from itertools import count, product

from hypothesis import HealthCheck, given, settings
from support.networks import NetworkMaker, a_chip, a_policy, cases

from emulator.chip.spec import Chip
from emulator.errors import MappingError
from emulator.mapping.place import map_network
from emulator.mapping.policy import ManualPolicy
from emulator.network.graph import FeatureMap, Network, Quantization, Window
from emulator.optimize.bound import relaxed_bound
from emulator.optimize.evaluate import evaluate
from emulator.optimize.options import LayerModel


def three_convolutions() -> Network:
    seeds = count(3)
    image = FeatureMap("image", 9, 8, 3, Quantization(0.02, 3, "uint8"))
    maker = NetworkMaker(image, lambda: Quantization(0.05, 7, "uint8"), lambda: next(seeds))
    for channels, stride in ((4, 1), (6, 2), (12, 1)):
        maker.conv(maker.latest, channels, Window(3, 3, stride, stride, 1, 1, 1, 1))
    return maker.network()


def best_by_counting(network: Network, chip: Chip, n_clusters: int, max_pixels: int) -> int:
    """Try every number of copies and of pixels per MVM; return the least time per image of the slowest layer."""
    menus = []
    for layer in network.layers:
        model, choices = LayerModel(layer, network, chip), []
        for pixels in range(1, model.most_pixels(max_pixels) + 1):
            n_groups = -(-model.output.width // pixels)
            n_rows, n_columns = model.blocks(pixels)
            for copies in range(1, n_groups + 1):
                longest = max(len(range(copy, n_groups, copies)) for copy in range(copies))
                time_ps = longest * model.output.height * model.job_ps(pixels)
                choices.append((copies * n_rows * n_columns, time_ps))
        menus.append(choices)
    fitting = [combination for combination in product(*menus) if sum(n for n, _ in combination) <= n_clusters]
    return min(max(time_ps for _, time_ps in combination) for combination in fitting)


def test_the_bound_is_the_best_of_all_mappings_counted_out() -> None:
    network, chip = three_convolutions(), a_chip(rows=20, columns=12, fan_outs=(8, 8))
    least = map_network(network, chip, a_policy()).n_clusters_used
    for n_clusters in (least, least + 1, least + 5, least + 20, 60):
        for max_pixels in (1, 2, 3):
            bound = relaxed_bound(network, chip, n_clusters, max_pixels)
            assert bound is not None
            assert bound.time_ps == best_by_counting(network, chip, n_clusters, max_pixels)
            assert bound.least_clusters <= least


def test_there_is_no_bound_where_one_copy_does_not_fit() -> None:
    network, chip = three_convolutions(), a_chip(rows=20, columns=12, fan_outs=(8, 8))
    bound = relaxed_bound(network, chip, 64, 1)
    assert bound is not None
    assert relaxed_bound(network, chip, bound.least_clusters, 1) is not None
    assert relaxed_bound(network, chip, bound.least_clusters - 1, 1) is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(case=cases())
def test_no_mapping_exceeds_the_bound(case: tuple[Network, Chip, ManualPolicy]) -> None:
    network, chip, policy = case
    try:
        figures = evaluate(network, chip, policy, n_images=4)
    except MappingError:
        return
    mapping = map_network(network, chip, policy)
    max_pixels = max(mapped.pixels_per_mvm for mapped in mapping.layers)
    bound = relaxed_bound(network, chip, figures.n_clusters, max_pixels)
    assert bound is not None
    assert figures.images_per_second <= bound.images_per_second
