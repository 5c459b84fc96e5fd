"""Prove, before anything runs, that a program's ends match, its buffers fit and it cannot deadlock."""

from itertools import pairwise
from math import prod

from emulator.errors import ProgramError
from emulator.mapping.mapping import InfeasibleError, Mapping
from emulator.mapping.report import Shortage
from emulator.program.dataflow import OUTPUT_SLOTS, Channel, Program
from emulator.program.durations import ACTIVATION_BYTES
from emulator.program.token_game import TokenGame
from traces.schema import ActorKind


def check_program(program: Program) -> None:
    """Check matching ends and freedom from deadlock.

    Raises:
        ProgramError: names the channel or the actors at fault.
    """
    for channel in program.channels:
        _check_ends(program, channel)
    game = TokenGame(program, n_images=1)
    if not game.play():
        raise ProgramError(_describe_deadlock(game))


def _check_ends(program: Program, channel: Channel) -> None:
    producer, consumer = program.actors[channel.producer], program.actors[channel.consumer]
    where = f"channel {channel.channel_id} ({producer.name} to {consumer.name})"
    if channel.producer >= channel.consumer:
        raise ProgramError(f"{where}: the producer must come before the consumer in the order of the actors")
    if len(channel.token_bytes) != channel.n_tokens:
        raise ProgramError(f"{where}: {channel.n_tokens} tokens per image, but {len(channel.token_bytes)} sizes")
    if min(channel.token_bytes, default=1) < 1:
        raise ProgramError(f"{where}: every token must have a byte at least, sizes are {channel.token_bytes}")
    made = (-1, *channel.tokens, producer.n_firings)
    if not channel.tokens or any(later <= earlier for earlier, later in pairwise(made)):
        raise ProgramError(
            f"{where}: tokens must be firings 0 to {producer.n_firings - 1} in order, is {channel.tokens}"
        )
    for table, values in (("need", channel.need), ("freed", channel.freed)):
        if len(values) != consumer.n_firings:
            raise ProgramError(f"{where}: {len(values)} entries in {table}, {consumer.n_firings} firings per image")
        if values[-1] != channel.n_tokens or any(later < earlier for earlier, later in pairwise(values)):
            raise ProgramError(f"{where}: {table} must rise to {channel.n_tokens} over an image, is {values}")
    if any(freed > need for need, freed in zip(channel.need, channel.freed, strict=True)):
        raise ProgramError(f"{where}: a firing gives back tokens for which it did not wait")
    window = max(need - before for need, before in zip(channel.need, (0, *channel.freed), strict=False))
    if channel.capacity < window:
        raise ProgramError(f"{where}: room for {channel.capacity} tokens, one firing needs {window} at once")


def _describe_deadlock(game: TokenGame) -> str:
    lines = []
    for actor in game.program.actors:
        if game.fired[actor.actor_id] == actor.n_firings:
            continue
        empty, full = game.missing_input(actor.actor_id), game.missing_room(actor.actor_id)
        if empty is not None:
            lines.append(f"{actor.name} waits for tokens from {game.program.actors[empty.producer].name}")
        elif full is not None:
            lines.append(f"{actor.name} waits for room at {game.program.actors[full.consumer].name}")
    return "the program deadlocks within one image:\n  " + "\n  ".join(lines[:20])


def l1_terms(program: Program) -> dict[int, list[tuple[str, int]]]:
    """List, per cluster, what its L1 holds at most: input buffers and the output slots of its actors, in bytes."""
    terms: dict[int, list[tuple[str, int]]] = {}
    for channel in program.channels:
        consumer = program.actors[channel.consumer]
        size = channel.capacity * max(channel.token_bytes)
        what = f"{consumer.name} input from {program.actors[channel.producer].name}"
        terms.setdefault(consumer.site, []).append((what, size))
    for actor in program.actors:
        size = OUTPUT_SLOTS * actor.output_token_bytes
        terms.setdefault(actor.site, []).append((f"{actor.name} output", size))
    terms.pop(program.hbm_site, None)
    return terms


def check_l1(program: Program, mapping: Mapping) -> None:
    """Check that the buffers of every cluster fit its L1.

    Raises:
        InfeasibleError: with one shortage per overfull cluster, at most four.
    """
    bound = mapping.chip.cluster.l1_bytes
    overfull = []
    widest = max(mapping.policy.tile_width, *(mapped.tile_width for mapped in mapping.layers))
    for cluster, terms in sorted(l1_terms(program).items()):
        demand = sum(size for _, size in terms)
        if demand > bound:
            largest = tuple(sorted(terms, key=lambda term: (-term[1], term[0])))
            levers = [f"an L1 of at least {demand} bytes (cluster.l1)", "smaller images"]
            if widest > 1:
                levers.insert(1, f"narrower tiles (tile_width in the policy, now up to {widest})")
            overfull.append(Shortage(f"L1 of cluster {cluster}", "bytes", demand, bound, largest, tuple(levers)))
    if overfull:
        raise InfeasibleError(mapping.network.name, mapping.chip.name, tuple(overfull[:4]))


def hbm_terms(program: Program) -> list[tuple[str, int]]:
    """List what the HBM holds at most while one image passes: the image, its result and buffers of residuals, in bytes.

    The rest of a batch is taken to come and go in time. Weights stay in the crossbars.
    """
    terms = [
        (f"{what} {feature_map.name}", prod(feature_map.shape) * ACTIVATION_BYTES)
        for what, feature_map in (("image", program.input), ("result", program.output))
    ]
    into, out_of = program.channels_into(), program.channels_out_of()
    for actor in program.actors:
        if actor.site == program.hbm_site and actor.kind is ActorKind.STORE:
            slots = max(channel.slots for channel in out_of[actor.actor_id])
            size = sum(channel.capacity * max(channel.token_bytes) for channel in into[actor.actor_id])
            terms.append((actor.name, size + slots * actor.output_token_bytes))
    return terms


def check_hbm(program: Program, mapping: Mapping) -> None:
    """Check that an image, its result and the residuals kept in the HBM fit it.

    Raises:
        InfeasibleError: with the shortage.
    """
    terms, bound = hbm_terms(program), mapping.chip.hbm.capacity_bytes
    demand = sum(size for _, size in terms)
    if demand <= bound:
        return
    levers = [f"an HBM of at least {demand} bytes (hbm.capacity)", "smaller images"]
    if len(terms) > 2:  # beyond image and result
        levers.insert(1, "residuals elsewhere (residual: consumer_l1 or spare in the policy)")
    largest = tuple(sorted(terms, key=lambda term: (-term[1], term[0])))
    shortage = Shortage("HBM", "bytes", demand, bound, largest, tuple(levers))
    raise InfeasibleError(mapping.network.name, mapping.chip.name, (shortage,))
