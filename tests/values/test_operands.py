"""Actors share feature maps on a rank; what their channels do not bring is noticed before anything runs."""

from dataclasses import replace

import pytest
from support.networks import a_chip, a_small_workload
from support.values import run_values

from emulator.errors import ProgramError
from emulator.program.dataflow import Channel
from emulator.values.operands import carriers, carries_sums


def a_workload() -> object:
    return a_small_workload(a_chip(rows=16, columns=8, fan_outs=(8, 32)), 1)


def feeding_channels(workload: object) -> list[Channel]:
    program = workload.program  # type: ignore[attr-defined]
    return [channel for channel in program.channels if not carries_sums(program.actors[channel.producer])]


@pytest.mark.parametrize("part", ["columns", "channels"])
def test_a_channel_that_brings_too_little_is_refused(part: str) -> None:
    workload = a_workload()
    program = workload.program  # type: ignore[attr-defined]
    for channel in feeding_channels(workload)[1:]:
        middle = channel.n_tokens // 2
        if part == "columns" and middle:
            less = replace(channel, tokens=channel.tokens[:middle] + channel.tokens[middle + 1 :])
        elif part == "channels" and len(channel.carries) > 1:
            less = replace(channel, carries=replace(channel.carries, start=channel.carries.start + 1))
        else:
            continue
        channels = tuple(less if each is channel else each for each in program.channels)
        lacking = replace(workload, program=replace(program, channels=channels))  # type: ignore[type-var]
        name = program.actors[channel.consumer].name
        with pytest.raises(ProgramError, match="no channel brings column") as error:
            run_values(lacking, [0, program.n_clusters])  # type: ignore[arg-type]
        assert name in str(error.value)


@pytest.mark.parametrize("n_ranks", [2, 3, 5])
def test_what_several_actors_of_a_rank_read_travels_to_it_once(n_ranks: int) -> None:
    program = a_workload().program  # type: ignore[attr-defined]
    n_busy = max(actor.site for actor in program.actors if actor.site != program.hbm_site) + 1
    owners = {
        actor.actor_id: 0 if actor.site == program.hbm_site else actor.site * n_ranks // n_busy
        for actor in program.actors
    }
    brought_by = carriers(program, owners)
    channels = {channel.channel_id: channel for channel in program.channels}
    crossing = [channel for channel in program.channels if owners[channel.producer] != owners[channel.consumer]]
    assert brought_by.keys() == {channel.channel_id for channel in crossing}
    for channel in crossing:
        carrier = channels[brought_by[channel.channel_id]]
        assert (carrier.producer, carrier.carries, carrier.tokens) == (
            channel.producer, channel.carries, channel.tokens,
        )  # fmt: skip
        assert owners[carrier.consumer] == owners[channel.consumer]
    pieces = {(c.producer, owners[c.consumer], c.carries.start, c.carries.end, c.tokens) for c in crossing}
    assert len(set(brought_by.values())) == len(pieces) < len(crossing)
