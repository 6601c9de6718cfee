"""Finds the reasons why a run waits."""

from collections.abc import Iterator
from typing import Any

from mousetrap.shapes import FailureLine, Reason, Waiting, WaitsFor
from mousetrap.waiting.facts import Facts, JobAt, PlaceAt
from mousetrap.waiting.in_queue import in_queue
from mousetrap.waiting.limited import limited
from mousetrap.waiting.with_worker import with_worker
from mousetrap.waiting.words import ago, moment, reason, span

#: Seconds for which a run may be recorded without its message: that is noted a second after it was published.
_UNPUBLISHED_S = 3.0
#: Characters of an error that a sentence has; the evidence has all.
_MOST_TEXT = 80


def judge(facts: Facts) -> Waiting:
    """What the run waits for: what comes first on its way is the headline, the rest is beside it."""
    found = sorted(_unique(_reasons(facts)), key=lambda each: _ORDER.index(each.kind))
    waits = [each for each in found if each.kind not in _NO_WAIT]
    headline, *also = waits or found or [_unknown(facts)]
    return Waiting(
        run_id=facts.run_id,
        state=facts.state,
        waits=bool(waits) or not found,
        headline=headline,
        also=tuple(also),
    )


#: Each reason before those that the run meets only after it.
_ORDER = (
    WaitsFor.ENDED,
    WaitsFor.UNREADABLE,
    WaitsFor.BROKER,
    WaitsFor.PUT_ASIDE,
    WaitsFor.PUBLISH,
    WaitsFor.RETRY,
    WaitsFor.OUTAGE,
    WaitsFor.DUE,
    WaitsFor.LOCK,
    WaitsFor.LIMIT,
    WaitsFor.PAUSED,
    WaitsFor.WORKER,
    WaitsFor.TAKEOVER,
    WaitsFor.SLOT,
    WaitsFor.ALONE,
    WaitsFor.QUEUE,
    WaitsFor.CHILDREN,
    WaitsFor.RUNNING,
)
_NEVER_MS = 1 << 62
_NO_WAIT = (WaitsFor.ENDED, WaitsFor.UNREADABLE, WaitsFor.RUNNING)


def _reasons(facts: Facts) -> Iterator[Reason]:
    if facts.state.ended:
        yield _ended(facts)
        return
    if facts.unreadable:
        text = f"What the store holds of it is damaged: {'; '.join(facts.unreadable)}."
        yield reason(WaitsFor.UNREADABLE, text, facts, None, {"unreadable": facts.unreadable})
    if facts.broker:
        yield _broker(facts)
    if facts.letter is not None:
        yield _put_aside(facts)
    if facts.unpublished_ms and facts.now_ms - facts.unpublished_ms > _UNPUBLISHED_S * 1000:
        yield _unpublished(facts)
    for place in facts.places:
        yield from _of_job(facts, place)
    if facts.fan is not None:
        yield _children(facts)


def _of_job(facts: Facts, place: PlaceAt) -> Iterator[Reason]:
    """The reasons of one job."""
    job = place.job
    if _is_delayed(facts, job):
        yield _retry(facts, place)
    elif job.state == "locked" and job.lock is not None and job.lock.run_id:
        yield _lock(facts, place)
    elif job.state == "limited" and job.limit is not None:
        yield limited(facts, place, job.limit)
    elif job.state == "running":
        yield with_worker(facts, place)
        return
    elif (facts.due_ms or 0) > facts.now_ms:
        yield _due(facts)
    yield from in_queue(facts, place, alone=_is_ready(facts, place))


def _is_delayed(facts: Facts, job: JobAt) -> bool:
    """Whether its next attempt is to come. When that of an outage comes, is noted only some seconds after."""
    return job.state in ("retrying", "outage") and (job.due_ms or _NEVER_MS) > facts.now_ms


def _is_ready(facts: Facts, place: PlaceAt) -> bool:
    """Whether its message is to be in the queue now, and not delayed."""
    job = place.job
    locked = job.state == "locked" and job.lock is not None and bool(job.lock.run_id)
    locked = locked or job.state == "limited"
    return (
        not _is_delayed(facts, job)
        and not locked
        and (facts.due_ms or 0) <= facts.now_ms
        and facts.letter is None
    )


def _ended(facts: Facts) -> Reason:
    at_ms = facts.finished_ms or facts.updated_ms
    text = f"It does not wait: it {_ENDS.get(facts.state, f'is {facts.state}')} {ago(facts, at_ms)} ago."
    advice = f"mousetrap rerun {facts.run_id}" if facts.state == "failed" else ""
    return reason(WaitsFor.ENDED, text, facts, at_ms, {"state": facts.state, "finished_ms": at_ms}, advice)


_ENDS = {
    "completed": "completed",
    "failed": "failed",
    "cancelled": "was cancelled",
    "expired": "expired",
    "rejected": "was rejected",
}


def _broker(facts: Facts) -> Reason:
    evidence = {"broker": facts.broker}
    return reason(WaitsFor.BROKER, _sentence(facts.broker), facts, None, evidence, "mousetrap doctor")


