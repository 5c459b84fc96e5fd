"""Reduction trees as one rank sees them: which crossbars' sums it may add before anything has to leave it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from emulator.program.dataflow import Actor, Channel, Program
from traces.schema import ActorKind


@dataclass(slots=True)
class Tree:
    """The part of a reduction tree that lies on one rank, below the last actor there.

    Attributes:
        top: the root of the tree, or the last actor before the sum leaves the rank.
        crossbars: the MVM actors below it (or itself).
        arriving: channels that bring sums from other ranks to it or to additions below it.
    """

    top: Actor
    crossbars: list[Actor] = field(default_factory=list)
    arriving: list[Channel] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Tell whether the whole tree lies on the rank."""
        return self.top.is_root and not self.arriving


def find_trees(program: Program, actors: Sequence[Actor], owners: Mapping[int, int]) -> list[Tree]:
    """Find the trees of a rank's actors, in the order of their tops."""
    into, out_of = program.channels_into(), program.channels_out_of()
    tops: dict[int, Actor] = {}
    trees: dict[int, Tree] = {}
    for actor in reversed(actors):  # consumers before producers
        if actor.kind not in {ActorKind.MVM, ActorKind.REDUCE}:
            continue
        top = actor
        if not actor.is_root:
            (channel,) = out_of[actor.actor_id]  # a partial sum goes to one addition
            top = tops.get(channel.consumer, actor)
        tops[actor.actor_id] = top
        tree = trees.setdefault(top.actor_id, Tree(top))
        if actor.kind is ActorKind.MVM:
            tree.crossbars.append(actor)
        else:
            here = owners[actor.actor_id]
            tree.arriving += [channel for channel in into[actor.actor_id] if owners[channel.producer] != here]
    for tree in trees.values():
        tree.crossbars.reverse()
        tree.arriving.sort(key=lambda channel: channel.channel_id)
    return [trees[actor_id] for actor_id in sorted(trees)]
