"""The engine's settings, with their defaults and bounds."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from mousetrap.settings.addresses import (
    check_amqp,
    check_bucket,
    check_host,
    check_networks,
    check_scheme,
    check_store,
    check_trace_url,
    check_valkey,
    check_web,
)
from mousetrap.settings.groups import Group, SettingsGroup
from mousetrap.signing import Keyring

_BROKERS = ("amqp", "amqps", "valkey", "valkeys", "redis", "rediss")
_STORES = (*_BROKERS[2:], "unix")

#: The value of MOUSETRAP_SIGNING_KEYS where nothing is to be signed.
OFF = "off"

#: Why a process does not start that is asked for metrics.
MISSING_METRICS = (
    "MOUSETRAP_METRICS: the package prometheus-client is not installed here: pip install 'prometheus-client>=0.26,<1', "
    "or the `metrics` extra of what you installed"
)

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
#: For calls over a network, which take longer than a shorter time would allow.
NetworkSeconds = Annotated[float, Meta(ge=0.1, le=86_400)]


class EngineSettings(SettingsGroup, frozen=True, kw_only=True):
    """Each field is the variable MOUSETRAP_<FIELD>; a secret can come from the file that MOUSETRAP_<FIELD>_FILE names."""

    #: Where the queues are: amqp(s)://user:password@host:port/vhost, or the embedded valkey://host:port/db.
    broker_url: str = "valkey://127.0.0.1:6379/0"
    #: Where the state of runs is.
    store_url: str = "valkey://127.0.0.1:6379/0"
    #: id:secret, the signing key first; not given or `off`, messages and records are neither signed nor verified.
    signing_keys: str = ""
    #: A file of certificate authorities for TLS to broker and store; empty means the system's.
    tls_ca: str = ""
    #: A client certificate and its key, where broker or store require one.
    tls_certificate: str = ""
    tls_key: str = ""
    #: Whether this process declares its queues; if not, it waits until `mousetrap migrate` has declared them.
    declare: bool = True
    queue_type: Literal["quorum", "classic"] = "quorum"
    #: Messages that wait in a stage's queue before it refuses more.
    queue_max_length: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 1_000_000
    #: Bytes of bodies that wait in a stage's queue before it refuses more; 0 for no bound.
    queue_max_bytes: Annotated[int, Meta(ge=0, le=1_000_000_000_000_000)] = 4_294_967_296
    #: Dead letters in one queue from which on no run of its pipeline is accepted; 0 for no bound.
    dead_max_length: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 100_000
    #: After which the API discards a dead letter; 0 means never.
    dead_max_age_seconds: Annotated[float, Meta(ge=0, le=3_155_760_000)] = 0.0
    #: RabbitMQ and the client each drop a connection after two heartbeats without data.
    heartbeat_seconds: Annotated[int, Meta(ge=1, le=3_600)] = 15
    #: Longest wait for the broker to confirm a message; the API waits at most 1.5 s of it.
    confirm_seconds: NetworkSeconds = 10.0

    #: Bytes of memory that the embedded server may take; 0 means half of what the machine has.
    embedded_max_bytes: Annotated[int, Meta(ge=0, le=1_000_000_000_000_000)] = 0

    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Meta(ge=0, le=65_535)] = 8000
    #: id:scopes:sha256 of each key, several separated by commas or line ends; `mousetrap keys new` makes them.
    api_keys: str = ""
    #: Bytes; a larger request body is refused.
    api_max_body: Annotated[int, Meta(ge=1, le=8_388_608)] = 1_048_576
    #: Open connections of the API; one more closes the one that has been idle longest.
    api_max_connections: Annotated[int, Meta(ge=8, le=1_000_000)] = 4_000
    #: Requests a second that a key may make, or without keys an address; twice as many at once; 0 for any number.
    api_rate: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    #: Addresses and networks, separated by commas, whose X-Forwarded-For and -Proto are believed; empty means none.
    trusted_proxies: str = ""
    #: Whether the API serves the dashboard, at /ui.
    ui: bool = True
    #: The API that the command line calls, and its key.
    api_url: str = "http://127.0.0.1:8000"
    api_key: str = ""

    #: The database whose outbox `mousetrap outbox` relays: sqlite:///FILE or postgresql://…
    outbox_url: str = ""
    #: The broker that Celery's clients and workers use, for `mousetrap celery` and `celery_task`; empty means the broker of the queues.
    celery_url: str = ""
    #: What `mousetrap worker` and `mousetrap up` load where no target is given: files, folders, modules, packages and
    #: module:object, separated by commas.
    modules: str = ""
    #: Jobs that a worker runs at once.
    concurrency: Annotated[int, Meta(ge=1, le=10_000)] = 10
    #: Up to so many at once while jobs wait for a slot; 0 for never more than the concurrency.
    concurrency_most: Annotated[int, Meta(ge=0, le=10_000)] = 0
    #: Jobs that a worker holds, running or waiting to; 0 means twice the concurrency.
    prefetch: Annotated[int, Meta(ge=0, le=20_000)] = 0
    #: How long a worker that was asked to stop may finish what it runs.
    grace_seconds: Seconds = 25.0
    #: How long a claim on a job is valid; it is renewed while the job runs.
    lease_seconds: NetworkSeconds = 30.0
    #: How long a worker's event loop may be blocked, or a handler continue that was asked to stop, before the worker ends.
    auto_kill_seconds: Annotated[float, Meta(ge=2, le=86_400)] = 60.0
    #: The address of a worker's health endpoint; no port means none, and 0 a free one.
    health_host: str = "127.0.0.1"
    health_port: str = ""
    #: Whether the API and each worker that has a health port count for Prometheus, at `/metrics`.
    metrics: bool = False
    #: Between two log lines with a worker's counts.
    health_line_seconds: NetworkSeconds = 60.0
    #: How long a run is kept after its last change.
    retention_seconds: Annotated[float, Meta(ge=60, le=3_155_760_000)] = 7 * 86_400.0
    #: Bytes; a stage's output is kept for re-runs unless it is larger.
    keep_output_bytes: Annotated[int, Meta(ge=0, le=8_388_608)] = 65_536
    #: Where payloads are that are too large for a message: empty for the store, file:///folder, or s3://bucket/prefix.
    payload_url: str = ""
    #: Bytes of a payload that is still a part of its message.
    payload_inline_bytes: Annotated[int, Meta(ge=0, le=8_388_608)] = 65_536
    #: Bytes of a payload.
    payload_max_bytes: Annotated[int, Meta(ge=1, le=1_099_511_627_776)] = 268_435_456
    #: Children that the fan-outs of one run may have.
    fan_most: Annotated[int, Meta(ge=1, le=10_000_000)] = 100_000

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
    #: Where a trace is shown: an address with {trace_id} in it; empty for no link.
    trace_url: str = ""
    #: From which level up the lines that handlers cause are kept with their runs, for a day at most.
    run_logs: Literal["OFF", "DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


def check_broker(url: str) -> None:
    check_scheme(url, _BROKERS)
    (check_amqp if url.startswith("amqp") else check_valkey)(url)


def _check_store(url: str) -> None:
    check_scheme(url, _STORES)
    check_store(url)


def _check_payloads(url: str) -> None:
    if url.startswith("s3://"):
        check_bucket(url)
    elif url and not (url.startswith("file:///") and url.rstrip("/") != "file:"):
        raise ValueError("write file:///folder, s3://bucket/prefix, or nothing to keep payloads in the store")


def _check_celery(url: str) -> None:
    if url:
        check_scheme(url, _BROKERS[:2])
        check_amqp(url)


def _check_port(text: str) -> None:
    if text and not (text.isdecimal() and len(text) <= 5 and int(text) <= 65_535):
        raise ValueError("write a port up to 65535, 0 for a free one, or nothing to listen nowhere")


def _check_file(path: str) -> None:
    try:
        there = not path or Path(path).is_file()
    except OSError:  # as a name that is too long
        there = False
    if not there:
        raise ValueError(f"there is no file {path}")


def _check_signing_keys(text: str) -> None:
    if text != OFF and not Keyring.parse(text).keys:
        raise ValueError(
            f"it holds no key: write id:secret, as `mousetrap keys signing` prints it, or `{OFF}` to sign nothing"
        )


def _check_api_keys(text: str) -> None:
    if text and not text.replace(",", "").strip():
        raise ValueError("it holds no key: write an entry as `mousetrap keys new` prints it")


def _check_api_key(text: str) -> None:
    if not all("!" <= each <= "~" for each in text):
        raise ValueError("it holds a character that no key has: write it as `mousetrap keys new` prints it")


ENGINE = Group(
    prefix="",
    values=EngineSettings,
    lists=frozenset(("signing_keys", "api_keys")),
    checks={
        "broker_url": check_broker,
        "store_url": _check_store,
        "celery_url": _check_celery,
        "payload_url": _check_payloads,
        "signing_keys": _check_signing_keys,
        "api_host": check_host,
        "api_keys": _check_api_keys,
        "trusted_proxies": check_networks,
        "api_url": check_web,
        "trace_url": check_trace_url,
        "api_key": _check_api_key,
        "health_host": check_host,
        "health_port": _check_port,
        "tls_ca": _check_file,
        "tls_certificate": _check_file,
        "tls_key": _check_file,
    },
)
