"""Writes a task message of Celery, protocol 2, JSON."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

#: Any constant would do; changing it would send a repeat under another id.
_IDS = uuid.UUID("6f1a6f0e-5b0c-5c63-9f53-2f4f2a1d5a10")
#: Characters of an argument's text in the headers, which only people and monitors read.
_SHOWN = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A task that a Celery worker, or a `mousetrap celery`, is to do."""

    task: str
    queue: str = "celery"
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    #: Whether it is not given the result of the one before.
    immutable: bool = False
    #: Empty until it is sent.
    id: str = ""
    root_id: str = ""
    parent_id: str | None = None
    eta: datetime | None = None
    expires: datetime | None = None
    #: The queue in which somebody waits for its result.
    reply_to: str = ""
    #: As Celery's workers have it: of 0 to 9, the highest goes first.
    priority: int = 0
    #: What follows it, as Celery writes it; of a chain the next one last.
    callbacks: Sequence[Mapping[str, Any]] = ()
    errbacks: Sequence[Mapping[str, Any]] = ()
    chain: Sequence[Mapping[str, Any]] = ()

    def as_celery(self) -> dict[str, Any]:
        """As a member of another message's chain."""
        more = {
            "eta": self.eta and self.eta.isoformat(),
            "expires": self.expires and self.expires.isoformat(),
            "reply_to": self.reply_to,
            "priority": self.priority,
            "link": list(self.callbacks),
            "link_error": list(self.errbacks),
        }
        options = {name: value for name, value in more.items() if value}
        return {
            "task": self.task,
            "args": list(self.args),
            "kwargs": dict(self.kwargs),
            "options": {"queue": self.queue, "task_id": self.id, **options},
            "subtask_type": None,
            "immutable": self.immutable,
        }


class Wire(NamedTuple):
    """A message's parts."""

    headers: dict[str, Any]
    body: bytes


def wire_of(sent: Signature) -> Wire:
    """The message of a signature that has an id."""
    embed = {
        "callbacks": list(sent.callbacks) or None,
        "errbacks": list(sent.errbacks) or None,
        "chain": list(sent.chain) or None,
        "chord": None,
    }
    headers: dict[str, Any] = {
        "lang": "py",
        "task": sent.task,
        "id": sent.id,
        "shadow": None,
        "eta": sent.eta.isoformat() if sent.eta else None,
        "expires": sent.expires.isoformat() if sent.expires else None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": sent.root_id or sent.id,
        "parent_id": sent.parent_id,
        "argsrepr": _shown(list(sent.args)),
        "kwargsrepr": _shown(dict(sent.kwargs)),
        "origin": "mousetrap",
        "ignore_result": False,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    return Wire(headers, msgspec.json.encode([list(sent.args), dict(sent.kwargs), embed]))


def sent_first(chain: Sequence[Signature], key: str, root_id: str) -> Signature:
    """The first of some signatures with the rest as its chain, their ids derived from `key`: the same for each repeat."""
    first, *rest = (
        replace(each, id=derived_id(f"{key}|{place}"), root_id=root_id) for place, each in enumerate(chain)
    )
    return replace(first, chain=[each.as_celery() for each in reversed(rest)])


def derived_id(key: str) -> str:
    """The id of a task, always the same for this key."""
    return str(uuid.uuid5(_IDS, key))


def _shown(value: Any) -> str:
    return repr(value)[:_SHOWN]
