"""Shows the queues, and a day of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mousetrap.charts import DayCharts, Sparkline, day_charts, sparkline
from mousetrap.dashboard.crews import taken_by
from mousetrap.dashboard.facts import Facts, Problem, Refused
from mousetrap.dashboard.last_hour import last_hour
from mousetrap.dashboard.queue_story import mean_run_s, story
from mousetrap.dashboard.view import Done, Page, PageRoute, Query, View
from mousetrap.dashboard.words import address
from mousetrap.shapes import Cluster, Queue, QueueMinutes, Worker

#: Queues of one page, and workers of the page of one.
_QUEUES, _WORKERS = 40, 25
_HOURS = (24, 6, 1)
_HOUR_MS = 3_600_000
#: How the list can be ordered, the greatest first.
_ORDERS: Mapping[str, Callable[[Queue], Any]] = {
    "name": lambda it: 0,
    "waiting": lambda it: -it.ready,
    "oldest": lambda it: -it.oldest_seconds,
    "dead": lambda it: -it.dead,
    "workers": lambda it: it.workers,
}


@dataclass(frozen=True, slots=True)
class Line:
    """A queue in the list."""

    queue: Queue
    spark: Sparkline


@dataclass(frozen=True, slots=True)
class Queues:
    """What the list shows."""

    lines: tuple[Line, ...]
    #: Part of a name, and the order; what is before this page, and how many there are in all.
    name: str
    order: str
    start: int
    count: int
    most: int = _QUEUES
    orders: tuple[str, ...] = tuple(_ORDERS)


@dataclass(frozen=True, slots=True)
class One:
    """What the page of one shows."""

    queue: Queue
    charts: DayCharts
    hours: int
    story: tuple[str, ...]
    #: The mean of the last minutes.
    run_s: float | None
    workers: tuple[Worker, ...]
    #: Workers that have no room.
    more: int
    choices: tuple[int, ...] = _HOURS


@dataclass(frozen=True, slots=True)
class Asked:
    """A form that asks before it is paused."""

    queue: Queue
    reason: str = ""
    problem: Problem | None = None


async def show_all(view: View, facts: Facts) -> Page:
    """The queues that the address selects, one page of them."""
    name, order = view.query.one("name"), view.query.one("order")
    order = order if order in _ORDERS else "name"
    every = [it for it in await facts.get("/queues", list[Queue]) if name.lower() in it.name.lower()]
    every.sort(key=lambda it: (_ORDERS[order](it), it.name))
    start = view.query.place("start")
    cluster = await facts.get("/cluster", Cluster)
    shown = tuple(Line(it, _spark(it, cluster, view.now_ms)) for it in every[start : start + _QUEUES])
    data = Queues(shown, name, order, start, len(every))
    return Page("Queues", "queues.html", data, ("list",), part="queues")


async def show(view: View, facts: Facts) -> Page:
    """One queue with its charts."""
    path = _path(view)
    queue = await facts.get(path, Queue)
    asked = view.query.one("hours")
    hours = int(asked) if asked in map(str, _HOURS) else 0
    found = await facts.get(f"{path}/minutes", QueueMinutes, {"hours": hours or _HOURS[0]})
    minutes = sorted((it for stage in found.stages for it in stage.minutes), key=lambda it: it.at_ms)
    looks = [it.at_ms for it in found.ready if it.ready]
    hours = hours or _span(view.now_ms - min([it.at_ms for it in minutes] + looks, default=view.now_ms))
    workers = [it for it in await facts.get("/workers", list[Worker]) if queue.name in it.queues]
    taken = taken_by(queue.name, queue.stages, workers)
    workers.sort(key=lambda it: (it.state == "stale", it.name))
    data = One(
        queue=queue,
        charts=day_charts(minutes, found.ready, view.now_ms, hours),
        hours=hours,
        story=story(queue, minutes, taken),
        run_s=mean_run_s(minutes),
        workers=tuple(workers[:_WORKERS]),
        more=max(0, len(workers) - _WORKERS),
    )
    return Page(f"Queue {queue.name}", "queue.html", data, ("now", "day", "served"), part="queues")


def _span(age_ms: int) -> int:
    """The least choice of hours that has what is so old. The chart's last column ends with the minute that goes on."""
    return min((it for it in _HOURS if it * _HOUR_MS > age_ms), default=_HOURS[0])


async def ask_pause(view: View, facts: Facts) -> Page:
    """Asks before it is paused."""
    return _asking(Asked(await facts.get(_path(view), Queue)))


async def pause(view: View, form: Query, facts: Facts) -> Done | Page:
    """Pauses it."""
    reason = form.one("reason")
    try:
        await facts.send(
            "POST", f"{_path(view)}/pause", headers={"Mousetrap-Reason": reason} if reason else None
        )
    except Refused as refused:
        if refused.problem.where is None:
            raise
        return _asking(Asked(await facts.get(_path(view), Queue), reason, refused.problem), 422)
    return Done(_path(view), "The queue is paused: within two seconds no worker takes a job of it.")


async def resume(view: View, _: Query, facts: Facts) -> Done:
    """Has workers take its jobs again."""
    await facts.send("POST", f"{_path(view)}/resume")
    return Done(_path(view), "The queue is resumed: within two seconds workers take its jobs.")


def _asking(asked: Asked, status: int = 200) -> Page:
    return Page(f"Pause {asked.queue.name}?", "queue_pause.html", asked, status=status, part="queues")


def _path(view: View) -> str:
    return address("queues", view.names["queue"])


def _spark(queue: Queue, cluster: Cluster, now_ms: int) -> Sparkline:
    """What its stages ended in a minute; two minutes are one point, for a page has many of these."""
    minutes = [it for load in cluster.stages if load.queue == queue.name for it in load.minutes]
    counts = last_hour(minutes, now_ms)
    return sparkline([(one + other) / 2 for one, other in zip(counts[::2], counts[1::2], strict=True)])


ROUTES = (
    PageRoute("/queues", show_all),
    PageRoute("/queues/{queue}", show),
    PageRoute("/queues/{queue}/pause", ask_pause, pause, needs="operate"),
    PageRoute("/queues/{queue}/resume", act=resume),
)
