"""Keeps the minutes of stages and queues in the store."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from mousetrap.shapes import Minute, ReadyAt
from mousetrap.stage_minutes.counts import Counts
from mousetrap.store_client import Command, ReplyError, StoreClient, reaching

#: A day, and the hour that is under way.
_KEEP_MS = 25 * 3_600_000
_HOUR_MS, _MINUTE_MS = 3_600_000, 60_000
_NAMES = Counts.__struct_fields__
#: Minutes that a rate is the mean of, the one under way among them.
_RECENT = 5


class Recent(msgspec.Struct, frozen=True):
    """What happened in the last minutes."""

    #: How long these are; the last one is under way.
    seconds: float
    counts: Mapping[str, Counts]
    #: By queue: how many jobs waited when these minutes began; None where no look was taken.
    ready: Mapping[str, int | None]


class Minutes:
    """The minutes of the last day. Every method raises StoreUnreachable if the server does not answer within two seconds.

    A stage has a hash for each hour with a count for each minute, as `07.done`, and a queue one with how many jobs were ready.
    A count whose reply was lost is sent once more, so it may be there twice: they are for people, and nothing follows from them.
    """

    def __init__(self, client: StoreClient, place: str) -> None:
        self._client = client
        self._place = place

    async def add(self, counts: Mapping[str, Counts], ready: Mapping[str, int]) -> None:
        """Adds what stages did since the last time to this minute, and how many jobs wait in each queue now."""
        if not counts and not ready:
            return
        with reaching(self._place):
            now_ms = await self._now_ms()
            hour, minute = now_ms // _HOUR_MS, now_ms % _HOUR_MS // _MINUTE_MS
            commands: list[Command] = []
            for stage, each in counts.items():
                key = _stage_key(stage, hour)
                found = {name: getattr(each, name) for name in _NAMES}
                commands += [
                    ("HINCRBY", key, f"{minute:02}.{name}", value) for name, value in found.items() if value
                ]
                commands.append(("PEXPIRE", key, _KEEP_MS))
            for queue, number in ready.items():
                key = _queue_key(queue, hour)
                commands += [("HSET", key, f"{minute:02}", number), ("PEXPIRE", key, _KEEP_MS)]
            await self._replies(commands)

    async def of_stages(self, stages: Sequence[str], hours: int) -> Mapping[str, tuple[Minute, ...]]:
        """The minutes of the last `hours` in which a stage did something, by `pipeline.stage`."""
        with reaching(self._place):
            now_ms = await self._now_ms()
            first_ms = _first_ms(now_ms, 60 * hours)
            places = [(stage, hour) for stage in stages for hour in _hours(first_ms, now_ms)]
            replies = await self._replies([("HGETALL", _stage_key(*place)) for place in places])
        found: dict[str, list[Minute]] = {stage: [] for stage in stages}
        for (stage, hour), reply in zip(places, replies, strict=True):
            found[stage] += (each for each in _minutes(hour, reply) if first_ms <= each.at_ms)
        return {stage: tuple(minutes) for stage, minutes in found.items()}

    async def of_queue(self, queue: str, hours: int) -> tuple[ReadyAt, ...]:
        """How many jobs were ready in the minutes of the last `hours` in which a look was taken."""
        with reaching(self._place):
            now_ms = await self._now_ms()
            first_ms = _first_ms(now_ms, 60 * hours)
            hours_read = list(_hours(first_ms, now_ms))
            replies = await self._replies([("HGETALL", _queue_key(queue, hour)) for hour in hours_read])
        found = [
            ReadyAt(at_ms=hour * _HOUR_MS + int(minute) * _MINUTE_MS, ready=number)
            for hour, reply in zip(hours_read, replies, strict=True)
            for minute, number in sorted(_numbers(reply))
            if _is_minute(minute)
        ]
        return tuple(each for each in found if first_ms <= each.at_ms)

    async def recent(self, stages: Sequence[str], queues: Sequence[str]) -> Recent:
        """What stages did in the last five minutes, and how many jobs waited in each queue when these began."""
        with reaching(self._place):
            now_ms = await self._now_ms()
            first_ms = _first_ms(now_ms, _RECENT)
            fields = _fields_by_hour(range(first_ms, now_ms + 1, _MINUTE_MS))
            places = [(stage, hour) for stage in stages for hour in fields]
            asked: list[Command] = [
                ("HMGET", _stage_key(stage, hour), *fields[hour]) for stage, hour in places
            ]
            before = first_ms - _MINUTE_MS  # its last look was when the first of these minutes began
            hour, minute = before // _HOUR_MS, before % _HOUR_MS // _MINUTE_MS
            looked: list[Command] = [("HGET", _queue_key(queue, hour), f"{minute:02}") for queue in queues]
            replies = await self._replies([*asked, *looked])
        counts = {stage: Counts() for stage in stages}
        for (stage, _), reply in zip(places, replies, strict=False):
            for each in _read_counts(reply):
                counts[stage].add(each)
        ready = {queue: _number(reply) for queue, reply in zip(queues, replies[len(asked) :], strict=True)}
        return Recent((now_ms - first_ms) / 1000, counts, ready)

    async def _now_ms(self) -> int:
        seconds, microseconds = map(int, await self._client.call("TIME"))
        return seconds * 1000 + microseconds // 1000

    async def _replies(self, commands: Sequence[Command]) -> list[Any]:
        """The replies; None for a key of another type. Raises the error of a server that is away."""
        replies = await self._client.pipeline(commands)
        for reply in replies:
            if isinstance(reply, ReplyError) and reply.passing:
                raise reply
        return [None if isinstance(reply, ReplyError) else reply for reply in replies]


def _first_ms(now_ms: int, minutes: int) -> int:
    """The begin of the first of so many minutes, of which the last one is under way."""
    return (now_ms // _MINUTE_MS - minutes + 1) * _MINUTE_MS


def _hours(first_ms: int, now_ms: int) -> Iterable[int]:
    return range(first_ms // _HOUR_MS, now_ms // _HOUR_MS + 1)


def _minutes(hour: int, reply: Any) -> Iterable[Minute]:
    found: dict[int, dict[str, int]] = {}
    for field, number in _numbers(reply):
        minute, _, name = field.partition(".")
        if _is_minute(minute) and name in _NAMES:
            found.setdefault(int(minute), {})[name] = number
    for minute_of_hour, counts in sorted(found.items()):
        yield Minute(at_ms=hour * _HOUR_MS + minute_of_hour * _MINUTE_MS, **counts)


def _fields_by_hour(minutes: Iterable[int]) -> Mapping[int, Sequence[str]]:
    """The names of all counts of these minutes, by the hour that has them."""
    found: dict[int, list[str]] = {}
    for at_ms in minutes:
        minute = at_ms % _HOUR_MS // _MINUTE_MS
        found.setdefault(at_ms // _HOUR_MS, []).extend(f"{minute:02}.{name}" for name in _NAMES)
    return found


def _read_counts(reply: Any) -> Iterable[Counts]:
    """Of each minute that was asked for; none for a key of another type."""
    values = [_number(value) or 0 for value in reply] if isinstance(reply, list) else []
    for place in range(0, len(values), len(_NAMES)):
        yield Counts(*values[place : place + len(_NAMES)])


def _is_minute(text: str) -> bool:
    return len(text) == 2 and text.isascii() and text.isdigit()


def _numbers(reply: Any) -> Iterable[tuple[str, int]]:
    """The fields of a hash that hold a number: anything can be in the store."""
    flat = reply if isinstance(reply, list) else []
    for field, value in zip(flat[::2], flat[1::2], strict=False):
        if (number := _number(value)) is not None:
            yield field.decode(errors="replace"), number


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, bytes) and value.isdigit() and len(value) <= 15 else None


def _stage_key(stage: str, hour: int) -> str:
    return f"mousetrap:minute:{stage}:{hour}"


def _queue_key(queue: str, hour: int) -> str:
    return f"mousetrap:ready:{queue}:{hour}"
