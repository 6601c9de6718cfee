"""Declares what a worker asks the store for in one exchange."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from mousetrap.jobs import Job, MousetrapError, Outcome
from mousetrap.retry import RetryPolicy
from mousetrap.run_store.claim_replies import Claim, Granted

#: What happened to an outcome that was to be recorded.
Decision = Literal["recorded", "stale", "unlocked", "over"]


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


class DecisionRequest(msgspec.Struct, frozen=True, gc=False):
    """The outcome of an attempt, to be recorded."""

    job: Job
    outcome: Outcome
    #: The claim that the attempt was made under.
    claim: Granted
    #: Whether a Done's output is the run's result.
    last: bool
    #: The stage that follows; None after the last.
    next_stage: str | None = None


class Exchanged(NamedTuple):
    """The results in the order of the requests; the error of a request concerns that one alone."""

    decisions: Sequence[Decision | MousetrapError]
    claims: Sequence[Claim | MousetrapError]
