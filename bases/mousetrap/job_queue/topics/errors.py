"""The errors of topics, with advice in their texts."""

from mousetrap.jobs import MousetrapError


class ClaimVoid(MousetrapError):
    """The message is no longer this process's: it was settled before, or its connection is lost and it comes again."""


class TooManyClaims(MousetrapError):
    """As many claimed messages as allowed are not settled yet: ack or nack some, or open with a larger `max_unacked`."""


class TopicsClosed(MousetrapError):
    """The topics were closed, or belong to the process that this one was forked from: open them again."""


def lost(topic: str, message_id: str) -> ClaimVoid:
    """The error for a claim whose connection is lost."""
    return ClaimVoid(
        f"topic {topic!r}: the claim of message {message_id!r} is void, since its connection was lost: "
        "the broker gives the message to another claim, so make its work safe to repeat"
    )


def settled(topic: str, message_id: str) -> ClaimVoid:
    """The error for a claim that is not open."""
    return ClaimVoid(
        f"topic {topic!r}: message {message_id!r} is not an open claim here: it was acked or nacked before, "
        "or claimed through other topics; settle each claim once, where it was claimed"
    )


def dead_already(topic: str) -> ValueError:
    """The error for a message of a dead queue that is to go to its dead queue."""
    return ValueError(
        f"topic {topic!r} is a dead queue and has none of its own: ack the message, or nack it with requeue=True"
    )
