"""Judges a job that waits in its queue."""

from collections.abc import Iterator, Sequence
from typing import Any

from mousetrap.shapes import Pause, Queue, Reason, WaitsFor, Worker
from mousetrap.waiting.facts import Facts, PlaceAt
from mousetrap.waiting.words import ago, reason, span

#: Attempts that the evidence lists.
_LISTED = 5
#: Seconds of which the rate of a queue is the mean.
_RATE_S = 300.0
_SERVING = ("serving", "waiting", "stuck")


def in_queue(facts: Facts, place: PlaceAt, *, alone: bool) -> Iterator[Reason]:
    """What keeps workers from taking it; with `alone` also that nothing does."""
    if not place.queue_name:
        if alone:
            yield _unknown(facts, place)
        return
    serving = [it for it in facts.workers if it.state in _SERVING and place.queue_name in it.queues]
    consumers = place.queue.consumers if place.queue else 0
    pause = place.queue.paused if place.queue else None
    if pause is not None:
        yield _paused(facts, place, pause)
    if not serving and not consumers:
        yield _no_worker(facts, place)
    elif pause is None and alone and place.queue is not None:
        yield _taken_soon(facts, place, place.queue, serving)


def _unknown(facts: Facts, place: PlaceAt) -> Reason:
    text = f"No pipeline {facts.pipeline} with a stage {place.job.stage} is known here, and so not its queue: no worker with it is up."
    evidence = {"pipeline": facts.pipeline, "stage": place.job.stage}
    return reason(WaitsFor.WORKER, text, facts, _since_ms(facts, place), evidence, "mousetrap workers")


def _paused(facts: Facts, place: PlaceAt, pause: Pause) -> Reason:
    because = f": {pause.why}" if pause.why else ""
    text = f"{pause.who} paused {place.queue_name} {ago(facts, pause.since_ms)} ago{because}."
    evidence = {
        **_numbers(place),
        "who": pause.who,
        "since_ms": pause.since_ms,
        "why": pause.why,
    }
    advice = f"mousetrap queues resume {place.queue_name}"
    return reason(WaitsFor.PAUSED, text, facts, pause.since_ms, evidence, advice)


def _no_worker(facts: Facts, place: PlaceAt) -> Reason:
    seen = [it for it in facts.workers if place.queue_name in it.queues]
    last = max(seen, key=lambda it: it.seen_ms, default=None)
    was = (
        f"the last one, {last.name}, is {last.state} and was seen {ago(facts, last.seen_ms)} ago"
        if last
        else "none is listed: one that was stopped leaves the list at once"
    )
    missing = " The broker does not even have that queue." if place.queue and place.queue.missing else ""
    text = f"No worker serves {place.queue_name}; {was}.{missing}"
    evidence = {
        **_numbers(place),
        "workers": 0,
        "last_worker": last.name if last else None,
        "last_seen_ms": last.seen_ms if last else None,
    }
    advice = f"mousetrap worker TARGET, with the handler of {facts.pipeline}.{place.job.stage}"
    return reason(WaitsFor.WORKER, text, facts, _since_ms(facts, place), evidence, advice)


def _taken_soon(facts: Facts, place: PlaceAt, queue: Queue, serving: Sequence[Worker]) -> Reason:
    slots = sum(worker.concurrency for worker in serving)
    busy = sum(min(worker.running, worker.concurrency) for worker in serving)
    left_s = _estimate_s(queue)
    evidence = {
        **_numbers(place),
        "workers": len(serving),
        "slots": slots,
        "busy": busy,
        "estimate_seconds": None if left_s is None else round(left_s, 1),
    }
    since_ms = _since_ms(facts, place)
    if serving and busy < slots:
        text = (
            f"It is in {queue.name}, or a worker holds it already: {busy} of {slots} slots are busy and {queue.ready:,} wait, "
            "so it is to begin soon."
        )
        return reason(WaitsFor.QUEUE, text, facts, since_ms, evidence, "mousetrap queues")
    if not serving:
        text = f"It is in {queue.name}; {queue.consumers} take from it, and none of them sends a heartbeat."
        return reason(WaitsFor.QUEUE, text, facts, since_ms, evidence, "mousetrap workers")
    text = (
        f"All {slots} slots of the workers of {queue.name} are busy, and a worker holds it until one is free."
    )
    if queue.ready:
        rate = "" if left_s is None else f"; at the rate of the last five minutes they take {span(left_s)}"
        text = (
            f"All {slots} slots of the workers of {queue.name} are busy; {queue.ready:,} wait there, this one among them or held by a "
            f"worker, the oldest for {span(queue.oldest_seconds)}{rate}."
        )
    evidence["runs_there"] = _oldest(serving)
    return reason(WaitsFor.SLOT, text, facts, since_ms, evidence, "mousetrap workers")


def _oldest(workers: Sequence[Worker]) -> list[dict[str, Any]]:
    """What has run for longest in them, which is not always of the same stage."""
    found = [(job, worker.name) for worker in workers for job in worker.doing]
    found.sort(key=lambda it: -it[0].seconds)
    return [
        {"run_id": job.run_id, "stage": job.stage, "seconds": round(job.seconds, 1), "worker": name}
        for job, name in found[:_LISTED]
    ]


def _estimate_s(queue: Queue) -> float | None:
    """How long what waits takes, at the rate at which jobs began; None where none did, or where the rate is of other times as well.

    The rate is a mean of five minutes: of a backlog that is younger it has minutes in which there was nothing to begin.
    """
    if not queue.ready or not queue.out_per_minute or queue.oldest_seconds < _RATE_S:
        return None
    return 60 * queue.ready / queue.out_per_minute


def _numbers(place: PlaceAt) -> dict[str, Any]:
    queue = place.queue
    found: dict[str, Any] = {"stage": place.job.stage, "queue": place.queue_name, "job": place.job.id or None}
    if queue is not None:
        found |= {
            "ready": queue.ready,
            "consumers": queue.consumers,
            "oldest_seconds": queue.oldest_seconds,
            "out_per_minute": queue.out_per_minute,
        }
    return found


def _since_ms(facts: Facts, place: PlaceAt) -> int:
    job = place.job
    return job.due_ms or job.since_ms or facts.due_ms or facts.updated_ms
