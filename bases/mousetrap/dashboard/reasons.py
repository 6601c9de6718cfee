"""Turns the evidence for a reason into labels and values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mousetrap.shapes import Reason

#: Facts of one reason.
_MOST = 40
#: What a name of evidence leads to.
_LINKS = {
    "queue": "queue",
    "worker": "worker",
    "last_worker": "worker",
    "holder_worker": "worker",
    "run_id": "run",
    "holder_run": "run",
}
#: By the beginning of an advised command: the page that shows the same, and what that is called.
_PAGES = (
    ("mousetrap dead show", "/dead", "Dead letters"),
    ("mousetrap workers", "/workers", "Workers"),
    ("mousetrap worker ", "/workers", "Workers"),
    ("mousetrap queues", "/queues", "Queues"),
    ("mousetrap doctor", "/about", "About"),
)
#: The same for a command that names a run.
_OF_RUN = {
    "show": ("", "That run"),
    "logs": ("?tab=logs", "Its log lines"),
    "jobs": ("?tab=jobs", "Its jobs"),
    "rerun": ("/rerun", "Re-run it"),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is known."""

    label: str
    #: run, queue, worker, moment, span, number, text or list.
    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do: a command, what is to know beside it, and the page that shows the same; each can be empty."""

    command: str = ""
    more: str = ""
    page: str = ""
    page_name: str = ""


@dataclass(frozen=True, slots=True)
class Explained:
    """A reason with its facts and its advice."""

    reason: Reason
    facts: tuple[Fact, ...]
    advice: Advice


def explained(reason: Reason) -> Explained:
    """The reason as a page shows it."""
    return Explained(reason, tuple(_facts(reason.evidence)), advice(reason.advice))


def _facts(evidence: Mapping[str, Any]) -> Iterator[Fact]:
    for name, value in list(evidence.items())[:_MOST]:
        if value is not None and value != "" and value != []:
            yield _fact(name, value)


def _fact(name: str, value: Any) -> Fact:
    label = name.removesuffix("_ms").removesuffix("_seconds").replace("_", " ")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, str):
        return Fact(label, _LINKS.get(name, "text"), value)
    if is_number and name.endswith("_ms"):
        return Fact(label, "moment", int(value))
    if is_number and (name.endswith("_seconds") or name == "seconds"):
        return Fact(label, "span", value)
    if is_number:
        return Fact(label, "number", value)
    if isinstance(value, list | tuple):
        return Fact(label, "list", tuple(_inner(each) for each in value[:_MOST]))
    return Fact(
        label, "text", {True: "yes", False: "no"}.get(value) if isinstance(value, bool) else str(value)
    )


def _inner(value: Any) -> tuple[Fact, ...]:
    return tuple(_facts(value)) if isinstance(value, dict) else (Fact("", "text", str(value)),)


def advice(text: str) -> Advice:
    """The command at its beginning, what follows it, and the page on which the same can be done."""
    if not text.startswith("mousetrap "):
        return Advice(more=text)
    command, _, more = text.partition(", ")
    return Advice(command, more, *_page(command))


def _page(command: str) -> tuple[str, str]:
    words = command.split()
    if len(words) == 3 and words[1] in _OF_RUN:
        rest, name = _OF_RUN[words[1]]
        return f"/runs/{quote(words[2], safe='')}{rest}", name
    found = ((page, name) for beginning, page, name in _PAGES if command.startswith(beginning))
    return next(found, ("", ""))
