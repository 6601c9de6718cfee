"""Sends each open page what changed on it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from mousetrap.dashboard.facts import Facts, Refused
from mousetrap.dashboard.view import Elsewhere, Page, View

#: Between two looks at a page that changes, and at one that did not for a while.
_FAST_S, _SLOW_S = 1.0, 5.0
#: Looks without a change, after which it is looked at more rarely.
_QUIET_LOOKS = 10
#: So many pages are looked at at once, and the others wait for their turn. A turn lasts until its look has taken its part of
#: this share of a core, counted with all that the API computes at that time: with many different pages open, or a busy API, each
#: is looked at more rarely. One reader who opens a thousand, each with another query, leaves the API four fifths of its core.
_AT_ONCE, _SHARE, _LONGEST_S = 4, 0.2, 60.0
#: A comment is sent where nothing else is: proxies close a silent stream.
_HEARTBEAT_S = 15.0
#: Has the browser close the stream, and not ask again.
_END = "event: end\ndata:\n\n"

_log = logging.getLogger("mousetrap.api")

Look = Callable[[View], Awaitable[tuple[Facts, Page]]]
Fill = Callable[[View, Facts, Page], Mapping[str, str]]
Key = tuple[str, tuple[tuple[str, str], ...], str, str, frozenset[str]]


@dataclass(eq=False)
class _Topic:
    """One page as one kind of visitor sees it; its watchers share each look and each filling."""

    view: View
    regions: dict[str, str] = field(default_factory=dict)
    is_over: bool = False
    watchers: set[asyncio.Event] = field(default_factory=set)
    task: asyncio.Task[None] | None = None


class Hub:
    """All pages that are open with a stream."""

    def __init__(self, look: Look, fill: Fill, cpu_s: Callable[[], float] = time.thread_time) -> None:
        self._look = look
        self._fill = fill
        self._cpu_s = cpu_s
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._topics: dict[Key, _Topic] = {}

    async def watch(self, view: View, stopping: asyncio.Event) -> AsyncIterator[str]:
        """The page's changes as parts of an event stream, until it is over or the server stops."""
        topic, news = self._join(view)
        sent: dict[str, str] = {}
        try:
            while not stopping.is_set():
                changed = {name: html for name, html in topic.regions.items() if sent.get(name) != html}
                if changed:
                    sent |= changed
                    yield _message(changed)
                if topic.is_over:
                    yield _END
                    return
                if not await _news(news, stopping):
                    yield ": nothing changed\n\n"
        finally:
            self._leave(topic, news)

    def _join(self, view: View) -> tuple[_Topic, asyncio.Event]:
        key = _key(view)
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = _Topic(view)
            topic.task = asyncio.create_task(self._follow(topic))
        news = asyncio.Event()
        topic.watchers.add(news)
        return topic, news

    def _leave(self, topic: _Topic, news: asyncio.Event) -> None:
        topic.watchers.discard(news)
        if not topic.watchers:
            self._topics.pop(_key(topic.view), None)
            if topic.task is not None:
                topic.task.cancel()

    async def _follow(self, topic: _Topic) -> None:
        mark, quiet = b"", 0
        while not topic.is_over:
            async with self._turns:
                before, begun_s = mark, self._cpu_s()
                try:
                    mark = await self._renew(topic, mark)
                    quiet = quiet + 1 if mark == before else 0
                except (
                    Refused,
                    Elsewhere,
                ):  # what it shows is forgotten, or not known while the store is away
                    quiet = _QUIET_LOOKS
                except Exception:  # noqa: BLE001  a defect: without a next look, later watchers would wait without end
                    _log.exception("a page that is open could not be shown", extra={"page": topic.view.path})
                    quiet = _QUIET_LOOKS
                rest_s = turn_s(self._cpu_s() - begun_s)
                await asyncio.sleep(rest_s)
            wanted_s = _SLOW_S if quiet >= _QUIET_LOOKS else _FAST_S
            await asyncio.sleep(max(0.0, wanted_s - rest_s))

    async def _renew(self, topic: _Topic, mark: bytes) -> bytes:
        """Looks at the page, and gives its watchers what changed since the look of this mark. Gives the new mark."""
        view = replace(topic.view, now_ms=time.time_ns() // 1_000_000)
        facts, page = await self._look(view)
        if facts.mark != mark:
            topic.regions.update(self._fill(view, facts, page))
            # A page without parts that change has no stream; who asks for one all the same has it once.
            topic.is_over = page.is_over or not page.regions
            for news in topic.watchers:
                news.set()
        return facts.mark


def turn_s(used_s: float) -> float:
    """How long the turn of a look lasts that took so many seconds of a core."""
    return min(used_s * _AT_ONCE / _SHARE, _LONGEST_S)


def _key(view: View) -> Key:
    names = tuple(sorted(view.names.items()))
    return view.path, names, str(view.query), view.visitor.id, frozenset(view.visitor.scopes)


async def _news(news: asyncio.Event, stopping: asyncio.Event) -> bool:
    """Waits for a change, or the server's end. False after a while without either."""
    waits = [asyncio.ensure_future(each.wait()) for each in (news, stopping)]
    try:
        done, _ = await asyncio.wait(waits, timeout=_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
        news.clear()
        return bool(done)
    finally:
        for each in waits:
            each.cancel()


def last_part(changed: Mapping[str, str]) -> str:
    """Elements by their ids, and the end of the stream."""
    return _message(changed) + _END


def _message(changed: Mapping[str, str]) -> str:
    html = "".join(
        f'<hx-partial hx-target="#{name}" hx-swap="outerMorph">{text}</hx-partial>'
        for name, text in changed.items()
    )
    return "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"
