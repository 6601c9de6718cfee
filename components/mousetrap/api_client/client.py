"""Speaks with the API: what a terminal asks of it, and its problems as errors that people can read."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from mousetrap.api_client.answers import (
    Event,
    Letter,
    LetterGroups,
    LetterPage,
    Page,
    Pipeline,
    Progress,
    Repaired,
    Run,
    Worker,
)
from mousetrap.api_client.errors import CommandFailed, Misused, Unreachable
from mousetrap.api_client.event_stream import lines_of, read_events

Answer = TypeVar("Answer")

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Seconds without a byte before a stream of events counts as lost: the API says something more often.
_SILENCE = 60.0
#: Seconds for an answer about dead letters, all of which must be looked at.
_DEALING = 60.0


class UnknownRun(Misused):
    """The API knows no run of that id."""


class Api:
    """Every method raises Misused for what the API refuses, Unreachable when it does not serve."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=_checked(self.url),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=10.0,
            trust_env=not _is_loopback(self.url),  # a proxy cannot reach this machine's own address
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ready(self) -> None:
        """Returns if the API, its broker and its store serve."""
        self._ask("GET", "/health/ready")

    def stages(self, pipeline: str) -> tuple[str, ...]:
        """The names of a pipeline's stages, in their order."""
        known = _read(self._ask("GET", "/pipelines"), tuple[Pipeline, ...])
        return tuple(stage.name for one in known if one.name == pipeline for stage in one.stages)

    def start(
        self,
        pipeline: str,
        body: bytes,
        *,
        key: str | None = None,
        run_id: str | None = None,
        expires_in: float | None = None,
    ) -> bytes:
        """Has a run accepted, under an idempotency key or an id where given; the API's whole answer."""
        params = _said({"run_id": run_id, "expires_in": expires_in})
        path = f"/pipelines/{_segment(pipeline)}/runs"
        return self._ask("POST", path, content=body, headers=_headers(key), params=params)

    def cancel(self, run_id: str) -> str:
        """Calls the run off, and gives its id."""
        self._ask("DELETE", _path(run_id))
        return run_id

    def rerun(self, run_id: str, begin: str, body: bytes | None, *, key: str | None = None) -> bytes:
        """Has the run repeated from there on, with another input where given; the API's whole answer."""
        wish = {"from": begin, **_with_input(body)}
        path = f"{_path(run_id)}/rerun"
        return self._ask("POST", path, content=msgspec.json.encode(wish), headers=_headers(key))

    def run_as_json(self, run_id: str) -> bytes:
        """The run with its timeline, as the API says it."""
        return self._ask("GET", _path(run_id))

    def run(self, run_id: str) -> Run:
        """The run with its timeline."""
        return read_run(self.run_as_json(run_id))

    def runs_as_json(self, pipeline: str | None, state: str | None, limit: int, after: str | None) -> bytes:
        """A page of runs, as the API says it."""
        asked = {"pipeline": pipeline, "state": state, "limit": str(limit), "after": after}
        return self._ask("GET", "/runs", params=_said(asked))

    def workers_as_json(self) -> bytes:
        """The workers, as the API says it."""
        return self._ask("GET", "/workers")

    def dead_as_json(self, what: str, wish: Mapping[str, Any]) -> bytes:
        """The dead letters that are meant, or with `/groups` what they died of, as the API says it."""
        return self._ask("GET", f"/dead{what}", params=_said(wish), timeout=_DEALING)

    def letter_as_json(self, queue: str, letter_id: str) -> bytes:
        """A dead letter with its story, as the API says it."""
        return self._ask("GET", _letter_path(queue, letter_id), timeout=_DEALING)

    def repair(self, what: str, wish: Mapping[str, Any]) -> Repaired:
        """Has the dead letters that are meant redriven or discarded."""
        body = msgspec.json.encode(_said(wish))
        return _read(self._ask("POST", f"/dead/{what}", content=body, timeout=_DEALING), Repaired)

    def redrive_edited(self, queue: str, letter_id: str, body: bytes) -> Repaired:
        """Has one dead letter redriven with another input."""
        path = f"{_letter_path(queue, letter_id)}/redrive"
        body = msgspec.json.encode(_with_input(body))
        return _read(self._ask("POST", path, content=body, timeout=_DEALING), Repaired)

    def export(self, wish: Mapping[str, Any]) -> Iterator[bytes]:
        """The dead letters that are meant, with all that they carry, a line of JSON each."""
        with (
            self._reaching(),
            self._client.stream("GET", "/dead/export", params=_said(wish), timeout=_DEALING) as response,
        ):
            if response.is_error:
                response.read()
            _check(response)
            yield from lines_of(response.iter_bytes())

    def events(self, run_id: str, after: str) -> Iterator[Event | Progress]:
        """What happens to the run after the event with the id `after`, until the connection ends."""
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
        with (
            self._reaching(),
            self._client.stream(
                "GET", f"{_path(run_id)}/events", headers=headers, timeout=httpx.Timeout(10.0, read=_SILENCE)
            ) as response,
        ):
            if response.is_error:
                response.read()
            _check(response)
            for kind, data in read_events(lines_of(response.iter_bytes())):
                yield _read(data, Progress) if kind == "progress" else _read(data, Event)

    def _ask(self, method: str, path: str, **options: Any) -> bytes:
        with self._reaching():
            response = self._client.request(method, path, **options)
        _check(response)
        return response.content

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise Unreachable(
                f"cannot reach the API at {self.url}: start it with `mousetrap up`, "
                f"or name another in MOUSETRAP_API_URL ({str(error) or type(error).__name__})"
            ) from error


