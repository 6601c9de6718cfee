"""Derives what becomes of a delivery."""

from collections.abc import Sequence

import msgspec

from mousetrap.jobs import Done, Failure, GiveUp, Job, Outcome, RetryLater
from mousetrap.pipeline import Stage
from mousetrap.run_store import Busy, Decision, Fired, Limited, Locked

#: The header of a message that comes after all that follows from its job: the fence of the outcome that was sent. The job may be
#: granted again, and then has another one.
ANCHOR = "mousetrap-anchor"
#: The header of a message that comes again for when the line in which its job stands is lost.
SPARE = "mousetrap-spare"
#: Seconds until a job that waits for a lock asks again: a quarter of what it has waited, between these two.
_LOCK_POLL_MIN_S, _LOCK_POLL_MAX_S = 0.2, 10.0
#: The same until a job that opened a fan looks whether that has fired: a quarter of the time since, between these two; and at the
#: latest when the time of its jobs is over, but for what clocks differ by.
_ANCHOR_MIN_S, _ANCHOR_MAX_S = 10.0, 600.0
_SOON_S = 0.01
#: The same until the message of a job that stands in a line comes again: half of the time that it has waited, between these two, and
#: no more than a quarter of the time that runs are remembered.
SPARE_MIN_S, _SPARE_MAX_S, _SPARE_SHARE = 60.0, 1_800.0, 0.25


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Another job follows: the next stage's, or the next attempt."""

    job: Job
    queue: str
    #: Seconds.
    after: float = 0.0


class Park(msgspec.Struct, frozen=True):
    """The same job is delivered again later, and not counted as a try."""

    job: Job
    #: Seconds.
    after: float
    #: Where all that follows from the job was sent before: the fence of its outcome, which its message has as a header. Else 0.
    anchor: int = 0
    #: Whether it is the message for when a line is lost.
    spare: bool = False


class StandInLine(msgspec.Struct, frozen=True):
    """The job waits for a limit: another message of it comes again for when its line is lost."""

    job: Job
    #: Seconds.
    after: float
    #: The line's stage: the pipeline's name and the stage's, with a dot between.
    place: str
    #: Whether the store keeps a place for it.
    in_line: bool


class LetGo(msgspec.Struct, frozen=True):
    """Nothing is done: the job came out of a line, and another message of it is at work, or it is in its line again."""


class Bury(msgspec.Struct, frozen=True):
    """The job becomes a dead letter, signed with the first key."""

    job: Job
    reason: str
    failure: Failure


class Refuse(msgspec.Struct, frozen=True):
    """The message becomes a dead letter as it was delivered, and touches no run; `job` is None where it is not ours."""

    job: Job | None
    reason: str
    failure: Failure


class Drop(msgspec.Struct, frozen=True):
    """Nothing follows."""


class HandBack(msgspec.Struct, frozen=True):
    """The queue delivers the message to another worker; it is not acknowledged."""


class Join(msgspec.Struct, frozen=True):
    """A fan has fired as the job was decided: its join follows."""

    job: Job
    fired: Fired


class Several(msgspec.Struct, frozen=True):
    """Several messages follow: the jobs of a fork, or a dead letter and a join."""

    endings: tuple[Publish | Bury | Join | Park, ...]


#: What becomes of a delivery. All but HandBack end with its acknowledgement.
Ending = Publish | Park | StandInLine | LetGo | Bury | Refuse | Drop | HandBack | Join | Several


def ending_of(outcome: Outcome, job: Job, queue: str, next_stage: Stage | None, fence: int) -> Ending:
    """The ending of a job from `queue` whose outcome is recorded; always the same for the same outcome.

    `fence` is the one that it is recorded under, which the next stage's job carries.
    """
    if isinstance(outcome, Done):  # each job comes here: of the last stage, patterns took 400 ns
        if next_stage is not None:
            following = job.following(
                next_stage.name, bytes(outcome.output), outcome.serializer, outcome.reference, fence=fence
            )
            return Publish(following, next_stage.queue)
        if outcome.next is msgspec.UNSET or outcome.ends_way:
            return Drop()
        return Bury(job, "unknown-stage", unknown_follower(job, outcome.next))
    match outcome:
        case RetryLater(seconds):
            return Publish(job.again(), queue, seconds) if outcome.counted else Park(job, seconds)
        case GiveUp(reason, failure):
            return Bury(job, reason, failure)


def anchored(job: Job, fence: int, waits_s: float, left_s: float | None = None) -> Park:
    """Has the message of a job that opened a fan come again until the fan has fired; `left_s` is what is left of its jobs' time.

    What a store forgets, as a replica can that takes over, is found then: without that, no message might be left of the run.
    """
    pause = min(_ANCHOR_MAX_S, max(_ANCHOR_MIN_S, waits_s / 4))
    return Park(job, pause if left_s is None else min(pause, max(_SOON_S, left_s)), anchor=fence)


def forks_of(outcome: Done, job: Job, followers: Sequence[Stage], fence: int, waits_s: float) -> Ending:
    """The ending of a job whose output goes to several stages: a job for each, with its place among them."""
    by_name = {stage.name: stage for stage in followers}
    forks: list[Publish | Bury | Join | Park] = []
    for index, name in enumerate(outcome.forks or ()):
        if (stage := by_name.get(name)) is None:
            return Bury(job, "unknown-stage", unknown_follower(job, name))
        fork = job.child(
            name, bytes(outcome.output), outcome.serializer, outcome.reference, index=index, fence=fence
        )
        forks.append(Publish(fork, stage.queue))
    return Several((*forks, anchored(job, fence, waits_s)))


def with_join(own: Ending, job: Job, fired: Fired) -> Ending:
    """What follows from the job itself, and the join of the fan that fired as it was decided."""
    join = Join(job, fired)
    return Several((own, join)) if isinstance(own, Bury) else join


def unknown_follower(job: Job, name: str) -> Failure:
    """The failure of a job whose recorded outcome goes to a stage that does not follow its own any more.

    An empty name is one of when a single stage followed.
    """
    where = (
        f"for stage {name!r}, which does not follow it"
        if name
        else "for the one that followed it, and several follow"
    )
    text = (
        f"the output of stage {job.stage!r} is recorded {where} in the pipeline that this worker has: deploy one that has it, "
        "and redrive this letter"
    )
    return Failure(kind="UnknownStage", text=text)


def unrecorded(decision: Decision, job: Job, lease: float) -> Ending:
    """The ending of a job whose outcome the store did not take."""
    match decision:
        case "unlocked":
            return Park(job, _LOCK_POLL_MIN_S)
        case "stale":
            # The winner can be dead: a claim can reach the store long after its worker gave it up or died. So this message
            # stays until the winner has decided, or its claim has ended.
            return Park(job, lease)
        case _:
            return Drop()


def waiting(claim: Busy | Locked, job: Job, *, spare: bool = False) -> Ending:
    """The ending of a job that another worker holds, or whose lock another run holds."""
    if isinstance(claim, Busy):
        return Park(job, claim.seconds, spare=spare)  # by then its holder will most likely have finished it
    return Park(job, min(_LOCK_POLL_MAX_S, max(_LOCK_POLL_MIN_S, claim.seconds / 4)), spare=spare)


def standing(claim: Limited, job: Job, retention_s: float) -> StandInLine:
    """The ending of a job over a limit."""
    pause = min(_SPARE_MAX_S, _SPARE_SHARE * retention_s, max(SPARE_MIN_S, claim.seconds / 2))
    return StandInLine(job, pause, claim.place, claim.in_line)