def _put_aside(facts: Facts) -> Reason:
    letter = facts.letter
    assert letter is not None
    doubt = "" if letter.believed else "; no key of ours signed it, so it may not belong to this run"
    text = f"Its message is a dead letter of {letter.queue} ({letter.reason}){doubt}."
    evidence = {
        "letter": letter.id,
        "queue": letter.queue,
        "reason": letter.reason,
        "believed": letter.believed,
    }
    advice = f"mousetrap dead show {letter.id}, then mousetrap dead redrive --id {letter.id}"
    return reason(WaitsFor.PUT_ASIDE, text, facts, facts.updated_ms, evidence, advice)


def _unpublished(facts: Facts) -> Reason:
    text = (
        f"It is recorded since {ago(facts, facts.unpublished_ms)}, and its message may not be with the broker: its submitter "
        f"is gone, or waits for the broker. An API publishes it once it is {span(facts.republished_after_s)} old."
    )
    evidence = {"recorded_ms": facts.unpublished_ms, "published_after_seconds": facts.republished_after_s}
    return reason(WaitsFor.PUBLISH, text, facts, facts.unpublished_ms, evidence, "mousetrap doctor")


def _due(facts: Facts) -> Reason:
    text = f"Its submitter has it begin at {moment(facts.due_ms)}, in {span(_until_s(facts, facts.due_ms))}."
    return reason(WaitsFor.DUE, text, facts, facts.accepted_ms, {"due_ms": facts.due_ms})


def _retry(facts: Facts, place: PlaceAt) -> Reason:
    job = place.job
    when = f"at {moment(job.due_ms)}, in {span(_until_s(facts, job.due_ms))}"
    why = _in_words(job.failure) if job.failure else "a failure"
    evidence: dict[str, Any] = {
        **_which(place),
        "due_ms": job.due_ms or None,
        "attempt": job.attempt,
        "attempts": job.attempts,
        "error_kind": job.failure.kind if job.failure else None,
        "error": job.failure.text if job.failure else None,
    }
    if job.state == "outage":
        again = f"; it is made again {when}" if job.due_ms else ", and is made again until it has"
        text = f"Attempt {job.attempt} of {job.stage} waits for an outage to end ({why}){again}."
        return reason(WaitsFor.OUTAGE, text, facts, job.since_ms, evidence, f"mousetrap logs {facts.run_id}")
    of_all = f" of {job.attempts}" if job.attempts else ""
    asked = ", as the handler asked" if job.failure and job.failure.kind.endswith("TryAgain") else ""
    text = f"Attempt {job.attempt}{of_all} of {job.stage} begins {when}, after {why}{asked}."
    return reason(WaitsFor.RETRY, text, facts, job.since_ms, evidence)


def _in_words(failure: FailureLine) -> str:
    """The error's class without its module, and the beginning of its text."""
    text = " ".join(failure.text.split())
    kind = failure.kind.rpartition(".")[2]
    return f"{kind}: {text[:_MOST_TEXT]}{'…' if len(text) > _MOST_TEXT else ''}" if text else kind


def _lock(facts: Facts, place: PlaceAt) -> Reason:
    job, lock = place.job, place.job.lock
    assert lock is not None
    by = f" at worker {lock.worker}" if lock.worker else ""
    since = f" since {ago(facts, lock.since_ms)}" if lock.since_ms else ""
    text = (
        f"{job.stage} waits for the lock {lock.name}, which run {lock.run_id} holds{by}{since}; "
        f"it loses it at {moment(lock.until_ms)} unless it renews it."
    )
    evidence = {
        **_which(place),
        "lock": lock.name,
        "holder_run": lock.run_id,
        "holder_worker": lock.worker,
        "held_since_ms": lock.since_ms or None,
        "held_until_ms": lock.until_ms,
    }
    return reason(WaitsFor.LOCK, text, facts, job.since_ms, evidence, f"mousetrap show {lock.run_id}")


def _children(facts: Facts) -> Reason:
    fan = facts.fan
    assert fan is not None
    whole = f"{fan.total:,}" if fan.total is not None else f"the {fan.opened:,} so far"
    lost = f", {fan.lost:,} failed" if fan.lost else ""
    text = f"It waits for the jobs that {fan.stage} opened: {fan.done:,} of {whole} done{lost}."
    evidence = {
        "stage": fan.stage,
        "done": fan.done,
        "failed": fan.lost,
        "total": fan.total,
        "opened": fan.opened,
        "needs": fan.needs,
    }
    advice = f"mousetrap jobs {facts.run_id}"
    return reason(WaitsFor.CHILDREN, text, facts, None, evidence, advice)


def _unknown(facts: Facts) -> Reason:
    text = f"Its job is not in the store, or in a state that this version does not know; it changed {ago(facts, facts.updated_ms)} ago."
    return reason(WaitsFor.QUEUE, text, facts, facts.updated_ms, {"state": facts.state})


def _which(place: PlaceAt) -> dict[str, Any]:
    return {"stage": place.job.stage, "queue": place.queue_name or None, "job": place.job.id or None}


def _until_s(facts: Facts, at_ms: int | None) -> float:
    return max(0.0, ((at_ms or 0) - facts.now_ms) / 1000)


def _unique(reasons: Iterator[Reason]) -> list[Reason]:
    """Each text once: two jobs may wait for the same."""
    return list({each.text: each for each in reasons}.values())


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
