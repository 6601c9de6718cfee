"""Finds runs that may not be published, by page."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mousetrap.jobs import MousetrapError
from mousetrap.run_store.keys import OPENED, OPENED_DELAYED
from mousetrap.run_store.packed.heads import run_head
from mousetrap.run_store.packed.sender import LIBRARY, Sender, is_away
from mousetrap.run_store.records import RecordBroken, decode_run

_LIVE = b"Q"


class Mark(NamedTuple):
    """Where a page begins among the names of one kind."""

    key: str
    since_ms: int = 0
    #: The names of just that time that earlier pages had.
    seen: frozenset[str] = frozenset()


#: Of the first page.
BEGIN = (Mark(OPENED), Mark(OPENED_DELAYED))


class Named(NamedTuple):
    """A name, and the time of the run's last submission."""

    key: str
    run_id: str
    at_ms: int


class Page(NamedTuple):
    """Runs that may not be published."""

    names: Sequence[Named]
    #: Where the next page begins; empty after the last one.
    following: Sequence[Mark]


async def read_page(sender: Sender, marks: Sequence[Mark], until_ms: int, limit: int) -> Page:
    """The runs that were named before `until_ms`, at most `limit` for each mark. The names of other runs are taken away."""
    replies = await sender.send([_ask(mark, until_ms, limit) for mark in marks])
    names: list[Named] = []
    following: list[Mark] = []
    for mark, reply in zip(marks, replies, strict=True):
        found = _read(mark.key, sender.value(reply))
        names += [each for each in found if each.run_id not in mark.seen or each.at_ms != mark.since_ms]
        if len(found) >= limit + len(mark.seen):
            last_ms = found[-1].at_ms
            following.append(
                Mark(mark.key, last_ms, frozenset(each.run_id for each in found if each.at_ms == last_ms))
            )
    heads = await _heads(sender, names)
    await _forget(sender, [it for it, head in zip(names, heads, strict=True) if _is_gone(head)])
    return Page([it for it, head in zip(names, heads, strict=True) if _may_wait(head)], following)


def _ask(mark: Mark, until_ms: int, limit: int) -> tuple[str | int, ...]:
    limits = ("LIMIT", 0, limit + len(mark.seen))
    return ("ZRANGE", mark.key, mark.since_ms, until_ms, "BYSCORE", *limits, "WITHSCORES")


def _read(key: str, flat: Sequence[bytes]) -> list[Named]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [Named(key, run_id.decode("utf-8", "replace"), int(float(at_ms))) for run_id, at_ms in pairs]


async def _heads(sender: Sender, names: Sequence[Named]) -> Sequence[Any]:
    """The heads of their records; an error for each where the one server of a cluster that has all of them is away."""
    try:
        return await sender.send([run_head(it.run_id) for it in names])
    except MousetrapError as error:
        if not sender.is_cluster:
            raise
        return [error] * len(names)


async def _forget(sender: Sender, names: Sequence[Named]) -> None:
    """Takes names away, unless a submission has named the run again since its record was read."""
    await sender.send([("FCALL", f"{LIBRARY.name}_unname", 1, it.key, it.run_id, it.at_ms) for it in names])


def _is_gone(head: Any) -> bool:
    return not (isinstance(head, MousetrapError) or is_away(head) or _may_wait(head))


def _may_wait(head: Any) -> bool:
    """Whether the head of a record is that of a live run whose first job is not known to be published.

    Who publishes it looks closer at one that cannot be read.
    """
    if not isinstance(head, bytes) or not head.startswith(_LIVE):
        return False
    try:
        return not decode_run(head).facts.published
    except RecordBroken:
        return True
