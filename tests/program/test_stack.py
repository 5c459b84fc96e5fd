"""A stack of fully connected layers built as columns is the program that is built as objects, row for row."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.networks import a_chip, a_policy
from support.records import MemorySink

from emulator.chip.load import load_chip
from emulator.errors import MappingError
from emulator.mapping.place import map_network
from emulator.network.decoder import LLAMA_7B, DecoderShape, decoder_stack
from emulator.program.build import build_program
from emulator.program.columns import Columns, columns_of
from emulator.program.cuts import partition_events
from emulator.program.lower import lower
from emulator.program.ownership import boundary_tokens, estimate_events, place_owners
from emulator.program.stack import stack_columns
from emulator.timing.engine import TimingEngine
from traces.schema import Resource

CONFIGS = Path(__file__).parents[2] / "configs"


def spelled_out(columns: Columns) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return actors and channels with their tables in place of where these start."""
    actors = [
        (*row.tolist()[:3], *columns.duration_ps[row["duration_start"] :][: row["n_firings"]].tolist())
        for row in columns.actors
    ]
    channels = []
    for row in columns.channels:
        use, made = slice(row["use_start"], row["use_start"] + 1), columns.made[row["made_start"]]
        tokens = columns.token_bytes[row["token_start"] :][: row["n_tokens"]].tolist()
        uses = (*columns.need[use].tolist(), *columns.freed[use].tolist(), int(made))
        channels.append((*row.tolist()[:5], *tokens, *uses))
    return actors, channels


@settings(max_examples=25, deadline=None)
@given(
    shape=st.builds(DecoderShape, st.integers(1, 2), st.integers(1, 60), st.integers(1, 90), st.integers(1, 70)),
    rows=st.integers(6, 24), columns=st.integers(6, 24), fan_in=st.integers(2, 5),
)  # fmt: skip
def test_both_ways_of_building_give_the_same_program(shape: DecoderShape, rows: int, columns: int, fan_in: int) -> None:
    chip = a_chip(rows=rows, columns=columns, fan_outs=(8, 8, 32))
    network = decoder_stack(shape)
    policy = a_policy()
    policy = policy.model_copy(update={"reduction": policy.reduction.model_copy(update={"fan_in": fan_in})})
    by_objects = columns_of(build_program(map_network(network, chip, policy)))
    assert spelled_out(stack_columns(network, chip, fan_in)) == spelled_out(by_objects)


def test_a_stack_that_does_not_fit_says_so() -> None:
    network = decoder_stack(DecoderShape(1, 64, 64, 64))
    with pytest.raises(MappingError, match="needs more than its 4 clusters"):
        stack_columns(network, a_chip(rows=16, columns=16, fan_outs=(2, 2)))


def test_aligned_layers_begin_with_quadrants_and_keep_what_they_do() -> None:
    chip, network = a_chip(rows=16, columns=16, fan_outs=(4, 4, 4, 4)), decoder_stack(DecoderShape(2, 40, 60, 30))
    packed, aligned = stack_columns(network, chip), stack_columns(network, chip, aligned=True)
    for name in ("n_firings", "resource"):
        assert (packed.actors[name] == aligned.actors[name]).all()
    assert (packed.channels == aligned.channels).all()
    on_crossbars = aligned.actors["resource"] == Resource.IMA
    places = np.unique(aligned.actors["site"][on_crossbars])
    after_gaps = places[1:][np.diff(places) > 1]
    assert len(after_gaps) > 5
    assert (after_gaps % 4 == 0).all()  # every matrix has more than four crossbars and fewer than sixteen
    assert (packed.actors["site"] <= aligned.actors["site"]).all()


def test_seven_billion_weights_are_a_hundred_thousand_crossbars() -> None:
    chip, network = load_chip(CONFIGS / "chips/quadrants131072.yaml"), decoder_stack(LLAMA_7B)
    assert network.total_macs == 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 4096 * 32000
    columns = stack_columns(network, chip)
    n_crossbars = 32 * (4 * 16 * 16 + 3 * 16 * 43) + 16 * 125
    assert np.count_nonzero(columns.actors["resource"] == 1) == n_crossbars == 100_816
    bounds = partition_events(columns, chip, 4)
    owners = place_owners(columns, chip, bounds)
    parts = [lower(columns, chip, owners, rank) for rank in range(4)]
    sizes = [len(part.actors) for part in parts]
    assert sum(sizes) == len(columns.actors)
    assert max(sizes) < 1.1 * len(columns.actors) / 4
    assert sum(len(part.channels) for part in parts) < 1.02 * len(columns.channels)
    assert 0 < boundary_tokens(columns, owners).sum() < 4000


def test_estimated_events_are_those_that_happen_but_for_the_hbms() -> None:
    chip = a_chip(rows=16, columns=16, fan_outs=(4, 8, 8))
    columns = stack_columns(decoder_stack(DecoderShape(2, 40, 60, 30)), chip)
    engine = TimingEngine(lower(columns, chip), 3, MemorySink())
    engine.run()
    estimated = 3 * estimate_events(columns, chip).sum()
    assert 0.93 * engine.n_events < estimated < engine.n_events
