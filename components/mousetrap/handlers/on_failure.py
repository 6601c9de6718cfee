"""Carries a run on when a job is given up."""

from collections.abc import Sequence
from types import NoneType

import msgspec

from mousetrap.jobs import PAYLOAD_BESIDE, Done, GiveUp, Job
from mousetrap.pipeline import (
    ContractBroken,
    Fallback,
    Fallen,
    SerializerMissing,
    Stage,
    members,
    payload_as_json,
    read,
)

_NULL = msgspec.Raw(b"null")
_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def carried_on(
    given_up: GiveUp, job: Job, stage: Stage, followers: Sequence[Stage], largest: int
) -> Done | GiveUp:
    """The outcome that the run goes on with, as the stage's `on_failure` has it; else the one that was given.

    `job` has its payload in it. One whose payload cannot be read, or has more than `largest` bytes with what is around it, has
    nothing to fall back with, and a run that an earlier version began has no place for the failure in its records.
    """
    if job.v < PAYLOAD_BESIDE:
        return given_up
    if stage.on_failure == "skip":
        return Done(_NULL, next=_taker_of_null(followers), instead_of=given_up)
    if stage.on_failure == "skip_after":
        return Done(_NULL, next="", instead_of=given_up)
    if not isinstance(stage.on_failure, Fallback) or job.reference is not msgspec.UNSET:
        return given_up
    try:
        payload = payload_as_json(job.written, stage)
        # A message that we did not sign can hold any bytes, and they are no text of a record.
        msgspec.json.decode(payload)
        if given_up.reason == "contract":  # of its input, perhaps: then the fallback could not take it either
            read(payload, stage.input)
    except (ContractBroken, SerializerMissing, *_NO_JSON):
        return given_up
    fallen = msgspec.json.encode(_fallen(given_up, job, stage, payload))
    if len(fallen) > largest:
        return given_up
    return Done(msgspec.Raw(fallen), next=stage.on_failure.stage, instead_of=given_up)


def _fallen(given_up: GiveUp, job: Job, stage: Stage, payload: bytes) -> Fallen[msgspec.Raw]:
    failure = given_up.failure
    return Fallen(
        stage=stage.name,
        input=msgspec.Raw(payload),
        reason=given_up.reason,
        kind=failure.kind,
        text=failure.text,
        attempts=job.attempt,
    )


def _taker_of_null(followers: Sequence[Stage]) -> str | msgspec.UnsetType:
    """The stage that takes null, where several follow."""
    if len(followers) < 2:
        return msgspec.UNSET
    return next(each.name for each in followers if NoneType in members(each.input))
