"""Gives answers of the API about letters, operations, queues and workers."""

from typing import Any

RUN = "019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b"
LETTER = "5f0c5b7e6a1d5c0e8f3a2b4c6d8e0f1a"
OPERATION = "019b1f0c6a7e4d5f8a9b0c1d2e3f4aaa"
KIND = "shop.VendorAway"


def letter_line(**more: Any) -> dict[str, Any]:
    return {
        "id": LETTER, "queue": "prices", "reason": "max-retries", "error_kind": KIND,
        "error": "the vendor answers 503", "attempts": 5, "worker": "w1", "at_ms": 1_765_000_000_000,
        "run_id": RUN, "pipeline": "orders", "stage": "price", "generation": 0, "believed": True, **more,
    }  # fmt: skip


def letter(**more: Any) -> dict[str, Any]:
    story = {"traceback": "Traceback: in price", "payload": {"number": 3}, "run": None, **more}
    return letter_line(**story)


def groups(*examples: dict[str, Any], unseen: int = 0) -> dict[str, Any]:
    found = [
        {
            **{name: it[name] for name in ("queue", "reason", "error_kind")},
            "count": 37,
            "oldest_ms": 1_765_000_000_000,
            "newest_ms": 1_765_000_060_000,
            "example": it,
        }
        for it in examples
    ]
    return {"groups": found, "seen": 37 * len(found), "unseen": unseen}


def operation(**more: Any) -> dict[str, Any]:
    return {
        "id": OPERATION, "kind": "redrive", "state": "running", "filter": {"queue": "prices"}, "rate": 10,
        "limit": None, "who": "anna", "reason": "ticket 81", "matched": 400, "done": 118, "stale": 1,
        "failed": 1, "left": 280, "failures": [{"target": LETTER, "error": "its run is gone"}],
        "created_ms": 1_765_000_000_000, "updated_ms": 1_765_000_000_000, "ended_ms": None, **more,
    }  # fmt: skip


def worker(**more: Any) -> dict[str, Any]:
    return {
        "name": "w1", "host": "h", "pid": 1, "version": "1.0", "stages": ["orders.price"], "queues": ["prices"],
        "concurrency": 4, "state": "serving", "done": 7, "failed": 1, "running": 1,
        "doing": [{"run_id": RUN, "stage": "price", "attempt": 2, "seconds": 41.0}],
        "running_by_stage": {"orders.price": 1}, "started_ms": 1_765_000_000_000, "seen_ms": 1_765_000_000_000,
        "silent": 1.0, **more,
    }  # fmt: skip


def queue(**more: Any) -> dict[str, Any]:
    return {
        "name": "prices", "stages": ["orders.price"], "missing": False, "ready": 12, "running": 4, "delayed": 2,
        "dead": 37, "consumers": 1, "workers": 1, "slots": 4, "oldest_seconds": 0.4, "out_per_minute": 310.0,
        "in_per_minute": 312.0, **more,
    }  # fmt: skip


def load(**more: Any) -> dict[str, Any]:
    return {
        "stage": "orders.price", "queue": "prices", "workers": 1, "slots": 4, "running": 4, "waiting": 12,
        "minutes": [], **more,
    }  # fmt: skip


def cluster(*stages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "workers": {"serving": 1}, "slots": 4, "running": 4, "waiting": 12, "delayed": 2, "dead": 0,
        "stages": list(stages), "unserved": [it["stage"] for it in stages if not it["workers"]], **more,
    }  # fmt: skip


def pipeline(name: str, *stages: tuple[str, str]) -> dict[str, Any]:
    """A pipeline of stages, each with its queue."""
    shown = [{"name": stage, "queue": queue, "input": {}, "output": {}} for stage, queue in stages]
    return {"name": name, "description": "", "stages": shown}
