"""Declares what a worker asks the store for in one exchange."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from mousetrap.jobs import Job, MousetrapError, Outcome
from mousetrap.pipeline import LimitAt
from mousetrap.retry import RetryPolicy
from mousetrap.run_store.claim_replies import Claim, Fired, Granted

#: What happened to an outcome that was to be recorded. Others stand for recorded: with Fired, all children of a job are decided; with
#: `completed` and `failed`, the run of a job in a fan, or that opened one, has ended.
Decision = Literal["recorded", "stale", "unlocked", "over", "completed", "failed"] | Fired
#: What a join needs: a share of the children, or a number of them (of all, where there are fewer).
Need = float | int


class ClaimRequest(msgspec.Struct, frozen=True, gc=False):
    """A job that a worker wants."""

    job: Job
    #: Whether its last holder's connection is gone.
    redelivered: bool
    #: Seconds until the claim ends unless it is renewed.
    lease: float
    #: The lock that the claim is to include; empty for none.
    lock: str = ""
    #: Whether the claim is refused while another job holds the lock.
    waits: bool = True
    #: After so many starts without an end the job is taken over only when its last claim has ended.
    crashes: int = RetryPolicy().crashes
    #: Whether the message is the one that led to the job's parent: the parent's outcome must stay, to be found again.
    in_place: bool = False
    #: Whether the job joins the children of its parent: then they must be decided.
    gathers: bool = False
    #: Whether the job opens children when it is done.
    opens: bool = False
    #: Whether a fan that it is in has a time after which no job of it begins.
    bounded: bool = False
    #: The limits that it meets. Runs before wire format 5 have none.
    limits: Sequence[LimitAt] = ()


class DecisionRequest(msgspec.Struct, frozen=True, gc=False):
    """The outcome of an attempt, to be recorded."""

    job: Job
    outcome: Outcome
    #: The claim that the attempt was made under.
    claim: Granted
    #: Whether a Done's output is the run's result.
    last: bool
    #: The stage that follows; None after the last. Of a job with children, and of the last one on a child's way, the join; None
    #: where nothing joins them.
    next_stage: str | None = None
    #: Whether a child's way ends with it, if it is done.
    joins: bool = False
    #: Of a job with children: what their join needs, and what the worker that comes to publish it is to know.
    need: Need = 1.0
    join: str = ""
    #: Seconds that they may take from when this is recorded; 0 for no end.
    within: float = 0.0


class Window(NamedTuple):
    """Children that their parent opens with one call."""

    #: Indexes below this may be claimed; 0 with keys, whose indexes the store assigns.
    opened: int = 0
    #: Those below this are with the broker for sure.
    confirmed: int = 0
    #: The keys of the window's children, where they have some.
    keys: Sequence[str] | None = None
    #: The number of the window in its attempt, from 1: a call that is sent again is not of another one.
    number: int = 1
    need: Need = 1.0
    join: str = ""
    #: Children of the run at most, in all fans.
    most: int = 100_000


class OpenedFan(NamedTuple):
    """Children that may be claimed."""

    #: How many indexes are open now, those of earlier attempts too.
    opened: int
    #: Children of lower indexes are with the broker for sure.
    confirmed: int
    #: The index of each key, in the order of the keys.
    indexes: tuple[int, ...] = ()
    #: The indexes of those in this window that an earlier attempt has opened and that were given up since.
    lost: tuple[int, ...] = ()


class KeyTwice(NamedTuple):
    """A key of two children in one attempt."""

    key: str


#: The reply to a parent that opens children: `stale` once a later claim exists, `over` once the run has ended or the children are joined,
#: `too-wide` where the run would have more than it may, `changed` where an earlier attempt gave keys and this one gives none, or the
#: other way round.
FanOpening = OpenedFan | KeyTwice | Literal["stale", "over", "too-wide", "changed"]


class Exchanged(NamedTuple):
    """The results in the order of the requests; the error of a request concerns that one alone."""

    decisions: Sequence[Decision | MousetrapError]
    claims: Sequence[Claim | MousetrapError]
