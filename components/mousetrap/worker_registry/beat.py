"""What a worker says of itself every few seconds, and what can be told from it later: pure."""

from typing import Literal

import msgspec

#: Seconds between two beats of a worker.
BEAT_SECONDS = 5.0
#: Seconds without one, after which a worker counts as stale: three went missing.
_STALE = 3 * BEAT_SECONDS

#: `waiting` is for the broker; `stuck` means that a handler does not stop; `stale` is not said by a worker but seen of it.
State = Literal["starting", "serving", "draining", "waiting", "stuck", "stale"]


class Doing(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt under way."""

    run_id: str
    stage: str
    attempt: int
    #: How long it had been so when the beat was sent.
    seconds: float


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is and does at this moment."""

    name: str
    host: str
    pid: int
    version: str
    stages: tuple[str, ...]
    queues: tuple[str, ...]
    concurrency: int
    state: State
    #: Attempts since it started: those that went well, and those that did not.
    done: int
    failed: int
    #: Attempts under way, and the oldest hundred of them.
    running: int
    doing: tuple[Doing, ...]


class WorkerSeen(Beat, frozen=True, kw_only=True):
    """A worker by its last beat; times are milliseconds since 1970, by the store's clock."""

    started_ms: int
    seen_ms: int
    #: Seconds since that beat.
    silent: float


def read_worker(said: bytes, *, started_ms: int, seen_ms: int, now_ms: int) -> WorkerSeen | None:
    """What its last beat, the JSON `said`, tells of a worker at the time `now_ms`; None for one that cannot be read."""
    try:
        beat = msgspec.json.decode(said, type=Beat)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # A beat from the future is of before the clock was set back: who lives beats again within seconds.
    silent = abs(now_ms - seen_ms) / 1000
    return WorkerSeen(
        **{**msgspec.structs.asdict(beat), "state": "stale" if silent > _STALE else beat.state},
        started_ms=started_ms,
        seen_ms=seen_ms,
        silent=silent,
    )
