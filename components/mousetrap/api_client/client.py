"""Sends requests to the API; its problems become errors for people."""

import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
import msgspec

from mousetrap.api_client.credentials import authorization, may_use_proxy
from mousetrap.api_client.errors import Misused, Unreachable
from mousetrap.api_client.event_stream import EventReader, lines_of
from mousetrap.api_client.filters import JobFilter, LetterFilter, RunFilter, without_empty
from mousetrap.api_client.problems import check_response
from mousetrap.api_client.reply import Reply, decoded
from mousetrap.api_client.schedules import SchedulesApi
from mousetrap.api_client.starts import BatchReply, StartOptions
from mousetrap.shapes import (
    Accepted,
    AuditPage,
    Discarded,
    Event,
    JobPage,
    Letter,
    LetterGroups,
    LetterPage,
    Limit,
    LogPage,
    Operation,
    OperationPage,
    Pipeline,
    Progress,
    Published,
    Queue,
    QueuePause,
    Redriven,
    Run,
    RunPage,
    Stage,
    Waiting,
    Worker,
    WorkerAsked,
)

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TIMEOUT_S = 10.0
#: Without a byte for so long, a stream of events is lost: the API sends something more often.
_EVENTS_TIMEOUT_S = 60.0
#: For the answers to a batch.
_BATCH_TIMEOUT_S = 120.0
#: Characters of a reason that the API takes.
_MAX_REASON = 255
#: A request about dead letters reads all of them.
_LETTERS_TIMEOUT_S = 60.0


_NO_OPTIONS = StartOptions()


