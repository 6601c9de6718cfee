"""Decides whether a message is a job of ours that this worker can do."""

from dataclasses import dataclass
from datetime import UTC, datetime

from mousetrap.jobs import Failure, Job, JobTooNew, JobUndecodable, Message, RecordDamaged, decode
from mousetrap.signing import Keyring, SignatureRefused


@dataclass(frozen=True, slots=True)
class Refused:
    """Not a job that may be done: it goes to the dead letters as it is, and touches no run."""

    reason: str
    failure: Failure


def verify(message: Message, keyring: Keyring) -> Job | Refused:
    """The job in the message; the signature is checked before anything is read from it."""
    try:
        keyring.verify(message.body, message.headers)
    except SignatureRefused as error:
        return Refused("signature", Failure(kind="SignatureRefused", text=str(error)))
    try:
        return decode(message.body)
    except JobTooNew as error:
        return Refused("wire-version", Failure(kind="JobTooNew", text=str(error)))
    except JobUndecodable as error:
        return Refused("undecodable", Failure(kind="JobUndecodable", text=str(error)))


def forgotten(job: Job) -> Refused:
    """Why a job is not done that is older than what the store remembers."""
    accepted = datetime.fromtimestamp(job.accepted_ms / 1000, UTC).isoformat(" ", "seconds")
    what = (
        f"its run was accepted at {accepted}, longer ago than runs are remembered (MOUSETRAP_RETENTION_SECONDS), and the store "
        "does not know it: it may be done already, and this a repeat. Redriven, it is done"
    )
    return Refused("stale", Failure(kind="Stale", text=what))


def damaged(job: Job, error: RecordDamaged) -> Refused:
    """Why a job is not done of which the store keeps something that is not ours."""
    what = (
        f"{error}. Delete mousetrap:job:{job.id} in the store, or the key of its run {job.run_id} if that is it; redriven then, "
        "the job is done"
    )
    return Refused("store-damaged", Failure(kind="RecordDamaged", text=what))
