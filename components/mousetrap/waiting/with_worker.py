"""Judges a job that a worker has."""

from collections.abc import Mapping

from mousetrap.shapes import Reason, WaitsFor
from mousetrap.waiting.facts import Facts, PlaceAt
from mousetrap.waiting.words import ago, moment, reason


def with_worker(facts: Facts, place: PlaceAt) -> Reason:
    """Who has it; or who had it, and when another may take it over."""
    job = place.job
    worker = next((it for it in facts.workers if it.name == job.worker), None)
    evidence = {
        "stage": job.stage,
        "job": job.id or None,
        "attempt": job.attempt,
        "worker": job.worker,
        "worker_state": worker.state if worker else None,
        "worker_seen_ms": worker.seen_ms if worker else None,
        "taken_ms": job.since_ms or None,
        "lease_until_ms": job.until_ms or None,
    }
    if worker is None or worker.state == "stale":
        return _takeover(facts, place, evidence, worker.seen_ms if worker else 0)
    if job.suspect:
        text = (
            f"{job.stage} was started {job.starts} times without an end, so worker {job.worker} runs it alone: it begins once "
            "nothing else runs there, or runs already."
        )
        return reason(
            WaitsFor.ALONE,
            text,
            facts,
            job.since_ms,
            {**evidence, "starts": job.starts},
            f"mousetrap show {facts.run_id}",
        )
    text = f"It does not wait: worker {job.worker} has attempt {job.attempt} of {job.stage} since {ago(facts, job.since_ms)}."
    # What a handler that is slow or hangs waits for is in its log, if anywhere.
    return reason(WaitsFor.RUNNING, text, facts, job.since_ms, evidence, f"mousetrap logs {facts.run_id}")


def _takeover(facts: Facts, place: PlaceAt, evidence: Mapping[str, object], seen_ms: int) -> Reason:
    job = place.job
    silent = f"is silent since {ago(facts, seen_ms)}" if seen_ms else "is not listed any more"
    if job.until_ms > facts.now_ms:
        when = f"once the broker delivers its message again, at the latest after {moment(job.until_ms)}"
    else:
        when = "once the broker delivers its message again"
    text = f"Worker {job.worker} took {job.stage} {ago(facts, job.since_ms)} ago and {silent}; another takes it over {when}."
    return reason(WaitsFor.TAKEOVER, text, facts, seen_ms or job.since_ms, evidence, "mousetrap workers")
