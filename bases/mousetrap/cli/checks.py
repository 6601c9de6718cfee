"""Judges what the doctor found: pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from mousetrap.api_keys import ApiKeys
from mousetrap.run_store import StoreInfo
from mousetrap.shapes import Queue, Schedule, Worker
from mousetrap.submit_run import STORE_SHARE, WARN_SHARE

_MIB = 1 << 20
#: A key that ends within this time is a warning.
_SOON_S = 14 * 86_400.0


class Check(msgspec.Struct, frozen=True, rename={"advice": "mend"}):
    """One thing that was checked; `doctor --json` has always printed the advice as `mend`."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    #: What to do about it.
    advice: str = ""


def check_dead_letters(counts: Mapping[str, int], most: int) -> Check:
    """Whether dead letters will soon keep runs from being accepted; `most` is 0 for no bound."""
    counted = ", ".join(f"{queue}: {count}" for queue, count in counts.items() if count) or "none"
    if not most or all(count < WARN_SHARE * most for count in counts.values()):
        return Check("dead-letters", "ok", counted)
    found = f"{counted}; from {most} in one queue on (MOUSETRAP_DEAD_MAX_LENGTH) no run of its pipeline is accepted"
    return Check("dead-letters", "warn", found, "`mousetrap dead groups` shows why; redrive or discard them")


def check_delays(overdue: Sequence[str]) -> Check:
    """Whether each rung of the delay ladder that was tried passed its message on."""
    if not overdue:
        return Check("delays", "ok", "a message came down each short rung of the delay ladder in time")
    found = f"no message comes down from {', '.join(overdue)}: what waits there, as for its next attempt, is not lost and does not go on"
    return Check(
        "delays",
        "fail",
        found,
        "on each RabbitMQ node, one after the other: `rabbitmqctl stop_app`, then `rabbitmqctl start_app`; "
        "docs/guarantees.md has the cause",
    )


def check_api_keys(text: str, now: float) -> Check:
    """Whether a key of MOUSETRAP_API_KEYS ends soon; `now` in seconds since 1970."""
    try:
        keys = ApiKeys.parse(text)
    except ValueError as error:
        return Check(
            "keys", "fail", str(error), "correct MOUSETRAP_API_KEYS; `mousetrap keys new` makes entries"
        )
    callers = [caller for caller, _ in keys.callers.values()]
    near = [caller for caller in callers if caller.ends_s < now + _SOON_S]
    if not near:
        return Check("keys", "ok", f"{len(callers)}, and none ends within two weeks")
    found = ", ".join(
        f"{each.id} {'ends after' if each.ends_s > now else 'ended with'} {each.last_day}" for each in near
    )
    return Check("keys", "warn", found, "`mousetrap keys new` makes another; take out those that have ended")


def check_workers(queues: Iterable[str], workers: Iterable[Worker]) -> Check:
    """Whether each queue has a worker with a heartbeat; workers that became silent are named."""
    seen = tuple(workers)
    live = [worker for worker in seen if worker.state != "stale"]
    stale = ", ".join(worker.name for worker in seen if worker.state == "stale")
    silent = f"; silent: {stale}" if stale else ""
    served = {queue for worker in live for queue in worker.queues}
    if missing := [queue for queue in queues if queue not in served]:
        found = f"none serves {', '.join(missing)}{silent}"
        return Check("workers", "warn", found, "start one (`mousetrap worker TARGET`), or restart the silent")
    return Check("workers", "ok", f"{len(live)} live, every queue is served{silent}")


def check_paused(queues: Iterable[Queue], schedules: Iterable[Schedule]) -> Check:
    """Whether something was paused by a person: it stays so until it is resumed, and looks like a fault to others."""
    pauses = [
        *((f"queue {it.name}", it.paused.who, it.paused.why) for it in queues if it.paused),
        *((f"schedule {it.name}", it.paused.who, it.paused.why) for it in schedules if it.paused),
    ]
    if not pauses:
        return Check("paused", "ok", "no queue and no schedule")
    found = ", ".join(f"{what} by {who}{f' ({why})' if why else ''}" for what, who, why in pauses)
    return Check(
        "paused", "warn", found, "`mousetrap queues resume QUEUE` or `mousetrap schedules resume NAME`"
    )


def check_store_info(info: StoreInfo) -> Iterator[Check]:
    """Whether the store may lose what it was given."""
    if info.policy == "noeviction":
        yield Check("eviction", "ok", "the store forgets nothing to make room")
    else:
        found = f"maxmemory-policy is {info.policy or 'not known'}: a full store may forget runs"
        yield Check(
            "eviction",
            "fail" if info.policy else "warn",
            found,
            "set maxmemory-policy noeviction on the server",
        )
    yield from _check_memory(info)
    if info.appends:
        yield Check("persistence", "ok", "each write goes to the append-only file")
    else:
        kept = (
            "writes are kept by snapshots alone"
            if info.snapshots
            else "no write is kept on disk"
            if info.snapshots == ""
            else "it is not known how the store keeps writes"
        )
        found = f"{kept}: a restart of the store may lose runs"
        yield Check("persistence", "warn", found, "set appendonly yes on the server")
    if not info.compares:
        found = (
            f"{info.server} lacks SET … IFEQ: it records each outcome by a function, which takes it longer"
        )
        yield Check("commands", "warn", found, "use Valkey 8.1 or Redis 8.4, or later")
    if info.cluster:
        found = f"the weakest of {info.cluster} servers is shown; stages with a lock are refused"
        yield Check("cluster", "ok", found)


def _check_memory(info: StoreInfo) -> Iterator[Check]:
    """No check where there is no bound, or it is not known."""
    if not info.max_bytes or info.used_bytes is None:
        return
    share = info.used_bytes / info.max_bytes
    found = f"{share:.0%} of the {info.max_bytes / _MIB:,.0f} MiB are used that the store may take"
    if share < WARN_SHARE:
        yield Check("memory", "ok", found)
    else:
        advice = "raise maxmemory (MOUSETRAP_EMBEDDED_MAX_BYTES under `mousetrap up`), or lower MOUSETRAP_RETENTION_SECONDS"
        yield Check("memory", "warn", f"{found}; from {STORE_SHARE:.0%} on no run is accepted", advice)
