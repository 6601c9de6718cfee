"""The API from Python, for the terminal, programs and tests: requests, replies as values, events of a run."""

from mousetrap.api_client.answers import (
    Accepted,
    Doing,
    Event,
    Failure,
    Letter,
    LetterGroup,
    LetterGroups,
    LetterPage,
    Page,
    Progress,
    PutAside,
    Repaired,
    Run,
    Worker,
    kind_and_text,
)
from mousetrap.api_client.client import Api
from mousetrap.api_client.errors import CommandFailed, Misused, UnknownRun, Unreachable
from mousetrap.api_client.filters import LetterFilter
from mousetrap.api_client.follow import follow
from mousetrap.api_client.reply import Reply

__all__ = [
    "Accepted",
    "Api",
    "CommandFailed",
    "Doing",
    "Event",
    "Failure",
    "Letter",
    "LetterFilter",
    "LetterGroup",
    "LetterGroups",
    "LetterPage",
    "Misused",
    "Page",
    "Progress",
    "PutAside",
    "Repaired",
    "Reply",
    "Run",
    "UnknownRun",
    "Unreachable",
    "Worker",
    "follow",
    "kind_and_text",
]
