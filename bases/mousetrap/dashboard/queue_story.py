"""Explains in sentences why a queue grows or waits."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil

from mousetrap.dashboard.words import duration, number
from mousetrap.shapes import Minute, Queue

#: What counts as growing or shrinking: a twentieth of what comes in, and at least one job in two minutes.
_SHARE, _LEAST = 0.05, 0.5
#: The minutes that say how long a job takes now, newest ones.
_MINUTES = 15


def story(queue: Queue, minutes: Sequence[Minute], taken: Mapping[str, int] | None = None) -> tuple[str, ...]:
    """Why it is as it is; `minutes` are those of all its stages, oldest first, and `taken` is what takes all slots of its workers."""
    if queue.missing:
        return ("The broker does not have this queue: no worker or API of its pipeline has been up yet.",)
    return (*_others(queue, taken or {}), *_sentences(queue, mean_run_s(minutes)))


def mean_run_s(minutes: Sequence[Minute]) -> float | None:
    """How long attempts ran lately, as a mean; None where none ended."""
    newest = max((it.at_ms for it in minutes), default=0)
    recent = [it for it in minutes if it.at_ms > newest - _MINUTES * 60_000]
    count = sum(it.done + it.retried + it.failed for it in recent)
    return round(sum(it.run_ms for it in recent) / count / 1000, 3) if count else None


def _others(queue: Queue, taken: Mapping[str, int]) -> Iterator[str]:
    """That its workers have no slot for it."""
    if queue.ready and taken:
        what = ", ".join(f"{number(count)} of {stage}" for stage, count in taken.items())
        yield f"All slots of its workers are taken by jobs of other stages: {what}. A worker of its own would have slots for it."


def _sentences(queue: Queue, run_s: float | None) -> Iterator[str]:
    came, went = queue.in_per_minute, queue.out_per_minute
    change = 0.0 if came is None else came - went
    least = max(_LEAST, _SHARE * (came or 0.0))
    if queue.paused:
        yield f"It is paused, so nothing leaves it. {_many(queue.ready)} waiting."
    elif not queue.workers:
        yield f"No worker serves it, so nothing leaves it. {_many(queue.ready)} waiting."
    elif change > least and queue.ready:
        yield f"It grows by {_rate(change)} a minute: {_rate(came)} come and {_rate(went)} begin."
        yield from _slots(queue, run_s, came or 0.0)
    elif change < -least and queue.ready:
        yield f"It shrinks by {_rate(-change)} a minute: it is empty in about {duration(queue.ready / -change * 60)}."
    elif queue.ready and queue.running >= queue.slots:
        yield "As many come as begin, and all slots are busy: what waits now stays about as it is."
        yield from _slots(queue, run_s, came or went)
    elif queue.ready:
        yield "Workers have free slots: what waits is about to begin, or held by a worker that serves other queues too."
    else:
        yield "Nothing waits for a worker."
    if queue.delayed:
        yield f"{_many(queue.delayed)} not due yet: next attempts, delays, locks, or jobs that wait for those that they opened."


def _slots(queue: Queue, run_s: float | None, came: float) -> Iterator[str]:
    """Whether more slots would help."""
    if queue.running < queue.slots:
        yield f"Only {number(queue.running)} of {number(queue.slots)} slots run: workers share them with other queues, or wait for locks."
    elif run_s:
        needed = ceil(came * run_s / 60)
        yield (
            f"All {number(queue.slots)} slots are busy, and a job runs {duration(run_s)} in the mean: these begin at most "
            f"{_rate(queue.slots * 60 / run_s)} a minute. To keep up with what comes takes about {number(max(needed, queue.slots + 1))} slots."
        )


def _many(count: int) -> str:
    return "1 job is" if count == 1 else f"{number(count)} jobs are"


def _rate(value: float | None) -> str:
    return number(round(value or 0.0, 1))
