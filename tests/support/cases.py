"""Programs, chips and owners drawn from a seed so that times coincide and news come late: where ranks go wrong."""

import random
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from support.networks import a_chip
from support.programs import actor, program_of

from emulator.chip.spec import Chip
from emulator.network.geometry import Span
from emulator.program.columns import columns_of
from emulator.program.dataflow import Channel, Program
from emulator.program.ownership import place_owners
from emulator.program.token_game import TokenGame
from traces.schema import Resource

N_CLUSTERS = 16
_FAN_OUTS = [(16,), (4, 4), (2, 2, 2, 2), (2, 8), (8, 2), (1, 4, 1, 4)]
_SHORT_CYCLES = [0, 0, 1, 2, 4, 8, 30, 34, 100]
_TOKEN_BYTES = [1, 64, 64, 128, 2048, 2049, 4096, 6000]


class Case(NamedTuple):
    """What to time, on how many ranks."""

    program: Program
    chip: Chip
    owners: NDArray[np.int64]
    n_ranks: int
    n_images: int


def a_case(seed: int) -> Case | None:
    """Draw a case; None where the program locks up."""
    rng = random.Random(seed)  # noqa: S311 (no secret)
    program = _program(rng)
    if not TokenGame(program, 1).play():
        return None
    chip, n_images, n_ranks = _chip(rng), rng.randint(1, 3), rng.randint(2, 5)
    if rng.random() < 0.35:
        bounds = [0, *sorted(rng.randint(0, N_CLUSTERS) for _ in range(n_ranks - 1)), N_CLUSTERS]
        return Case(program, chip, place_owners(columns_of(program), chip, np.array(bounds)), n_ranks, n_images)
    return Case(program, chip, _any_owners(program, chip, n_ranks, rng), n_ranks, n_images)


def _any_owners(program: Program, chip: Chip, n_ranks: int, rng: random.Random) -> NDArray[np.int64]:
    """Draw an owner of every place, at times clusters in blocks; the first port of a route has to be the sender's."""
    owners = place_owners(columns_of(program), chip, np.array([0, *[N_CLUSTERS] * n_ranks]))
    owners[:] = [rng.randrange(n_ranks) for _ in owners]
    if rng.random() < 0.4:
        owners[:N_CLUSTERS] = np.arange(N_CLUSTERS) * n_ranks // N_CLUSTERS
    first_edge = len(owners) - 4 * (N_CLUSTERS + 1)  # the edges of single clusters, then that of the HBM
    for site in range(N_CLUSTERS + 1):
        owners[first_edge + 4 * site : first_edge + 4 * site + 3 : 2] = owners[site]
    return owners


def _program(rng: random.Random) -> Program:
    sites = [rng.randint(0, N_CLUSTERS) for _ in range(rng.choice([2, 4, 20]))]
    actors = []
    for _ in range(rng.randint(2, rng.choice([4, 8, 14]))):
        site, n_firings = rng.choice(sites), rng.randint(1, rng.choice([2, 5, 9]))
        resource = Resource.NONE if site == N_CLUSTERS else rng.choice([Resource.IMA, Resource.CORES])
        durations = tuple(1000 * rng.choice(_SHORT_CYCLES) for _ in range(n_firings))
        actors.append(replace(actor(site, 0, n_firings=n_firings, resource=resource), durations_ps=durations))
    channels = []
    for consumer in range(1, len(actors)):
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            producer = consumer - 1 if rng.random() < 0.5 else rng.randrange(consumer)
            n_firings = actors[producer].n_firings, actors[consumer].n_firings
            channels.append(_channel(rng, producer, consumer, *n_firings))
    return program_of(N_CLUSTERS, actors, channels)


def _channel(rng: random.Random, producer: int, consumer: int, n_made: int, n_used: int) -> Channel:
    """Draw a channel for which not every firing makes a token, with hardly more than the least room."""
    tokens = tuple(sorted(rng.sample(range(n_made), rng.randint(1, n_made))))
    n_tokens = len(tokens)
    need = sorted(rng.randint(0, n_tokens) for _ in range(n_used))
    freed = [min(each) for each in zip(sorted(rng.randint(0, n) for n in need), need, strict=True)]
    need[-1] = freed[-1] = n_tokens
    window = max(n - f for n, f in zip(need, [0, *freed[:-1]], strict=True))
    sizes = tuple(rng.choice(_TOKEN_BYTES) for _ in tokens)
    capacity, slots = max(1, window) + rng.choice([0, 0, 0, 1, 3]), rng.choice([1, 1, 2, 3])
    return Channel(-1, producer, consumer, 0, Span(0, 1), tokens, sizes, tuple(need), tuple(freed), capacity, slots)


def _chip(rng: random.Random) -> Chip:
    """Draw a chip of short latencies and few outstanding bursts."""
    chip = a_chip(rows=8, columns=8, fan_outs=rng.choice(_FAN_OUTS))
    return with_latencies(
        chip,
        program=rng.choice([0, 1, 4, 30]),
        outstanding=(rng.choice([1, 2, 8]), rng.choice([1, 2, 3, 8])),
        levels=[rng.choice([1, 1, 4, 20]) for _ in chip.topology.levels],
        hbm=rng.choice([1, 4, 100]),
    )


def with_latencies(chip: Chip, *, program: int, outstanding: tuple[int, int], levels: list[int], hbm: int) -> Chip:
    """Return a chip with other limits on outstanding reads and writes, and other latencies in cycles."""
    limits = dict(zip(("max_outstanding_reads", "max_outstanding_writes"), outstanding, strict=True))
    dma = chip.cluster.dma.model_copy(update={"program_cycles": program, **limits})
    tree = tuple(
        level.model_copy(update={"latency_cycles": cycles})
        for level, cycles in zip(chip.topology.levels, levels, strict=True)
    )
    return chip.model_copy(
        update={
            "cluster": chip.cluster.model_copy(update={"dma": dma}),
            "topology": chip.topology.model_copy(update={"levels": tree}),
            "hbm": chip.hbm.model_copy(update={"latency_cycles": hbm}),
        }
    )
