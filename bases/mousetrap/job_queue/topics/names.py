"""Checks topics' names, and knows whose dead queue a topic is."""

import re

from mousetrap.jobs import dead_queue

_DEAD = dead_queue("")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,126}")
#: The broker's own names, and ours.
_RESERVED = ("amq.", "mousetrap.")


def declared_for(topic: str) -> str:
    """The topic to declare: `topic` itself, or the one whose dead queue it is. Raises ValueError for an unusable name."""
    name = topic.removesuffix(_DEAD) if isinstance(topic, str) else ""
    if not _NAME.fullmatch(name) or name.endswith(_DEAD) or name.startswith(_RESERVED):
        raise ValueError(
            f"topic name {topic!r}: use letters, digits, _, - and ., a letter or a digit first, at most 127 characters, "
            f"and not {' or '.join(_RESERVED)} in front; NAME{_DEAD} is the dead queue of NAME"
        )
    return name


def is_dead(topic: str) -> bool:
    """Whether `topic` is the dead queue of another."""
    return topic.endswith(_DEAD)
