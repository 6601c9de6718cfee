"""Starts and follows runs over HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from mousetrap.api_client import EventReader, Misused, authorization, may_use_proxy, read_problem
from mousetrap.blobs import has_files
from mousetrap.client.backend import Backend, Begun, JobsWanted, Message, Repetition, Submission
from mousetrap.client.http_batch import answers_of, batches_of, without_an_answer
from mousetrap.client.http_errors import error_of
from mousetrap.jobs import DEFAULT_PRIORITY, PublishUnconfirmed, StoreUnreachable
from mousetrap.pipeline import ContractBroken
from mousetrap.settings import Settings, SettingsWrong
from mousetrap.shapes import Accepted as AcceptedShape
from mousetrap.shapes import Cancelled, Event, JobPage, Progress, Published, Run, RunState
from mousetrap.submit_run import Accepted, Gate, StartOptions

Value = TypeVar("Value")

_TIMEOUT_S = 10.0
#: For the answers to a batch.
_BATCH_TIMEOUT_S = 120.0
#: Without a byte for so long, a stream of events is lost: the API sends something more often.
_EVENTS_TIMEOUT_S = 60.0
#: The longest wait that the API takes in one request, and the pause after one that ended early.
_WAIT_S, _EARLY_PAUSE_S = 60.0, 0.5
#: Each run that is waited for has a connection while it is.
_LIMITS = httpx.Limits(max_connections=1_000, max_keepalive_connections=20)


@asynccontextmanager
async def open_http(settings: Settings) -> AsyncIterator[Backend]:
    """The backend over the settings' API, which need not be reachable yet. Raises SettingsWrong for a key sent in the clear."""
    url = settings.api_url.rstrip("/")
    try:
        headers = authorization(url, settings.api_key)
    except Misused as error:
        raise SettingsWrong(str(error)) from None
    # More requests than connections wait for one, as long as it takes.
    timeout = httpx.Timeout(_TIMEOUT_S, pool=None)
    trust_env = may_use_proxy(url, settings.api_key)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=timeout, limits=_LIMITS, trust_env=trust_env
    ) as client:
        yield Http(client, url)