def read_run(answer: bytes) -> Run:
    """The run that the API's answer holds."""
    return _read(answer, Run)


def read_page(answer: bytes) -> Page:
    """The page of runs that the API's answer holds."""
    return _read(answer, Page)


def read_workers(answer: bytes) -> tuple[Worker, ...]:
    """The workers that the API's answer holds."""
    return _read(answer, tuple[Worker, ...])


def read_letters(answer: bytes) -> LetterPage:
    """The dead letters that the API's answer holds."""
    return _read(answer, LetterPage)


def read_letter_groups(answer: bytes) -> LetterGroups:
    """The groups of dead letters that the API's answer holds."""
    return _read(answer, LetterGroups)


def read_letter(answer: bytes) -> Letter:
    """The dead letter that the API's answer holds."""
    return _read(answer, Letter)


def read_run_id(answer: bytes) -> str:
    """The id of the run that the API accepted."""
    return _read(answer, Accepted).run_id


class Accepted(msgspec.Struct, frozen=True):
    """The API's answer to a new run, as far as the terminal needs it."""

    run_id: str


class Problem(msgspec.Struct, frozen=True):
    """What an RFC 9457 answer says."""

    type: str = ""
    title: str = ""
    detail: str = ""
    where: str | None = None


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        problem = Problem()
    text = ": ".join(filter(None, (problem.title, problem.detail)))
    if problem.where:
        text = f"{text} (at {problem.where})"
    text = " ".join(text.split())
    text = text or f"{response.url} answered {response.status_code}"
    if problem.type.endswith(":unknown-run"):
        raise UnknownRun(text)
    raise (Unreachable if response.is_server_error else Misused)(text)


def _read(answer: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.DecodeError as error:
        raise CommandFailed(f"the API's answer is not one that this version reads: {error}") from error


def _said(wish: Mapping[str, Any]) -> dict[str, Any]:
    """What of it was said at all."""
    return {name: value for name, value in wish.items() if value not in (None, "", (), [])}


def _headers(key: str | None) -> dict[str, str]:
    if key and not (key.isascii() and key.isprintable()):
        raise Misused("--key: an idempotency key has printable ASCII characters alone")
    return {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}


def _with_input(body: bytes | None) -> dict[str, msgspec.Raw]:
    return {} if body is None else {"input": msgspec.Raw(body)}


def _letter_path(queue: str, letter_id: str) -> str:
    return f"/dead/{_segment(queue)}/{_segment(letter_id)}"


def _path(run_id: str) -> str:
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


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
