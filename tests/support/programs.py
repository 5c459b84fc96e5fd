"""Small programs made by hand, for tests of the timing plane whose answers are known in closed form."""

from dataclasses import replace

from hypothesis import strategies as st

from emulator.network.geometry import Span
from emulator.network.graph import FeatureMap, Quantization
from emulator.program.dataflow import Actor, Channel, Program
from emulator.program.tiles import Share, Tiling
from traces.schema import ActorKind, Resource

PIXEL = FeatureMap("pixel", 1, 1, 1, Quantization(1.0, 0, "uint8"))


def actor(site: int, duration_ps: int, *, n_firings: int, resource: Resource = Resource.CORES) -> Actor:
    """Return an actor whose every firing takes ``duration_ps``; ``program_of`` numbers it."""
    return Actor(
        actor_id=-1,
        kind=ActorKind.RELU,
        name=f"actor at {site}",
        layer_id=-1,
        tiling=Tiling(n_firings, 1),
        share=Share(),
        site=site,
        resource=resource,
        columns=Span(0, 1),
        rows=Span(0, 0),
        row_block=0,
        column_block=0,
        stage=0,
        durations_ps=(duration_ps,) * n_firings,
        n_jobs=0,
        core_cycles=0,
        is_root=True,
        output_token_bytes=0,
    )


def edge(producer: int, consumer: int, *, n_tokens: int, n_bytes: int, capacity: int) -> Channel:
    """Return a channel that hands over one token per firing on both ends."""
    steps = tuple(range(1, n_tokens + 1))
    tokens = tuple(range(n_tokens))
    return Channel(-1, producer, consumer, 0, Span(0, 1), tokens, (n_bytes,) * n_tokens, steps, steps, capacity, 2)


def program_of(n_clusters: int, actors: list[Actor], channels: list[Channel]) -> Program:
    """Number actors and channels in the order given and wrap them up as a program."""
    return Program(
        name="by hand",
        input=PIXEL,
        output=PIXEL,
        layers=(),
        actors=tuple(replace(each, actor_id=i) for i, each in enumerate(actors)),
        channels=tuple(replace(each, channel_id=i) for i, each in enumerate(channels)),
        n_clusters=n_clusters,
    )


def chain(
    n_clusters: int, sites: list[int], durations_ps: list[int], *, n_tokens: int, n_bytes: int, capacity: int
) -> Program:
    """Return a pipeline of stages, one per site."""
    stages = [actor(site, d, n_firings=n_tokens) for site, d in zip(sites, durations_ps, strict=True)]
    edges = [edge(i, i + 1, n_tokens=n_tokens, n_bytes=n_bytes, capacity=capacity) for i in range(len(sites) - 1)]
    return program_of(n_clusters, stages, edges)


@st.composite
def channels(draw: st.DrawFn, producer: int, consumer: int, n_tokens: int, n_firings: int) -> Channel:
    """Draw a channel with random but legal consumption and at least the room that one firing needs."""
    need = sorted(draw(st.lists(st.integers(0, n_tokens), min_size=n_firings, max_size=n_firings)))
    need[-1] = n_tokens
    freed = sorted(draw(st.integers(0, n)) for n in need)
    freed = [min(f, n) for f, n in zip(freed, need, strict=True)]
    freed[-1] = n_tokens
    window = max(n - f for n, f in zip(need, [0, *freed[:-1]], strict=True))
    capacity = max(1, window) + draw(st.integers(0, 3))
    sizes = tuple(draw(st.integers(1, 6000)) for _ in range(n_tokens))
    tokens, slots = tuple(range(n_tokens)), draw(st.integers(1, 4))
    return Channel(-1, producer, consumer, 0, Span(0, 1), tokens, sizes, tuple(need), tuple(freed), capacity, slots)


@st.composite
def programs(draw: st.DrawFn, n_clusters: int = 16) -> Program:
    """Draw a small acyclic program with shared clusters, HBM traffic, fan-out and fan-in."""
    n_actors = draw(st.integers(2, 7))
    actors = []
    for _ in range(n_actors):
        site = draw(st.integers(0, n_clusters))
        resource = Resource.NONE if site == n_clusters else draw(st.sampled_from([Resource.IMA, Resource.CORES]))
        actors.append(
            actor(site, draw(st.integers(0, 300)) * 1000, n_firings=draw(st.integers(1, 4)), resource=resource)
        )
    edges = []
    for consumer in range(1, n_actors):
        producers = sorted(draw(st.sets(st.integers(0, consumer - 1), max_size=3)))
        edges += [draw(channels(p, consumer, actors[p].n_firings, actors[consumer].n_firings)) for p in producers]
    return program_of(n_clusters, actors, edges)
