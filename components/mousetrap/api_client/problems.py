"""Turns problem documents (RFC 9457) into errors for people."""

from dataclasses import dataclass

import httpx
import msgspec

from mousetrap.api_client.errors import Misused, UnknownRun, Unreachable


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document, as far as a text for people needs it."""

    type: str = ""
    title: str = ""
    detail: str = ""
    where: str | None = None


def check_response(response: httpx.Response) -> None:
    """Raises Unreachable for a server's error, UnknownRun or Misused for any other response without success."""
    if response.is_success:
        return
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        problem = Problem()
    text = ": ".join(filter(None, (problem.title, problem.detail)))
    if problem.where:
        text = f"{text} (at {problem.where})"
    text = " ".join(text.split()) or f"{response.url} answered {response.status_code}"
    if problem.type.endswith(":unknown-run"):
        raise UnknownRun(text)
    raise (Unreachable if response.is_server_error else Misused)(text)
