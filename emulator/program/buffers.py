"""Give the inputs of residual additions room for the lag between their two branches.

Every other channel gets a double buffer. An addition, though, waits for its slower branch while the faster one keeps
delivering; too little room there stalls the source of both, or locks the graph up. The room needed is what the faster
branch can deliver while the slower one fills its own buffers: play the token game with unbounded room there, let the
additions fire only when nothing else can, and see how much is ever held. Where a store keeps the faster branch,
the room is the store's.
"""

from dataclasses import replace

from emulator.program.dataflow import Program
from emulator.program.token_game import TokenGame
from traces.schema import ActorKind

#: The lag of the second image differs from that of the first, which starts from empty; later ones repeat the second.
N_IMAGES = 2


def size_join_buffers(program: Program) -> Program:
    """Return ``program`` with room on the faster input of every addition for the lag of the slower one."""
    faster = _faster_inputs(program)
    if not faster:
        return program
    game = TokenGame(program, N_IMAGES, unbounded=faster)
    game.play()
    channels = tuple(
        replace(channel, capacity=max(channel.capacity, game.most_held[channel.channel_id]))
        if channel.channel_id in faster
        else channel
        for channel in program.channels
    )
    return replace(program, channels=channels)


def _faster_inputs(program: Program) -> frozenset[int]:
    """Find, for every addition, the channels of the operands that do not lag most."""
    lags = _lags(program)
    faster: set[int] = set()
    all_into = program.channels_into()
    for actor, into in zip(program.actors, all_into, strict=True):
        if actor.kind is not ActorKind.ADD:
            continue
        lag_of = {
            operand: max(lags[channel.producer] for channel in into if channel.operand == operand)
            for operand in sorted({channel.operand for channel in into})
        }
        slowest = max(lag_of, key=lambda operand: (lag_of[operand], operand))
        for channel in into:
            if channel.operand != slowest:
                is_stored = program.actors[channel.producer].kind is ActorKind.STORE
                held = all_into[channel.producer] if is_stored else (channel,)
                faster.update(each.channel_id for each in held)
    return frozenset(faster)


def _lags(program: Program) -> list[tuple[int, int]]:
    """Tell, per actor, how far it trails the input: (input tiles needed halfway through an image, depth)."""
    into = program.channels_into()
    tiles_needed: list[list[int]] = []  # input tiles needed, by actor and firing
    depths: list[int] = []
    for actor in program.actors:
        channels = into[actor.actor_id]
        depths.append(1 + max((depths[channel.producer] for channel in channels), default=0))
        if not channels:
            tiles_needed.append([phase + 1 for phase in range(actor.n_firings)])
            continue
        tiles_needed.append(
            [
                max(tiles_needed[c.producer][c.tokens[c.need[phase] - 1]] if c.need[phase] else 0 for c in channels)
                for phase in range(actor.n_firings)
            ]
        )
    return [(needed[len(needed) // 2], depth) for needed, depth in zip(tiles_needed, depths, strict=True)]
