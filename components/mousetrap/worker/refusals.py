"""Refuses what is no job of ours or out of date."""

from datetime import UTC, datetime

from mousetrap.jobs import Failure, Job, JobTooNew, JobUndecodable, Message, RecordDamaged, decode
from mousetrap.run_store import record_keys
from mousetrap.signing import Keyring, SignatureRefused
from mousetrap.worker.endings import Refuse


def verified(message: Message, keyring: Keyring) -> Job | Refuse:
    """The job in the message, or why it is refused."""
    try:
        keyring.verify(message.body, message.headers)  # before anything is read from it
        return decode(message.body)
    except (SignatureRefused, JobUndecodable) as error:
        return refused(error)


def refused(error: SignatureRefused | JobUndecodable) -> Refuse:
    """Refuses a message that is not signed by us, or is no job that this version reads."""
    match error:
        case SignatureRefused():
            reason = "signature"
        case JobTooNew():
            reason = "wire-version"
        case _:
            reason = "undecodable"
    return Refuse(None, reason, Failure(kind=type(error).__name__, text=str(error)))


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
    of_job, of_run = record_keys(job)
    what = f"{error}. Delete {of_job} in the store, or the key of its run, {of_run}, if that is it; redriven then, the job is done"
    return Refuse(job, "store-damaged", Failure(kind="RecordDamaged", text=what))
