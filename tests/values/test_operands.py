"""Actors share feature maps on a rank; what their channels do not bring is noticed before anything runs."""

from dataclasses import replace

import pytest
from support.networks import a_chip, a_small_workload
from support.values import run_values

from emulator.errors import ProgramError
from emulator.program.dataflow import Channel
from emulator.values.operands import carries_sums


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
