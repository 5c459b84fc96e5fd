"""The digits network in IBM's AIHWKIT: accuracy after programming and drift, to hold beside ``aimc accuracy``.

Needs ``pip install aihwkit`` and the extra ``training``; run it from the repository as
``python tests/reference/compare_aihwkit.py [SEEDS]``. The network is trained as ``launch/train_digits.py`` trains it.
Tiles of 256 x 256 with perfect inputs and outputs, one scale per column: what is left are programming noise, drift, 1/f
noise and global drift compensation, as in a chip file whose ``analog`` section has ``devices`` alone. Prints JSON: mean
and half width of the 95 % interval over seeds, in percent.
"""

import copy
import json
import sys
from typing import Any

import numpy as np
import torch
from aihwkit.inference import GlobalDriftCompensation, PCMLikeNoiseModel
from aihwkit.inference.noise.hermes import HermesNoiseModel
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import TorchInferenceRPUConfig
from aihwkit.simulator.parameters import MappingParameter
from scipy import stats

from launch.accuracy_cases import AGES_S
from launch.train_digits import SEED, load_images, make_network, train

NOISE_MODELS = {
    "generic": lambda: PCMLikeNoiseModel(g_max=25.0),
    "hermes_two_devices": lambda: HermesNoiseModel(num_devices=2),
}


def accuracies(network: Any, images: Any, labels: Any, configuration: Any, seed: int) -> list[float]:
    """Accuracy right after programming and at every age."""
    torch.manual_seed(seed)
    analog = convert_to_analog(copy.deepcopy(network), configuration, ensure_analog_root=True).eval()
    found = []
    with torch.no_grad():
        for age_s in (None, *AGES_S.values()):
            if age_s is None:
                analog.program_analog_weights()
            else:
                analog.drift_analog_weights(age_s)
            found.append(float((analog(images).argmax(dim=1).numpy() == labels).mean()))
    return found


def main() -> None:
    n_seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    train_images, test_images, train_labels, test_labels = load_images()
    network = make_network()
    train(network, train_images, train_labels)
    images = torch.from_numpy(test_images.astype(np.float32) / 255).permute(0, 3, 1, 2)
    result: dict[str, dict[str, list[float]]] = {}
    for name, make_noise in NOISE_MODELS.items():
        for is_compensated in (True, False):
            configuration = TorchInferenceRPUConfig()
            configuration.forward.is_perfect = True
            configuration.noise_model = make_noise()
            configuration.drift_compensation = GlobalDriftCompensation() if is_compensated else None
            configuration.mapping = MappingParameter(
                weight_scaling_omega=1.0, weight_scaling_columnwise=True, max_input_size=256, max_output_size=256,
                digital_bias=True, learn_out_scaling=False,
            )  # fmt: skip
            seeds = [accuracies(network, images, test_labels, configuration, 100 + seed) for seed in range(n_seeds)]
            widths = stats.t.ppf(0.975, n_seeds - 1) * stats.sem(seeds, axis=0)
            group = f"{name}, {'compensated' if is_compensated else 'not compensated'}"
            points = zip(("programmed", *AGES_S), np.mean(seeds, axis=0), widths, strict=True)
            result[group] = {age: [round(100 * mean, 2), round(100 * width, 2)] for age, mean, width in points}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
