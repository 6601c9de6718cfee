"""Judges what needs a person first, from queues, workers and letters."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mousetrap.dashboard.crews import replaced, taken_by
from mousetrap.dashboard.words import duration, number, url
from mousetrap.shapes import Cluster, LetterGroup, Minute, Queue, Schedule, StageLoad, Worker

#: A wait from this on is shown.
_LONG_S = 60.0
#: The same where all slots are taken by other stages: beats come every five seconds.
_CROWDED_S = 10.0
#: Minutes that count as now, and attempts in them from which their failures are shown.
_NOW, _LEAST = 10, 3
_MINUTE_MS = 60_000
#: Of one kind; the page that it leads to has all.
_MOST = 5


@dataclass(frozen=True, slots=True)
class Attention:
    """One thing that needs a person."""

    #: failed, or retrying for what is less urgent: a state, for colour and icon.
    weight: str
    text: str
    #: Where it is looked into, and what that link is named.
    to: str
    label: str
    since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is judged; a part that cannot be known now is empty."""

    cluster: Cluster | None
    queues: Sequence[Queue]
    workers: Sequence[Worker]
    #: Of the last hour alone.
    groups: Sequence[LetterGroup]
    now_ms: int
    #: The first by their names.
    schedules: Sequence[Schedule] = ()


def attention(known: Known) -> tuple[Attention, ...]:
    """What needs a person, the most urgent first."""
    kinds: tuple[tuple[Callable[[Known], Iterator[Attention]], str, str], ...] = (
        (_paused, url("queues", order="oldest"), "paused queues"),
        (_schedules, url("schedules"), "schedules that start nothing"),
        (_unserved, url("queues", order="waiting"), "queues without a worker"),
        (_letters, url("dead", since="1h"), "causes of dead letters"),
        (_failing, url("pipelines"), "stages that fail"),
        (_silent, url("workers", state="stale"), "silent workers"),
        (_crowded, url("queues", order="oldest"), "queues whose workers are taken"),
        (_slow, url("queues", order="oldest"), "long waits"),
        (_idle, url("queues", order="workers"), ""),
    )
    found = list[Attention]()
    for judge, to, what in kinds:
        every = list(judge(known))
        found += every[:_MOST]
        if len(every) > _MOST:
            found.append(Attention(every[0].weight, f"{number(len(every) - _MOST)} more {what}", to, "All"))
    return tuple(found)


def ended(minutes: Sequence[Minute], since_ms: int) -> Mapping[str, int]:
    """How the attempts ended that ended since then, by outcome."""
    found = [minute for minute in minutes if minute.at_ms >= since_ms]
    return {name: sum(getattr(it, name) for it in found) for name in ("done", "retried", "failed")}


def _paused(known: Known) -> Iterator[Attention]:
    for queue in known.queues:
        if (pause := queue.paused) is not None:
            because = f" ({pause.why[:160]})" if pause.why else ""
            text = f"{queue.name} is paused by {pause.who}{because}: {_jobs(queue.ready)}."
            yield Attention("retrying", text, url("queues", queue.name), "Look", pause.since_ms)


def _schedules(known: Known) -> Iterator[Attention]:
    """Those that start nothing: no run of theirs is there to be found late."""
    for it in known.schedules:
        to = url("schedules", it.name)
        if (pause := it.paused) is not None:
            because = f" ({pause.why[:160]})" if pause.why else ""
            yield Attention(
                "retrying", f"Schedule {it.name} is paused by {pause.who}{because}.", to, "Look", pause.at_ms
            )
        elif it.overdue:
            waits = f": {it.waits[:160]}" if it.waits else ""
            yield Attention("failed", f"A tick of schedule {it.name} is late{waits}.", to, "Why")


def _unserved(known: Known) -> Iterator[Attention]:
    waiting = [queue for queue in known.queues if not queue.workers and queue.ready]
    for queue in sorted(waiting, key=lambda it: -it.oldest_seconds):
        oldest = f", the oldest for {duration(queue.oldest_seconds)}" if queue.oldest_seconds >= 1 else ""
        text = f"No worker serves {queue.name}: {_jobs(queue.ready)}{oldest}."
        yield Attention("failed", text, url("queues", queue.name), "Look")