class Http:
    """Backend over the API."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url

    async def start(self, submission: Submission) -> Accepted:
        _check_files(submission.input)
        options = submission.options
        path = f"/pipelines/{_segment(submission.pipeline)}/runs"
        params = {**_params(options), **({} if options.id is None else {"run_id": options.id})}
        return await self._accepted(path, submission.input, options.unique, params=params)

    async def start_many(self, submissions: Sequence[Submission]) -> Sequence[Accepted | Exception]:
        results: list[Accepted | Exception] = [
            _no_files() if has_files(each.input) else without_an_answer() for each in submissions
        ]
        sent = [place for place, each in enumerate(submissions) if not has_files(each.input)]
        gate = Gate()
        for batch in batches_of([submissions[place] for place in sent]):
            answered = await gate.run(partial(self._start_batch, batch.pipeline, batch.body))
            if isinstance(answered, Exception):
                answered = dict.fromkeys(range(1, len(batch.places) + 1), answered)
            for line, place in enumerate(batch.places, start=1):
                results[sent[place]] = answered.get(line, results[sent[place]])
        return results

    async def publish(self, message: Message) -> Sequence[Begun]:
        _check_files(message.input)
        options = message.options
        response = await self._send(
            "POST",
            f"/topics/{_segment(message.topic)}",
            content=message.input,
            headers={"Idempotency-Key": options.unique or ""},
            params=_params(options),
        )
        published = _decoded(self._checked(response, ""), Published)
        return [Begun(it.pipeline, Accepted(it.run_id, it.new)) for it in published.runs]

    async def get(self, run_id: str) -> Run:
        return await self._run(run_id)

    async def cancel(self, run_id: str) -> RunState:
        response = await self._send("DELETE", _run_path(run_id))
        problem = read_problem(response.content)
        if problem.kind == "run-ended":
            return RunState(problem.state)
        return _decoded(self._checked(response, run_id), Cancelled).state

    async def rerun(self, repetition: Repetition) -> Accepted:
        _check_files(repetition.input or b"")
        given = {} if repetition.input is None else {"input": msgspec.Raw(repetition.input)}
        body = msgspec.json.encode({"from": repetition.begin, **given})
        path = f"{_run_path(repetition.run_id)}/rerun"
        return await self._accepted(path, body, repetition.unique, run_id=repetition.run_id)

    async def jobs(self, wanted: JobsWanted) -> JobPage:
        given = {"stage": wanted.stage, "state": wanted.state, "after": wanted.after, "limit": wanted.limit}
        params = {name: value for name, value in given.items() if value is not None}
        response = await self._send("GET", f"{_run_path(wanted.run_id)}/jobs", params=params)
        return _decoded(self._checked(response, wanted.run_id), JobPage)

    async def events(self, run_id: str, after: str) -> AsyncIterator[Event | Progress]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": after}
        timeout = httpx.Timeout(_TIMEOUT_S, read=_EVENTS_TIMEOUT_S)
        path, reader = f"{_run_path(run_id)}/events", EventReader()
        try:
            async with self._client.stream("GET", path, headers=headers, timeout=timeout) as response:
                if not response.is_success:
                    await response.aread()
                    self._checked(response, run_id)
                async for part in response.aiter_bytes():
                    for kind, data in reader.feed(part):
                        yield _decoded(data, Progress) if kind == "progress" else _decoded(data, Event)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    async def wait_ended(self, run_id: str, within: float | None) -> Run | None:
        deadline = None if within is None else time.monotonic() + within
        while True:
            left = _WAIT_S if deadline is None else min(_WAIT_S, deadline - time.monotonic())
            asked = time.monotonic()
            run = await self._run(run_id, wait=max(left, 0.0))
            if run.state.ended:
                return run
            if deadline is not None and time.monotonic() >= deadline:
                return None
            if time.monotonic() - asked < left - _EARLY_PAUSE_S:  # the server stops
                await asyncio.sleep(_EARLY_PAUSE_S)

    async def _run(self, run_id: str, wait: float = 0.0) -> Run:
        params = {"wait": f"{wait:.3f}"} if wait >= 0.001 else {}
        timeout = httpx.Timeout(_TIMEOUT_S, read=_TIMEOUT_S + wait, pool=None)
        response = await self._send("GET", _run_path(run_id), params=params, timeout=timeout)
        return _decoded(self._checked(response, run_id), Run)

    async def _accepted(
        self, path: str, body: bytes, unique: str | None, *, run_id: str = "", **more: Any
    ) -> Accepted:
        headers = {} if unique is None else {"Idempotency-Key": unique}
        response = await self._send("POST", path, content=body, headers=headers, **more)
        accepted = _decoded(self._checked(response, run_id), AcceptedShape)
        return Accepted(accepted.run_id, "idempotent-replayed" not in response.headers)

    async def _start_batch(self, pipeline: str, body: bytes) -> dict[int, Accepted | Exception]:
        path = f"/pipelines/{_segment(pipeline)}/batch"
        headers = {"Content-Type": "application/x-ndjson"}
        timeout = httpx.Timeout(_BATCH_TIMEOUT_S, connect=_TIMEOUT_S, pool=None)
        response = await self._send("POST", path, content=body, headers=headers, timeout=timeout)
        return answers_of(self._checked(response, ""))

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return await self._client.request(method, path, **options)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._unreachable(error) from error
        except httpx.TransportError as error:
            if method == "GET":
                raise self._unreachable(error) from error
            raise PublishUnconfirmed(
                f"the answer of the API at {self._url} was lost ({_reason(error)}): it may have done what was asked or not; "
                "repeat it with the same id or key"
            ) from error

    def _unreachable(self, error: httpx.TransportError) -> StoreUnreachable:
        return StoreUnreachable(
            f"cannot reach the API at {self._url}: start it with `mousetrap up`, or name another in MOUSETRAP_API_URL "
            f"({_reason(error)})"
        )

    def _checked(self, response: httpx.Response, run_id: str) -> bytes:
        if not response.is_success:
            problem = read_problem(response.content)
            raise error_of(problem, run_id, f"the API at {self._url} answered {response.status_code}")
        return response.content


def _check_files(body: bytes) -> None:
    if has_files(body):
        raise _no_files()


def _no_files() -> ContractBroken:
    return ContractBroken(
        'over HTTP no file is uploaded, as Blob.of makes one of it: use the client over the broker, Client(via="broker")'
    )


def _params(options: StartOptions) -> dict[str, Any]:
    given = {
        "delay": options.delay,
        "at": options.at.isoformat() if options.at else None,
        "expires_in": options.expires_in,
        "tags": options.tags or None,
        "priority": None if options.priority == DEFAULT_PRIORITY else options.priority,
    }
    return {name: value for name, value in given.items() if value is not None}


def _run_path(run_id: str) -> str:
    return f"/runs/{_segment(run_id)}"


def _segment(text: str) -> str:
    """A part of a path; a client takes the dots in `..` for the folder above."""
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


def _decoded(body: bytes, kind: type[Value]) -> Value:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise StoreUnreachable(f"this version cannot read the API's reply: {error}") from error


def _reason(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__
