"""The golden trace: a finished run of configs/runs/tiny.yaml, as it was written when it was put here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from traces.plots.data import FigureData, figure_data
from traces.reader import Trace

GOLDEN = Path(__file__).parent / "golden/tiny.h5"


@pytest.fixture(scope="session")
def golden() -> Iterator[FigureData]:
    with Trace(GOLDEN) as trace:
        yield figure_data(trace)
