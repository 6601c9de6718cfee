"""One row of the outbox as a value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mousetrap.jobs import DEFAULT_PRIORITY
from mousetrap.outbox.errors import RowUnreadable
from mousetrap.submit_run import OptionInvalid, SubmitOptions, check_identity

#: Milliseconds that a run still has whose time was over before it was submitted: it is recorded, and expires.
_OVER_MS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A run to submit, as a committed transaction asked for it."""

    id: int
    #: Its place in an order; empty where it has none.
    key: str
    #: Decided when the row was written, so that a repeated submission is the same run.
    run_id: str
    pipeline: str
    #: JSON.
    input: bytes
    #: Milliseconds since 1970, or None: before which the run does not begin, and after which no job of it does.
    due_ms: int | None
    expires_ms: int | None
    tags: tuple[str, ...]
    priority: int
    #: Milliseconds since 1970.
    created_ms: int

    def options(self, now_ms: int) -> SubmitOptions:
        """How to submit it at `now_ms`: what it waited for is taken off. A run whose time is over by then expires at once.

        Raises OptionInvalid for what `submit_on_commit` would have refused.
        """
        return SubmitOptions(
            delay_s=0.0 if self.due_ms is None else max(0, self.due_ms - now_ms) / 1000,
            expires_in=None if self.expires_ms is None else max(_OVER_MS, self.expires_ms - now_ms) / 1000,
            tags=self.tags,
            priority=self.priority,
        )


class _Words(msgspec.Struct, frozen=True, kw_only=True):
    """What the column `tags` holds of a run with another priority than the default; of others it holds the tags alone."""

    tags: tuple[str, ...]
    priority: int = DEFAULT_PRIORITY


def kept_words(options: SubmitOptions) -> Any:
    """What the column `tags` is to hold. A column of its own would have each user change a table of theirs."""
    if options.priority == DEFAULT_PRIORITY:
        return options.tags
    return _Words(tags=options.tags, priority=options.priority)


def read_entry(row: Mapping[str, Any]) -> Entry:
    """The entry of a row. Raises RowUnreadable, with the column, for a row that something else wrote."""
    try:
        words = msgspec.json.decode(_typed(row, "tags", str), type=tuple[str, ...] | _Words)
        words = words if isinstance(words, _Words) else _Words(tags=words)
        return Entry(
            id=row["id"],
            key=_typed(row, "key", str),
            run_id=_run_id(row),
            pipeline=_typed(row, "pipeline", str),
            input=_typed(row, "input", str).encode(),
            due_ms=_typed(row, "due_ms", int | None),
            expires_ms=_typed(row, "expires_ms", int | None),
            tags=words.tags,
            priority=words.priority,
            created_ms=_typed(row, "created_ms", int),
        )
    except msgspec.MsgspecError as error:
        raise RowUnreadable(f"tags: {error}: write a JSON list of texts, or discard the row") from error
    except UnicodeEncodeError as error:
        raise RowUnreadable(f"input: it is no text: {error}") from error


def _run_id(row: Mapping[str, Any]) -> str:
    run_id: str = _typed(row, "run_id", str)
    try:
        check_identity(run_id, None)
    except OptionInvalid as error:
        raise RowUnreadable(f"run_id: {error}: correct it, or discard the row") from error
    return run_id


def _typed(row: Mapping[str, Any], column: str, kind: Any) -> Any:
    try:
        return msgspec.convert(row[column], kind)
    except msgspec.ValidationError as error:
        raise RowUnreadable(f"{column}: {error}: correct it, or discard the row") from error
