"""Published figures beside a run's, and whether they are about what it ran."""

from dataclasses import dataclass

from traces.energy import Published


@dataclass(frozen=True, slots=True)
class Comparison:
    """One published figure beside the run's."""

    figure: str
    published: float
    measured: float
    note: str

    @property
    def deviation(self) -> float:
        """How far the run lies from it, as a share of it."""
        return self.measured / self.published - 1


def is_about(published: Published, name: str, macs_per_image: int, n_outputs: int | None, n_images: int) -> bool:
    """Whether figures are of a run's network, image size, classes and batch, as far as they say what they are of.

    Args:
        published: the chip file's section.
        name: the run's name, "network on chip".
        macs_per_image: multiply-accumulates of the run's network.
        n_outputs: values of its output, None if not known: then they are not checked.
        n_images: images of the run.
    """
    stated = [(published.macs_per_image, macs_per_image), (published.n_images, n_images)]
    if n_outputs is not None:
        stated.append((published.n_outputs, n_outputs))
    return name.startswith(f"{published.network} on ") and all(wanted in (None, found) for wanted, found in stated)
