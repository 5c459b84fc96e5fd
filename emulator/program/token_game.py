"""Play a program's token game without time: who can fire, and where does it stop?

A cyclo-static dataflow graph has no choices, so the order of firings does not matter for whether the game ends: if one
image can be played to its end, all channels are empty again and any number of images can. That makes one play a proof
of freedom from deadlock.
"""

import heapq

from emulator.program.dataflow import Channel, Program
from traces.schema import ActorKind


def firings_with_token(program: Program, channel: Channel) -> list[bool]:
    """Tell for every firing of the channel's producer whether it makes a token for the channel."""
    makes = [False] * program.actors[channel.producer].n_firings
    for firing in channel.tokens:
        makes[firing] = True
    return makes


class TokenGame:
    """The state of one play; ``unbounded`` channels have room for any number of tokens."""

    def __init__(self, program: Program, n_images: int, unbounded: frozenset[int] = frozenset()) -> None:
        self.program = program
        self.into = program.channels_into()
        self.out_of = program.channels_out_of()
        self.fired = [0] * len(program.actors)
        self.pushed = [0] * len(program.channels)
        self.freed = [0] * len(program.channels)
        self.most_held = [0] * len(program.channels)
        self._targets = [n_images * actor.n_firings for actor in program.actors]
        self._unbounded = unbounded
        self._makes = [firings_with_token(program, channel) for channel in program.channels]

    @property
    def finished(self) -> bool:
        """Whether every actor has fired as often as the images ask for."""
        return self.fired == self._targets

    def missing_input(self, actor_id: int) -> Channel | None:
        """Return the first channel on which the actor's next firing lacks tokens."""
        image, phase = divmod(self.fired[actor_id], self.program.actors[actor_id].n_firings)
        for channel in self.into[actor_id]:
            i = channel.channel_id
            arrived = self.pushed[i]
            if i not in self._unbounded:
                arrived = min(arrived, self.freed[i] + channel.capacity)
            if arrived < image * channel.n_tokens + channel.need[phase]:
                return channel
        return None

    def missing_room(self, actor_id: int) -> Channel | None:
        """Return the first channel on which the actor's next firing would find no room for its token."""
        phase = self.fired[actor_id] % self.program.actors[actor_id].n_firings
        for channel in self.out_of[actor_id]:
            i = channel.channel_id
            if not self._makes[i][phase]:
                continue
            room = channel.capacity + channel.slots
            if i not in self._unbounded and self.pushed[i] - self.freed[i] >= room:
                return channel
        return None

    def can_fire(self, actor_id: int) -> bool:
        """Whether the actor has firings left, its tokens and its room."""
        if self.fired[actor_id] == self._targets[actor_id]:
            return False
        return self.missing_input(actor_id) is None and self.missing_room(actor_id) is None

    def fire(self, actor_id: int) -> None:
        """Fire once: give back input tokens, push one token on every outgoing channel."""
        image, phase = divmod(self.fired[actor_id], self.program.actors[actor_id].n_firings)
        self.fired[actor_id] += 1
        for channel in self.into[actor_id]:
            self.freed[channel.channel_id] = image * channel.n_tokens + channel.freed[phase]
        for channel in self.out_of[actor_id]:
            i = channel.channel_id
            if not self._makes[i][phase]:
                continue
            self.pushed[i] += 1
            self.most_held[i] = max(self.most_held[i], self.pushed[i] - self.freed[i])

    def play(self) -> bool:
        """Fire until nothing can; joins (additions) wait until nothing else can. Returns whether all is done."""
        is_join = [actor.kind is ActorKind.ADD for actor in self.program.actors]
        waiting = [(is_join[i], i) for i in range(len(is_join))]  # sorted, so already a heap
        queued = [True] * len(is_join)
        while waiting:
            _, actor_id = heapq.heappop(waiting)
            queued[actor_id] = False
            if not self.can_fire(actor_id):
                continue
            self.fire(actor_id)
            neighbors = [channel.consumer for channel in self.out_of[actor_id]]
            neighbors += [channel.producer for channel in self.into[actor_id]]
            for neighbor in (actor_id, *neighbors):
                if not queued[neighbor]:
                    queued[neighbor] = True
                    heapq.heappush(waiting, (is_join[neighbor], neighbor))
        return self.finished
