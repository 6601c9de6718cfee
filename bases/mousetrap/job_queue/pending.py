"""Follows one message until the broker confirms it."""

from mousetrap.jobs import Posted


class Pending(Posted, eq=False, kw_only=True):
    """A message to publish, and its caller.

    1. Waiting: no channel, a blocked broker, or too many messages in flight.
    2. Sent: the broker may have it.
    3. One of these settles it:
       confirmed   the broker has it
       refused     its queue is full
       returned    its queue is missing; declared again and published once more (waiting), then unroutable
       late        past its deadline: unconfirmed if it was sent, unreachable if it was not
       closed      the publisher was closed first: as late
    4. When the channel is lost while it is sent, it is waiting again, in front of later messages.
    """

    queue: str
    exchange: str
    key: str
    id: str
    properties: bytes
    body: bytes
    deadline: float
    #: Whether a broker may have it.
    sent: bool = False
    #: Whether the broker returned it because no queue takes it.
    returned: bool = False
    #: Whether it was published again after its queue was declared again.
    retried: bool = False
