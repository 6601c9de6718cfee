"""Verifies that a message is a job of ours."""

from datetime import UTC, datetime

from mousetrap.jobs import Failure, Job, JobTooNew, JobUndecodable, Message, RecordDamaged, decode
from mousetrap.signing import Keyring, SignatureRefused
from mousetrap.worker.settle import Refuse


def verify(message: Message, keyring: Keyring) -> Job | Refuse:
    """The job in the message; the signature is checked before anything is read from it."""
    try:
        keyring.verify(message.body, message.headers)
    except SignatureRefused as error:
        return Refuse(None, "signature", Failure(kind="SignatureRefused", text=str(error)))
    try:
        return decode(message.body)
    except JobTooNew as error:
        return Refuse(None, "wire-version", Failure(kind="JobTooNew", text=str(error)))
    except JobUndecodable as error:
        return Refuse(None, "undecodable", Failure(kind="JobUndecodable", text=str(error)))


def forgotten(job: Job) -> Refuse:
    """Refuses a job that is older than what the store remembers."""
    accepted = datetime.fromtimestamp(job.accepted_ms / 1000, UTC).isoformat(" ", "seconds")
    what = (
        f"its run was accepted at {accepted}, longer ago than runs are remembered (MOUSETRAP_RETENTION_SECONDS), and the store "
        "does not know it: it may be done already, and this a repeat. Redriven, it is done"
    )
    return Refuse(job, "stale", Failure(kind="Stale", text=what))


def damaged(job: Job, error: RecordDamaged) -> Refuse:
    """Refuses a job whose record in the store is not ours."""
    what = (
        f"{error}. Delete mousetrap:job:{job.id} in the store, or the key of its run {job.run_id} if that is it; redriven then, "
        "the job is done"
    )
    return Refuse(job, "store-damaged", Failure(kind="RecordDamaged", text=what))
