"""Delays messages on a ladder of waiting queues.

Rung k keeps a message for 2**k tenths of a second. A delay is a binary number of tenths, and its bits are the first words of
the routing key. Each rung's exchange reads its own bit: 1 means wait here, 0 means pass to the rung below. Every message on
a rung waits equally long, so that a short delay is never held up by a long one, which a single queue with a time to live per
message cannot give.
"""

import math

from mousetrap.jobs import check_delay

#: The shortest delay, and the step between delays.
UNIT_MS = 100
#: Rungs: the longest delay is 291 days, LONGEST_DELAY_S.
RUNGS = 28
#: A delay is rounded up by at most this part of it, to where it waits on the fewest rungs: four on average, seven at most. For
#: an eighth these would be two and a half, and four; a rung costs the broker about 5 % of what the message costs it in all.
_PART = 100

#: The exchange after a message's last rung.
DELIVER = "mousetrap.deliver"
#: The start of the names of all rungs.
RUNG = "mousetrap.delay."


def rung(k: int) -> str:
    """The name of rung `k`'s exchange and of its queue; below the lowest is the exchange that delivers."""
    return f"{RUNG}{k}" if k >= 0 else DELIVER


def way_down(queue: str, after: float) -> tuple[str, str]:
    """The exchange and the routing key that bring a message to `queue` no earlier than in `after` seconds.

    Raises ValueError for a delay that is not a positive number, or longer than the ladder.
    """
    check_delay(after)
    if not after:
        raise ValueError("a delay of 0 seconds: give a positive number")
    tenths = _round_up(-(-math.ceil(after * 1000) // UNIT_MS))
    bits = ".".join(f"{tenths:0{RUNGS}b}")
    return rung(tenths.bit_length() - 1), f"{bits}.{queue}"


def wait(k: int) -> int:
    """Milliseconds on rung `k`: one more than its share, because the broker's clock counts whole ones."""
    return (UNIT_MS << k) + 1


def reads(k: int, bit: int) -> str:
    """The pattern of routing keys whose bit `k` is `bit`."""
    return "*." * (RUNGS - 1 - k) + f"{bit}.#"


def arrives(queue: str) -> str:
    """The pattern of routing keys that end at `queue`; one star a bit, so that `x` never matches `y.x`."""
    return "*." * RUNGS + queue


def _round_up(tenths: int) -> int:
    """The number with the most zeros at its end that is at most a hundredth larger: none of those has fewer ones."""
    most = tenths + tenths // _PART
    dropped = (most ^ (tenths - 1)).bit_length() - 1
    return most >> dropped << dropped
