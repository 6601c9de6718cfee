"""Errors of what is published to topics."""

from collections.abc import Collection

from mousetrap.jobs import MousetrapError

#: Patterns in the text; the error has all of them.
_SHOWN = 10


class NoTaker(MousetrapError):
    """No pipeline takes the topic: what was published to it would be lost, so it is refused."""

    def __init__(self, text: str, taken: Collection[str], nearest: str | None) -> None:
        super().__init__(text)
        #: The patterns that pipelines take, and the one that is most like the topic.
        self.taken = tuple(sorted(taken))
        self.nearest = nearest


class TakerContradicted(MousetrapError):
    """Live workers contradict each other about a pipeline that takes the topic."""


def no_taker(topic: str, taken: Collection[str], nearest: str | None) -> NoTaker:
    """The error for this topic, where pipelines take the patterns `taken`, of which one may be much like it."""
    shown = sorted(taken)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return NoTaker(
        f"no pipeline takes the topic {topic!r}: {f'is it one of {nearest!r}? ' if nearest else ''}taken are: "
        f"{', '.join(shown[:_SHOWN]) or 'none'}{more}. Start a worker whose pipeline has topics=({topic!r},)",
        taken,
        nearest,
    )
