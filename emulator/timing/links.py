"""The links of a rank to its peers as flat arrays, and the layout of the messages on them.

A message is ``HEADER`` words, a promise for every flow of the pair and rows of events, all int64. Messages of a pair do
not overtake each other.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.program.lower import Records, Tables, record_type
from emulator.timing.border import Border
from emulator.timing.state import EVENT_FIELDS, NEVER

# Words before the promises: messages answered, when the bursts of this one can come back and when they can be
# acknowledged, is it the last of all, are news of credits and acknowledgements wanted, does the sender now wait, and
# beyond which time it needs promises to go on.
ANSWERED, ECHO, ANSWER, IS_LAST, WANTS, WAITS, NEXT = range(7)
HEADER = 7

#: Messages whose bursts await their answers that are told apart; beyond, the latest are taken together.
_MOST_UNANSWERED = 64

#: Per link: does this rank or the peer want news of credits and acknowledgements, as it has last told; does the peer
#: wait for a message, and beyond which time it needs promises; have bursts come since the last message that will be
#: acknowledged to the peer; messages sent and taken; when bursts that came from the peer can come back to it, for they
#: count as promised until answered; is the last message sent; messages not yet answered, and when their bursts can come
#: back and be acknowledged, at the earliest; words of the message to be sent now, 0 if there is none; where in the ring
#: of messages from the peer the next will be.
LINK_STATE = record_type(
    "wants peer_wants peer_waits peer_next_ps owes_answer n_sent n_taken echoes_ps has_said_all n_unanswered back_ps "
    "answer_ps n_words next_slot"
)

# What ``Links.totals`` counts.
N_BOUNDARY_EVENTS, N_MESSAGES, N_PROMISES, N_ROUNDS, COMPUTING_US = range(5)


class Links(NamedTuple):
    """Everything that a rank knows of its peers; links in the order of ``Border.peers``."""

    clock_ps: NDArray[np.int64]  # per flow that comes in: what has been promised
    promised_ps: NDArray[np.int64]  # per flow that leaves: what the peer has been promised
    latest_ps: NDArray[np.int64]  # per flow that leaves: what can be promised now
    link_in: NDArray[np.int64]  # the link of each flow that comes in
    answered_queue: NDArray[np.int64]  # DMA queue and link of each of ``Border.answered``
    answered_link: NDArray[np.int64]
    matters: NDArray[np.int64]  # working memory, per DMA queue: do acknowledgements matter
    needs: NDArray[np.int64]  # working memory, per link: are news wanted
    state: Records  # LINK_STATE
    unanswered: NDArray[np.int64]  # (n_links, _MOST_UNANSWERED, 3): messages by number, their ECHO and their ANSWER
    outgoing: NDArray[np.int64]  # (n_links, words): the messages to be sent now
    totals: NDArray[np.int64]


def links_of(t: Tables, b: Border, n_rows: int) -> Links:
    """Return the links before anything has been said.

    Args:
        t: the rank's part of the program.
        b: its border.
        n_rows: events that one message can carry.
    """
    n_links, n_in, n_out = len(b.peers), int(b.in_start[-1]), int(b.out_start[-1])
    link_in = np.repeat(np.arange(n_links), np.diff(b.in_start))
    state = np.zeros(n_links, LINK_STATE)
    state["echoes_ps"] = state["back_ps"] = state["answer_ps"] = NEVER
    return Links(
        clock_ps=np.zeros(n_in, np.int64),
        promised_ps=np.zeros(n_out, np.int64),
        latest_ps=np.zeros(n_out, np.int64),
        link_in=link_in,
        answered_queue=t.channels["queue"][b.answered],
        answered_link=link_in[b.answered_flow],
        matters=np.zeros(len(t.queues), np.int64),
        needs=np.zeros(n_links, np.int64),
        state=state,
        unanswered=np.zeros((n_links, _MOST_UNANSWERED, 3), np.int64),
        outgoing=np.zeros((n_links, message_words(np.diff(b.out_start).max(initial=0), n_rows)), np.int64),
        totals=np.zeros(5, np.int64),
    )


def message_words(n_flows: int, n_rows: int) -> int:
    """Return the length of a message of ``n_rows`` events on a link of ``n_flows`` flows."""
    return int(HEADER + n_flows + n_rows * EVENT_FIELDS)
