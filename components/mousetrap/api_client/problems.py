"""Turns problem documents (RFC 9457) into errors for people."""

from dataclasses import dataclass

import httpx
import msgspec

from mousetrap.api_client.errors import Misused, RunEnded, UnknownRun, Unreachable


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document, as far as a text for people needs it."""

    type: str = ""
    title: str = ""
    detail: str = ""
    where: str | None = None
    #: Of a run that has ended: how.
    state: str = ""
    #: Of a topic that no pipeline takes: the patterns that are taken, and the one that is most like it.
    taken: tuple[str, ...] = ()
    nearest: str | None = None

    @property
    def kind(self) -> str:
        """The last part of its type; empty for what is no problem of ours."""
        return self.type.rpartition(":")[2] if self.type.startswith("urn:mousetrap:") else ""

    @property
    def text(self) -> str:
        """The problem on one line."""
        text = ": ".join(filter(None, (self.title, self.detail)))
        return " ".join(f"{text} (at {self.where})".split() if self.where else text.split())


def read_problem(body: bytes) -> Problem:
    """The problem of a response's body; an empty one for anything else."""
    try:
        return msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        return Problem()


#: What another stack's API answers, as that on the default port does for a stack that runs elsewhere.
_OF_ANOTHER_API = ("unknown-pipeline", "key-unknown")


def check_response(response: httpx.Response) -> None:
    """Raises Unreachable for a server's error, UnknownRun, RunEnded or Misused for any other response without success."""
    if response.is_success:
        return
    problem = read_problem(response.content)
    text = problem.text or f"{response.url} answered {response.status_code}"
    if problem.kind in _OF_ANOTHER_API:
        text = f"{text} (asked was the API at {response.url.scheme}://{response.url.netloc.decode()})"
    if problem.kind == "unknown-run":
        raise UnknownRun(text)
    if problem.kind in ("run-ended", "operation-ended"):
        raise RunEnded(text)
    raise (Unreachable if response.is_server_error else Misused)(text)
