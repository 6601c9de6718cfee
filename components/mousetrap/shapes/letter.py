"""A dead letter, groups of them, and the result of a repair."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any

from mousetrap.shapes.doc import Doc
from mousetrap.shapes.reference import Reference
from mousetrap.shapes.run import Run

_SEEN = Doc("How many letters were looked at.")
_UNSEEN = Doc(
    "How many more letters there are, too many to be looked at together, or just being read by another look."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterLine:
    """A dead letter, as a list shows it; times are milliseconds since 1970."""

    #: The message's id, which is the job's; of a message with an unsafe id, a hash of the message.
    id: Annotated[str, Doc(examples=("5f0c5b7e6a1d5c0e8f3a2b4c6d8e0f1a",))]
    queue: Annotated[str, Doc("The queue that gave it up.", ("start_fetch",))]
    reason: Annotated[str, Doc(examples=("max-retries",))]
    error_kind: Annotated[str, Doc(examples=("mousetrap.earthquakes.contracts.FeedUnavailable",))]
    error: Annotated[str, Doc(examples=("the feed answers 503",))]
    attempts: int | None = None
    worker: str = ""
    #: None when the broker itself put it aside: then the time is not known.
    at_ms: int | None = None
    run_id: Annotated[str | None, Doc(examples=("019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b",))] = None
    pipeline: str | None = None
    stage: str | None = None
    generation: Annotated[int, Doc("How often it was redriven before.")] = 0
    believed: Annotated[bool, Doc("Whether it is a job that a key of ours signed.")]
    tags: Annotated[tuple[str, ...], Doc("Of its run, in a list of letters.", (["nightly"],))] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter(LetterLine):
    """A dead letter with its payload, its error, and its run where that is remembered."""

    traceback: str = ""
    payload: Annotated[Any, Doc("The input of the stage.")] = None
    payload_reference: Annotated[
        Reference | None,
        Doc("Where it is, when it is too large for a message; one of more than 8 MiB is not shown."),
    ] = None
    payload_error: Annotated[
        str, Doc("Why it is not there: its reference leads to none, or it is no JSON.")
    ] = ""
    body: Annotated[str | None, Doc("The whole message, where it is no job of ours.")] = None
    run: Run | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterPage:
    """Some dead letters, newest first; only the letters looked at are counted."""

    letters: tuple[LetterLine, ...]
    matched: Annotated[int, Doc("How many letters match the filters.")]
    seen: Annotated[int, _SEEN]
    unseen: Annotated[int, _UNSEEN]


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterText:
    """A text that several errors have, and how many."""

    text: Annotated[str, Doc(examples=("the feed answers 503",))]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterNote:
    """What someone noted on a group of dead letters."""

    text: Annotated[str, Doc(examples=("ticket 81: the vendor looks into it",))]
    who: Annotated[str, Doc("The id of the caller's key; `loopback` where there are no keys.", ("ops",))]
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroup:
    """Dead letters of one queue with the same reason and error; the example is the newest of them."""

    queue: str
    reason: str
    error_kind: str
    count: int
    #: None when no letter of the group has a time.
    oldest_ms: int | None = None
    newest_ms: int | None = None
    recent: Annotated[
        tuple[int, ...], Doc("How many died in each five minutes of the last hour, oldest first.")
    ] = ()
    texts: Annotated[
        tuple[LetterText, ...],
        Doc("The most frequent texts of their errors: ten at most, each of at least two."),
    ] = ()
    note: Annotated[LetterNote | None, Doc("The last note on the group, while the store is there.")] = None
    example: LetterLine


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroups:
    """Dead letters grouped by error, the most frequent first."""

    groups: tuple[LetterGroup, ...]
    seen: Annotated[int, _SEEN]
    unseen: Annotated[int, _UNSEEN]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repaired:
    matched: Annotated[int, Doc("How many letters were selected.")]
    left: Annotated[int, Doc("How many of those are still dead letters: repeat the request for them.")]
    unseen: Annotated[int, _UNSEEN]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven(_Repaired):
    """The result of redriving the selected letters."""

    redriven: int
    stale: Annotated[
        int,
        Doc(
            "Letters dropped because their job has gone on without them, or its run is cancelled or has expired."
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded(_Repaired):
    """The result of discarding the selected letters."""

    discarded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterConditions:
    """What a letter must match; a field that is left out matches any, so none at all match every letter."""

    #: The queue that gave it up.
    queue: str | None = None
    ids: Collection[str] = frozenset()
    reason: str | None = None
    #: The error's class, with its module or without.
    error: str | None = None
    #: A part of the error's text, in capitals or not.
    text: str | None = None
    run: str | None = None
    stage: str | None = None
    #: Milliseconds since 1970. A letter without a time counts as older than any.
    before_ms: int | None = None
    after_ms: int | None = None
