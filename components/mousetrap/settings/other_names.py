"""Names our settings for those of other task queues."""

from collections.abc import Iterator, Mapping

_POLICY = "`retry=RetryPolicy(attempts=…)` of a task"

#: By a name of theirs, in upper case, what it is here.
OTHER_NAMES: Mapping[str, str] = {
    "BROKER_DSN": "MOUSETRAP_BROKER_URL",
    "BROKER_TYPE": "MOUSETRAP_BROKER_URL, whose scheme is the kind",
    "CELERY_BROKER_URL": "MOUSETRAP_CELERY_URL",
    "CELERY_RESULT_BACKEND": "MOUSETRAP_STORE_URL",
    "RESULT_BACKEND": "MOUSETRAP_STORE_URL",
    "REDIS_DSN": "MOUSETRAP_STORE_URL",
    "REDIS_URL": "MOUSETRAP_STORE_URL",
    "PERSISTENT_MANAGER": "MOUSETRAP_STORE_URL",
    "MAX_RUNNING_TASKS": "MOUSETRAP_CONCURRENCY",
    "WORKER_CONCURRENCY": "MOUSETRAP_CONCURRENCY",
    "WORKER_NUMBER": "`mousetrap worker --processes`",
    "WORKER_PREFETCH_MULTIPLIER": "MOUSETRAP_PREFETCH, which counts jobs",
    "QUEUE_FETCH_LIMIT": "MOUSETRAP_PREFETCH",
    "AUTO_KILL_TIMEOUT": "MOUSETRAP_AUTO_KILL_SECONDS",
    "WATCHDOG_TIMEOUT_MINUTES": "MOUSETRAP_AUTO_KILL_SECONDS",
    "HEALTH_CHECK_INTERVAL": "MOUSETRAP_HEALTH_LINE_SECONDS",
    "HEARTBEAT": "MOUSETRAP_HEARTBEAT_SECONDS",
    "STATE_TTL": "MOUSETRAP_RETENTION_SECONDS",
    "RESULT_EXPIRES": "MOUSETRAP_RETENTION_SECONDS",
    "ERRORED_TTL_MS": "MOUSETRAP_DEAD_MAX_AGE_SECONDS",
    "MAX_TASK_RETRIES": _POLICY,
    "MAX_RETRIES": _POLICY,
    "DELAYED_TTL_MS": "`retry=RetryPolicy(base=…)` of a task",
    "METRICS_ENABLED": "MOUSETRAP_METRICS",
    "ENABLE_DEAD_LETTER_QUEUE": "nothing: every queue has one",
    "WORKER_KEY": "MOUSETRAP_SIGNING_KEYS",
    "BACKEND_FOLDER": "MOUSETRAP_MODULES",
    "ENABLE_AUTO_TASK_DISCOVERY": "MOUSETRAP_MODULES",
}
#: Those that no other program is likely to read.
_UNMISTAKABLE = ("BROKER_DSN", "CELERY_BROKER_URL", "MAX_RUNNING_TASKS", "AUTO_KILL_TIMEOUT", "WORKER_KEY")


def hint_of(name: str) -> str:
    """What a setting of that name is here, as the end of a sentence; empty for one that is not known."""
    found = OTHER_NAMES.get(name.upper())
    return f": here it is {found}" if found else ""


def unread_names(environ: Mapping[str, str]) -> Iterator[str]:
    """A line for each variable of another task queue that has a counterpart of ours, where that is not given."""
    for name in _UNMISTAKABLE:
        ours = OTHER_NAMES[name]
        if environ.get(name) and ours not in environ and f"{ours}_FILE" not in environ:
            yield f"{name} is set, and not read: here it is {ours}"