def _letters(known: Known) -> Iterator[Attention]:
    for group in sorted(known.groups, key=lambda it: -(it.newest_ms or 0)):
        newest = group.example
        name = group.error_kind.rpartition(".")[2] or group.reason
        newest_of = ": " if group.count == 1 else ", the newest: "
        error = f"{newest_of}{newest.error[:160]}" if newest.error else ""
        plural = "" if group.count == 1 else "s"
        text = f"{number(group.count)} dead letter{plural} in {group.queue}, {name}{error}"
        selected: dict[str, Any] = {"queue": group.queue, "reason": group.reason, "error": group.error_kind}
        yield Attention("failed", text, url("dead", **selected), "Look and redrive", group.newest_ms)


def _failing(known: Known) -> Iterator[Attention]:
    """Stages whose attempts fail, unless their letters are listed already."""
    listed = {group.queue for group in known.groups}
    since_ms = known.now_ms - _NOW * _MINUTE_MS
    for load in known.cluster.stages if known.cluster else ():
        counts = ended(load.minutes, since_ms)
        every = sum(counts.values())
        lost = counts["failed"] + counts["retried"]
        if load.queue not in listed and every >= _LEAST and lost * 2 >= every:
            text = f"{number(lost)} of {number(every)} attempts of {load.stage} failed in the last {_NOW} minutes."
            yield Attention("failed" if counts["failed"] else "retrying", text, _runs(load, counts), "Runs")


def _runs(load: StageLoad, counts: Mapping[str, int]) -> str:
    pipeline, _, stage = load.stage.partition(".")
    return url("runs", pipeline=pipeline, stage=stage, state="failed" if counts["failed"] else "retrying")


def _silent(known: Known) -> Iterator[Attention]:
    gone = replaced(known.workers)
    for worker in sorted(known.workers, key=lambda it: it.silent):
        if worker.state in ("stale", "stuck") and worker.name not in gone:
            what = "is silent" if worker.state == "stale" else "has a handler that does not stop"
            ran = f"; it ran {_jobs(worker.running, '')}" if worker.running else ""
            yield Attention(
                "retrying",
                f"Worker {worker.name} {what}{ran}.",
                url("workers", worker.name),
                "Look",
                worker.seen_ms,
            )


def _crowded(known: Known) -> Iterator[Attention]:
    """Queues whose workers run nothing but jobs of other stages."""
    for queue in _by_wait(known, _CROWDED_S):
        if taken := _taken(queue, known):
            stage, count = next(iter(taken.items()))
            others = f" and {_jobs(sum(taken.values()) - count, '')} of others" if len(taken) > 1 else ""
            text = (
                f"{_jobs(queue.ready)} in {queue.name}, the oldest for up to {duration(queue.oldest_seconds)}: "
                f"{_jobs(count, '')} of {stage}{others} take all slots of its workers."
            )
            yield Attention("retrying", text, url("queues", queue.name), "Why")


def _taken(queue: Queue, known: Known) -> Mapping[str, int]:
    return taken_by(queue.name, queue.stages, known.workers)


def _by_wait(known: Known, least_s: float) -> list[Queue]:
    """Those with workers in which a job waits for so long, the longest first."""
    found = [
        it
        for it in known.queues
        if it.workers and it.ready and it.oldest_seconds >= least_s and not it.paused
    ]
    return sorted(found, key=lambda it: -it.oldest_seconds)


def _slow(known: Known) -> Iterator[Attention]:
    for queue in _by_wait(known, _LONG_S):
        if not _taken(queue, known):
            text = f"The oldest of {number(queue.ready)} jobs in {queue.name} waits for up to {duration(queue.oldest_seconds)}."
            yield Attention("retrying", text, url("queues", queue.name), "Why")


def _idle(known: Known) -> Iterator[Attention]:
    """All queues without workers in which nothing waits, in one line."""
    names = [queue.name for queue in known.queues if not queue.workers and not queue.ready]
    if names:
        more = f" and {number(len(names) - _MOST)} more" if len(names) > _MOST else ""
        text = f"Nothing waits in {', '.join(islice(names, _MOST))}{more}, and no worker serves {'it' if len(names) == 1 else 'them'}."
        yield Attention("retrying", text, url("workers"), "How to start one")


def _jobs(count: int, wait: str = " waits") -> str:
    if count == 1:
        return f"1 job{wait}"
    return f"{number(count)} jobs{wait.removesuffix('s')}"
