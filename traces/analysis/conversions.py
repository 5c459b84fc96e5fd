"""How often the ADCs of analog crossbars met a sum beyond their range."""

from dataclasses import dataclass

import numpy as np

from traces.reader import Trace

#: The version of the schema that brought the table.
_SINCE = 2


@dataclass(frozen=True, slots=True)
class LayerConversions:
    """What the ADCs of one layer did."""

    layer: str
    n_conversions: int
    n_clipped: int

    @property
    def clipped_share(self) -> float:
        """Share of the conversions that were clipped."""
        return self.n_clipped / self.n_conversions if self.n_conversions else 0.0


def measure_conversions(trace: Trace) -> tuple[LayerConversions, ...]:
    """Add up conversions by layer; nothing for runs with ideal crossbars or without a value plane."""
    if int(trace.attribute("schema_version")) < _SINCE:
        return ()
    table, names = trace["conversions"], trace["layers"]["name"]
    layers = trace["actors"]["layer"][table["actor"]]
    counts = {name: np.bincount(layers, table[name], len(names)) for name in ("n_conversions", "n_clipped")}
    return tuple(
        LayerConversions(str(names[i]), int(counts["n_conversions"][i]), int(counts["n_clipped"][i]))
        for i in np.unique(layers)
    )
