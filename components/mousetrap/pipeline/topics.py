"""Matches topics with the patterns that pipelines take: pure."""

import re
from collections.abc import Iterable
from typing import Any

#: A run has its topic as a tag, `topic:` and the topic, and a tag has at most 64 characters.
LONGEST_TOPIC = 58
#: The pattern of one word, and of any number of words, none among them.
ONE, ANY = "*", "#"

_WORD = r"[A-Za-z0-9_-]+"
_TOPIC = re.compile(rf"{_WORD}(?:\.{_WORD})*")
#: How alike a pattern is to a topic at least, to be named where nothing takes the topic; of 1.
_ALIKE = 0.6


class TopicInvalid(ValueError):
    """What is published to is no topic; the text has the form of one."""


def check_topic(topic: str) -> None:
    """Raises TopicInvalid for a topic of another form."""
    if len(topic) <= LONGEST_TOPIC and _TOPIC.fullmatch(topic):
        return
    shown = repr(topic[: LONGEST_TOPIC + 1])
    raise TopicInvalid(
        f"the topic {shown} is refused: write words of letters, digits, _ and - with a dot between them, as orders.created, at most "
        f"{LONGEST_TOPIC} characters; * and # are for those who take topics"
    )


def check_patterns(where: str, patterns: Any) -> None:
    """Raises ValueError for what is no tuple of patterns, as one that no topic can have; `where` has them."""
    if not isinstance(patterns, tuple):
        given = f"{(patterns,)!r}" if isinstance(patterns, str) else '("orders.*",)'
        raise ValueError(f"{where}: topics is {patterns!r}: write a tuple, as topics={given}")  # noqa: TRY004
    for place, pattern in enumerate(patterns):
        if not isinstance(pattern, str) or not _is_pattern(pattern):
            raise ValueError(
                f"{where}: topics has {pattern!r}: write words of letters, digits, _ and - with a dot between them; in place of a word, "
                f"* is any one and # any number of them, as in orders.*; at most {LONGEST_TOPIC} characters"
            )
        if pattern in patterns[:place]:
            raise ValueError(f"{where}: topics has {pattern!r} twice: write it once")


def matches(pattern: str, topic: str) -> bool:
    """Whether the pattern takes the topic, by the rules of AMQP: `*` is exactly one word, `#` any number of words or none."""
    words = topic.split(".")
    # How many of the topic's words what was looked at of the pattern can stand for: at most all of them, so no pattern is slow.
    ends = {0}
    for part in pattern.split("."):
        if part == ANY:
            ends = set(range(min(ends), len(words) + 1))
        else:
            ends = {end + 1 for end in ends if end < len(words) and part in (ONE, words[end])}
        if not ends:
            return False
    return len(words) in ends


def nearest(topic: str, patterns: Iterable[str]) -> str | None:
    """The pattern that is most like the topic; None where none is much like it."""
    likeness = {pattern: _likeness(topic, pattern) for pattern in sorted(patterns)}
    best = max(likeness, key=lambda pattern: likeness[pattern], default=None)
    return best if best is not None and likeness[best] >= _ALIKE else None


def _is_pattern(pattern: str) -> bool:
    words = [word for word in pattern.split(".") if word not in (ONE, ANY)]
    return len(pattern) <= LONGEST_TOPIC and all(re.fullmatch(_WORD, word) for word in words)


def _likeness(topic: str, pattern: str) -> float:
    """How alike they are, each `*` and `#` read as the topic's word in its place."""
    import difflib  # for the advice alone: a worker holds none

    words = topic.split(".")
    read = [
        words[place] if part in (ONE, ANY) and place < len(words) else part
        for place, part in enumerate(pattern.split("."))
    ]
    return difflib.SequenceMatcher(None, topic, ".".join(read)).ratio()
