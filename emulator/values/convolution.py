"""One convolution on one rank: its crossbars, added up tree by tree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emulator.analog.crossbar import AnalogCrossbar
from emulator.memory import aligned_zeros
from emulator.network.geometry import Span
from emulator.program.dataflow import Actor, ProgramLayer
from emulator.values.gather import GatherPlan, plan_gather
from emulator.values.gemm import GemmKind, Scratch
from emulator.values.maps import Maps
from emulator.values.operands import made_columns
from emulator.values.summation import (
    PIECE_BYTES,
    ConvertedCrossbar,
    Crossbar,
    Epilogue,
    IdealCrossbar,
    Positions,
    Summation,
    Sums,
    run_into,
    run_whole,
)  # fmt: skip
from emulator.values.trees import Tree
from emulator.values.weights import ActorWeights


class Workspace:
    """Memory that all layers of a rank use in turn."""

    def __init__(self) -> None:
        self.scratch = Scratch(PIECE_BYTES)
        self.room: Sums = aligned_zeros(PIECE_BYTES // 4, np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What the crossbars and cores of a rank hold, by actor.

    Attributes:
        weights: of MVM actors and of the roots of reductions.
        analog: the programmed crossbars, for MVM actors that are not ideal.
    """

    weights: Mapping[int, ActorWeights]
    analog: Mapping[int, AnalogCrossbar]


class Convolution:
    """The trees of one layer on one rank.

    Whole trees are requantised at once. Copies of a layer that hold the same ideal weights are computed together: each
    crossbar's sums are its own all the same, at the positions that it makes.
    """

    def __init__(
        self, layer: ProgramLayer, trees: Sequence[Tree], held: Held, *, maps: Maps, kind: GemmKind,
        workspace: Workspace,
    ) -> None:  # fmt: skip
        self._layer, self._held, self._maps, self._kind, self._workspace = layer, held, maps, kind, workspace
        self._plans: dict[Span, GatherPlan] = {}
        self._ideal: dict[tuple[Span, Span], IdealCrossbar] = {}
        self._converted: dict[int, ConvertedCrossbar] = {}
        self._whole = [
            (self._sum_up(copies), self._epilogue(copies[0].top)) for copies in _computed_together(trees, held.analog)
        ]
        self._open: dict[int, tuple[Summation, Sums]] = {}
        self._open_epilogues: dict[int, Epilogue] = {}
        for tree in trees:
            if not tree.is_whole:
                summation = self._sum_up([tree])
                total = aligned_zeros((len(summation.positions), len(summation.columns)), np.int32)
                self._open[tree.top.actor_id] = summation, total
                if tree.top.is_root:
                    self._open_epilogues[tree.top.actor_id] = self._epilogue(tree.top)

    def compute(self, image: int) -> None:
        """Compute the layer's crossbars on this rank for an image whose inputs lie in the feature maps."""
        for summation, epilogue in self._whole:
            run_whole(summation, epilogue, self._workspace.room, image)
        for summation, total in self._open.values():
            run_into(summation, total, image)

    def sums(self, top: Actor) -> Sums:
        """Return the sums under ``top``, (positions, columns), to add to or to send; None of a whole tree."""
        return self._open[top.actor_id][1]

    def finish(self, top: Actor) -> None:
        """Requantise the sums under ``top``, a root whose tree reaches over several ranks."""
        summation, total = self._open[top.actor_id]
        self._open_epilogues[top.actor_id].finish(total, summation.positions, 0)

    def n_clipped(self) -> dict[int, int]:
        """Return the conversions clipped so far, by MVM actor that is not ideal."""
        return {actor_id: crossbar.n_clipped for actor_id, crossbar in self._converted.items()}

    def _sum_up(self, copies: Sequence[Tree]) -> Summation:
        """Set up the sum over one tree, or over several that differ only in the positions they make."""
        layer, first = self._layer, copies[0]
        made = np.concatenate([made_columns(tree.top) for tree in copies])
        positions = Positions(
            groups=np.unique(made // layer.pixels_per_mvm).astype(np.int64),
            height=layer.output.height,
            n_groups=-(-layer.output.width // layer.pixels_per_mvm),
        )
        columns = first.top.columns
        if first.top.is_root and layer.pixels_per_mvm > 1:
            columns = Span(0, layer.pixels_per_mvm * layer.output.channels)
        crossbars = [self._crossbar(actor) for actor in first.crossbars]
        return Summation(columns, positions, tuple(crossbars))

    def _crossbar(self, actor: Actor) -> Crossbar:
        if actor.rows not in self._plans:
            self._plans[actor.rows] = plan_gather(self._maps[self._layer.inputs[0]], self._layer, actor.rows)
        plan, scratch = self._plans[actor.rows], self._workspace.scratch
        if actor.actor_id in self._held.analog:
            analog = ConvertedCrossbar(self._held.analog[actor.actor_id], plan, self._kind, scratch)
            self._converted[actor.actor_id] = analog
            return analog
        key = actor.rows, actor.columns
        if key not in self._ideal:
            weights = self._held.weights[actor.actor_id].crossbar
            self._ideal[key] = IdealCrossbar(weights, plan, self._kind, scratch)
        return self._ideal[key]

    def _epilogue(self, root: Actor) -> Epilogue:
        return Epilogue(self._layer, self._held.weights[root.actor_id], self._maps[self._layer.output], root.columns)


def _computed_together(trees: Sequence[Tree], analog: Mapping[int, AnalogCrossbar]) -> list[list[Tree]]:
    """Group the whole trees that can be computed together: ideal copies of the same columns."""
    groups: dict[tuple[int, Span], list[Tree]] = {}
    for tree in trees:
        if tree.is_whole:
            is_ideal = not any(actor.actor_id in analog for actor in tree.crossbars)
            key = -1 if is_ideal else tree.top.actor_id
            groups.setdefault((key, tree.top.columns), []).append(tree)
    return list(groups.values())
