"""Names every metric: its kind, its labels, its meaning."""

from dataclasses import dataclass
from typing import Literal

#: Upper bounds of all histograms, in seconds: those that OpenTelemetry advises, up to 10, then what long tasks need.
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
#: The label of what has no name of its own: a reason, a queue or a method that is not known.
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Name:
    """A metric. Its labels hold declared names and fixed words alone, so that no stranger can make series."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query may use."""
        if self.kind != "histogram":
            return (self.name,)
        return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))


_STAGE = ("pipeline", "stage")

ATTEMPTS = Name("mousetrap_attempts_total", "counter", "Attempts, by how they ended.", (*_STAGE, "outcome"))
ATTEMPT_SECONDS = Name("mousetrap_attempt_seconds", "histogram", "How long handlers ran.", _STAGE)
QUEUE_WAIT_SECONDS = Name(
    "mousetrap_queue_wait_seconds",
    "histogram",
    "From when a message could be delivered until its handler began.",
    _STAGE,
)
ATTEMPTS_RUNNING = Name("mousetrap_attempts_running", "gauge", "Handlers that run now.", _STAGE)
SLOTS = Name("mousetrap_slots", "gauge", "Jobs that this worker runs at once, at most.")
PREFETCHED = Name(
    "mousetrap_prefetched", "gauge", "Messages that this worker has and has not begun.", ("queue",)
)
HUNG_HANDLERS = Name(
    "mousetrap_hung_handlers", "gauge", "Handlers that were asked to stop and run all the same."
)
RUNS = Name("mousetrap_runs_total", "counter", "Runs that this process has ended.", ("pipeline", "outcome"))
RUN_SECONDS = Name(
    "mousetrap_run_seconds", "histogram", "From the accepted run to its recorded end.", ("pipeline",)
)
PUBLISHED = Name(
    "mousetrap_published_total", "counter", "Jobs that the broker took from this worker.", ("queue",)
)
DEAD_LETTERS = Name(
    "mousetrap_dead_letters_total", "counter", "Dead letters that this worker made.", ("queue", "reason")
)
CONNECTED = Name("mousetrap_connected", "gauge", "Whether it answered the last check: 1 or 0.", ("to",))
OUTAGES = Name("mousetrap_outages_total", "counter", "How often it ceased to answer the checks.", ("to",))
BROKER_BLOCKED = Name(
    "mousetrap_broker_blocked", "gauge", "Whether the broker takes no messages for lack of memory or disk."
)
HEARTBEAT_SECONDS = Name(
    "mousetrap_heartbeat_seconds", "gauge", "How long the store took for the last heartbeat."
)
LOOP_LAG_SECONDS = Name(
    "mousetrap_loop_lag_seconds", "histogram", "How late the event loop was, four times a second."
)
BUILD_INFO = Name("mousetrap_build_info", "gauge", "Always 1.", ("version", "python"))

QUEUE_READY = Name("mousetrap_queue_ready", "gauge", "Jobs that wait for a worker.", ("queue",))
QUEUE_OLDEST_SECONDS = Name(
    "mousetrap_queue_oldest_seconds", "gauge", "How long the oldest of them can have waited.", ("queue",)
)
QUEUE_DEAD = Name("mousetrap_queue_dead", "gauge", "Dead letters that are kept.", ("queue",))
QUEUE_DELAYED = Name("mousetrap_queue_delayed", "gauge", "Messages that are not due.", ("queue",))
QUEUE_CONSUMERS = Name("mousetrap_queue_consumers", "gauge", "Consumers that the broker counts.", ("queue",))
QUEUE_WORKERS = Name(
    "mousetrap_queue_workers", "gauge", "Workers that serve it, by their heartbeats.", ("queue",)
)
QUEUE_PAUSED = Name("mousetrap_queue_paused", "gauge", "Whether it is paused: 1 or 0.", ("queue",))
RUNS_OPEN = Name("mousetrap_runs_open", "gauge", "Runs that have not ended.", ("pipeline",))
WORKERS = Name("mousetrap_workers", "gauge", "Workers, by their heartbeats.", ("state",))
HTTP_REQUESTS = Name(
    "mousetrap_http_requests_total", "counter", "Requests that were answered.", ("route", "method", "status")
)
HTTP_SECONDS = Name(
    "mousetrap_http_seconds", "histogram", "From a request to the begin of its answer.", ("route", "method")
)
LIMITED = Name("mousetrap_limited_jobs", "gauge", "Jobs that wait for a limit of their stage.", ("queue",))
SCHEDULES = Name("mousetrap_schedules", "gauge", "Schedules that are kept.")
SCHEDULES_LATE = Name(
    "mousetrap_schedules_late", "gauge", "Schedules of which a tick is over ten seconds late."
)
REDRIVEN = Name(
    "mousetrap_redriven_total", "counter", "Dead letters that this server sent round again.", ("queue",)
)
WATCHERS = Name("mousetrap_watchers", "gauge", "Clients that follow runs or wait for them.")

#: What a worker has at `/metrics` of its health port.
WORKER = (
    ATTEMPTS,
    ATTEMPT_SECONDS,
    QUEUE_WAIT_SECONDS,
    ATTEMPTS_RUNNING,
    SLOTS,
    PREFETCHED,
    HUNG_HANDLERS,
    RUNS,
    RUN_SECONDS,
    PUBLISHED,
    DEAD_LETTERS,
    CONNECTED,
    OUTAGES,
    BROKER_BLOCKED,
    HEARTBEAT_SECONDS,
    LOOP_LAG_SECONDS,
    BUILD_INFO,
)
#: What the API has at `/metrics`.
API = (
    QUEUE_READY,
    QUEUE_OLDEST_SECONDS,
    QUEUE_DEAD,
    QUEUE_DELAYED,
    QUEUE_CONSUMERS,
    QUEUE_WORKERS,
    QUEUE_PAUSED,
    RUNS_OPEN,
    WORKERS,
    HTTP_REQUESTS,
    HTTP_SECONDS,
    LIMITED,
    SCHEDULES,
    SCHEDULES_LATE,
    WATCHERS,
    RUNS,
    REDRIVEN,
    CONNECTED,
    BROKER_BLOCKED,
    BUILD_INFO,
)