class Api:
    """A connection to the API. Methods raise Misused for what it refuses, Unreachable when it is away or not ready."""

    def __init__(self, url: str, key: str = "", *, why: str = "") -> None:
        self.url = url.rstrip("/")
        address = _checked(self.url)
        self._client = httpx.Client(
            base_url=address,
            verify=_trusted(address),
            headers={**authorization(self.url, key), **_reason(why)},
            timeout=_TIMEOUT_S,
            trust_env=may_use_proxy(self.url, key),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ready(self) -> None:
        """Returns if the API, its broker and its store are ready."""
        self._request("GET", "/health/ready")

    def stages(self, pipeline: str) -> tuple[Stage, ...]:
        """A pipeline's stages, in their order; none where it is not known."""
        known = self.pipelines().value
        return tuple(stage for one in known if one.name == pipeline for stage in one.stages)

    def pipelines(self) -> Reply[tuple[Pipeline, ...]]:
        """All pipelines that runs can be started of."""
        return Reply(self._request("GET", "/pipelines"), tuple[Pipeline, ...])

    def pipeline(self, name: str) -> Reply[Pipeline]:
        """One pipeline."""
        return Reply(self._request("GET", f"/pipelines/{_segment(name)}"), Pipeline)

    def start(self, pipeline: str, body: bytes, options: StartOptions = _NO_OPTIONS) -> Reply[Accepted]:
        """Starts a run."""
        path = f"/pipelines/{_segment(pipeline)}/runs"
        reply = self._request(
            "POST", path, content=body, headers=_headers(options.unique), params=options.params()
        )
        return Reply(reply, Accepted)

    def publish(self, topic: str, body: bytes, options: StartOptions = _NO_OPTIONS) -> Reply[Published]:
        """Starts a run of each pipeline that takes the topic."""
        reply = self._request(
            "POST",
            f"/topics/{_segment(topic)}",
            content=body,
            headers=_headers(options.unique),
            params=options.params(),
        )
        return Reply(reply, Published)

    def start_many(self, pipeline: str, lines: bytes) -> Sequence[BatchReply]:
        """Starts a run for each of the lines, at most ten thousand: what became of each, in order.

        A line is JSON: `{"input": …}` with the options of a single run beside it.
        """
        path = f"/pipelines/{_segment(pipeline)}/batch"
        headers = {"Content-Type": "application/x-ndjson"}
        reply = self._request("POST", path, content=lines, headers=headers, timeout=_BATCH_TIMEOUT_S)
        return [BatchReply.read(line) for line in reply.splitlines()]

    def cancel(self, run_id: str) -> str:
        """Cancels the run, and returns its id."""
        self._request("DELETE", _run_path(run_id))
        return run_id

    def rerun(
        self, run_id: str, begin: str, body: bytes | None, *, key: str | None = None
    ) -> Reply[Accepted]:
        """Repeats the run from the stage `begin` on, with another input where given."""
        content = msgspec.json.encode({"from": begin, **_with_input(body)})
        path = f"{_run_path(run_id)}/rerun"
        return Reply(self._request("POST", path, content=content, headers=_headers(key)), Accepted)

    def run(self, run_id: str) -> Reply[Run]:
        """The run with its timeline."""
        return Reply(self._request("GET", _run_path(run_id)), Run)

    def waiting(self, run_id: str) -> Reply[Waiting]:
        """Why the run waits."""
        return Reply(self._request("GET", f"{_run_path(run_id)}/waiting"), Waiting)

    def jobs(self, run_id: str, jobs: JobFilter, *, limit: int = 50) -> Reply[JobPage]:
        """A page of the run's jobs, with those of fan-outs among them."""
        return Reply(
            self._request("GET", f"{_run_path(run_id)}/jobs", params={**jobs.params(), "limit": limit}),
            JobPage,
        )

    def logs(self, run_id: str, *, level: str = "DEBUG", after: int = 0, limit: int = 200) -> Reply[LogPage]:
        """Lines that are kept of the run, those that follow the one with the number `after`."""
        params = {"level": level, "after": str(after), "limit": str(limit)}
        return Reply(self._request("GET", f"{_run_path(run_id)}/logs", params=params), LogPage)

    def job(self, run_id: str, stage: str) -> bytes:
        """The job that the run had at a stage (its name, `start` or `failed`), as its message carried it."""
        return self._request("GET", f"{_run_path(run_id)}/jobs/{_segment(stage)}")

    def runs(
        self, runs: RunFilter | None = None, *, limit: int = 20, after: str | None = None
    ) -> Reply[RunPage]:
        """A page of the selected runs, newest first."""
        params = {
            **(runs.params() if runs else {}),
            "limit": str(limit),
            **({"after": after} if after else {}),
        }
        return Reply(self._request("GET", "/runs", params=params), RunPage)

    def queues(self) -> Reply[tuple[Queue, ...]]:
        """All queues, with what waits in them."""
        return Reply(self._request("GET", "/queues"), tuple[Queue, ...])

    def limits(self, pipeline: str | None = None) -> Reply[tuple[Limit, ...]]:
        """The limits of stages, of all pipelines or of one: who holds them, and how many wait."""
        params = {} if pipeline is None else {"pipeline": pipeline}
        return Reply(self._request("GET", "/limits", params=params), tuple[Limit, ...])

    def workers(self) -> Reply[tuple[Worker, ...]]:
        """All workers, with what they run."""
        return Reply(self._request("GET", "/workers"), tuple[Worker, ...])

    def pause_queue(self, name: str) -> Reply[QueuePause]:
        """Pauses a queue."""
        return Reply(self._request("POST", f"/queues/{_segment(name)}/pause"), QueuePause)

    def resume_queue(self, name: str) -> Reply[QueuePause]:
        """Ends a queue's pause."""
        return Reply(self._request("POST", f"/queues/{_segment(name)}/resume"), QueuePause)

    def drain_worker(self, name: str) -> Reply[WorkerAsked]:
        """Has a worker finish what runs and take nothing new."""
        return Reply(self._request("POST", f"/workers/{_segment(name)}/drain"), WorkerAsked)

    def stop_worker(self, name: str) -> Reply[WorkerAsked]:
        """Has a worker drain and end."""
        return Reply(self._request("POST", f"/workers/{_segment(name)}/stop"), WorkerAsked)

    def resume_worker(self, name: str) -> Reply[WorkerAsked]:
        """Has a worker that drains take jobs again."""
        return Reply(self._request("POST", f"/workers/{_segment(name)}/resume"), WorkerAsked)

    def audit(
        self, act: str | None = None, who: str | None = None, *, limit: int = 20, after: str | None = None
    ) -> Reply[AuditPage]:
        """A page of the audit trail, newest first."""
        params = without_empty({"act": act, "who": who, "limit": str(limit), "after": after})
        return Reply(self._request("GET", "/audit", params=params), AuditPage)

    def letters(self, letters: LetterFilter, *, limit: int) -> Reply[LetterPage]:
        """The selected dead letters, newest first."""
        return Reply(self._letters("GET", "/dead", params={**letters.params(), "limit": limit}), LetterPage)

    def letter_groups(self, letters: LetterFilter) -> Reply[LetterGroups]:
        """The selected dead letters, counted by queue, reason and error."""
        return Reply(self._letters("GET", "/dead/groups", params=letters.params()), LetterGroups)

    def letter(self, queue: str, letter_id: str) -> Reply[Letter]:
        """A dead letter with its payload, its traceback and its run."""
        return Reply(self._letters("GET", _letter_path(queue, letter_id)), Letter)

    def redrive(self, letters: LetterFilter, *, rate: float) -> Reply[Operation]:
        """Begins to redrive the selected dead letters, at most `rate` a second."""
        return Reply(self._repair("/dead/redrive", {**letters.params(), "rate": rate}), Operation)

    def cancel_runs(self, runs: RunFilter, **how: Any) -> Reply[Operation]:
        """Begins to cancel the selected runs; `how`: all, limit, rate."""
        return Reply(self._repair("/runs/cancel", {**runs.conditions(), **without_empty(how)}), Operation)

    def rerun_runs(
        self, runs: RunFilter, begin: str, *, key: str | None = None, **how: Any
    ) -> Reply[Operation]:
        """Begins to repeat the selected runs, each from the stage `begin` on; `how`: all, limit, rate."""
        content = msgspec.json.encode({**runs.conditions(), **without_empty(how), "from": begin})
        return Reply(self._request("POST", "/runs/rerun", content=content, headers=_headers(key)), Operation)

    def operations(
        self, state: str | None = None, *, limit: int = 20, after: str | None = None
    ) -> Reply[OperationPage]:
        """A page of operations, newest first."""
        params = without_empty({"state": state, "limit": str(limit), "after": after})
        return Reply(self._request("GET", "/operations", params=params), OperationPage)

    def operation(self, operation_id: str) -> Reply[Operation]:
        """One operation."""
        return Reply(self._request("GET", f"/operations/{_segment(operation_id)}"), Operation)

    def stop_operation(self, operation_id: str) -> Reply[Operation]:
        """Stops an operation."""
        return Reply(self._request("POST", f"/operations/{_segment(operation_id)}/stop"), Operation)

    @property
    def schedules(self) -> SchedulesApi:
        """What is about schedules."""
        return SchedulesApi(self._request)

    def discard(self, letters: LetterFilter, *, limit: int) -> Discarded:
        """Discards selected dead letters, at most `limit`."""
        return decoded(self._repair("/dead/discard", {**letters.params(), "limit": limit}), Discarded)

    def redrive_edited(self, queue: str, letter_id: str, body: bytes) -> Redriven:
        """Redrives one dead letter with another input."""
        return decoded(self._repair(f"{_letter_path(queue, letter_id)}/redrive", _with_input(body)), Redriven)

    def export(self, letters: LetterFilter) -> Iterator[bytes]:
        """The selected dead letters, complete, one line of JSON each."""
        params, timeout = letters.params(), httpx.Timeout(_LETTERS_TIMEOUT_S)
        with self._streamed("/dead/export", params=params, timeout=timeout) as parts:
            yield from lines_of(parts)

    def events(self, run_id: str, after: str) -> Iterator[Event | Progress]:
        """The run's events after the one with the id `after`, until the connection ends."""
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
        timeout = httpx.Timeout(_TIMEOUT_S, read=_EVENTS_TIMEOUT_S)
        with self._streamed(f"{_run_path(run_id)}/events", headers=headers, timeout=timeout) as parts:
            reader = EventReader()
            for kind, data in (event for part in parts for event in reader.feed(part)):
                yield decoded(data, Progress) if kind == "progress" else decoded(data, Event)

    def _repair(self, path: str, fields: Mapping[str, Any]) -> bytes:
        return self._letters("POST", path, content=msgspec.json.encode(fields))

    def _letters(self, method: str, path: str, **options: Any) -> bytes:
        return self._request(method, path, **options, timeout=_LETTERS_TIMEOUT_S)

    def _request(self, method: str, path: str, **options: Any) -> bytes:
        with self._errors():
            response = self._client.request(method, path, **options)
        check_response(response)
        return response.content

    @contextmanager
    def _streamed(self, path: str, **options: Any) -> Iterator[Iterator[bytes]]:
        with self._errors(), self._client.stream("GET", path, **options) as response:
            if response.is_error:
                response.read()
            check_response(response)
            yield response.iter_bytes()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise Unreachable(
                f"cannot reach the API at {self.url}: start it with `mousetrap up`, "
                f"or name another in MOUSETRAP_API_URL ({str(error) or type(error).__name__})"
            ) from error


def _headers(key: str | None) -> dict[str, str]:
    if key and not (key.isascii() and key.isprintable()):
        raise Misused("--key: an idempotency key has printable ASCII characters alone")
    return {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}


def _reason(why: str) -> dict[str, str]:
    if why and not (why.isascii() and why.isprintable() and len(why) <= _MAX_REASON):
        raise Misused(f"--why: a reason has at most {_MAX_REASON} printable ASCII characters")
    return {"Mousetrap-Reason": why} if why else {}


def _with_input(body: bytes | None) -> dict[str, msgspec.Raw]:
    return {} if body is None else {"input": msgspec.Raw(body)}


def _letter_path(queue: str, letter_id: str) -> str:
    return f"/dead/{_segment(queue)}/{_segment(letter_id)}"


def _run_path(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise Misused(f"{run_id} is no run's id: that has 1 to 64 characters of A-Z, a-z, 0-9, _ and -")
    return f"/runs/{run_id}"


def _segment(text: str) -> str:
    """A part of a path; a client takes the dots in `..` for the folder above."""
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


def _checked(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Misused(f"MOUSETRAP_API_URL is {url}, which is no address: {error}") from error


def _trusted(address: httpx.URL) -> ssl.SSLContext | bool:
    """Whom TLS trusts. Without TLS no one: loading the authorities costs each command 25 ms."""
    return True if address.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
