"""Makes the job of a join whose fan has fired."""

import logging
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from mousetrap.jobs import Done, Failure, Job, PayloadUnusable, Reference, TraceContext
from mousetrap.payloads import not_put
from mousetrap.pipeline import Counted, Fan
from mousetrap.run_store import ChildOutput, Fired, RunStore
from mousetrap.signing import Keyring, SignatureRefused
from mousetrap.worker.endings import Publish, Refuse
from mousetrap.worker.outages import Outages

_log = logging.getLogger("mousetrap.worker")


class _JoinAt(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a fan is joined. The store has it with the fan, so that any worker can publish the join."""

    stage: str
    queue: str
    #: Of branches that are joined by name: the field of the join's input for each, by index.
    names: tuple[str, ...] = ()
    #: Of all before this, for this fan.
    signature: str = ""
    #: What the join's message carries of the run's trace. Not signed: a version that knows none verifies the rest.
    trace: TraceContext | UnsetType = UNSET


def join_text(fan: Fan, job: Job, keyring: Keyring, trace: TraceContext | UnsetType = UNSET) -> str:
    """Where the fan of this job is joined, as the store has it; empty where nothing follows."""
    if fan.join is None:
        return ""
    names = tuple(stage.name for stage in fan.last) if fan.is_fork else ()
    at = _JoinAt(fan.join.name, fan.join.queue, names)
    signature = keyring.sign_record(("join", job.run_id, job.id), msgspec.json.encode(at))
    return msgspec.json.encode(msgspec.structs.replace(at, signature=signature, trace=trace)).decode()


def _read(text: str, run_id: str, fan: str, keyring: Keyring) -> _JoinAt:
    """Raises SignatureRefused for a text that is not ours."""
    try:
        at = msgspec.json.decode(text, type=_JoinAt)
    except msgspec.DecodeError as error:
        raise SignatureRefused(
            f"the record in the store of where a fan is joined cannot be read: {error}"
        ) from error
    signed = msgspec.json.encode(msgspec.structs.replace(at, signature="", trace=UNSET))
    keyring.verify_record(("join", run_id, fan), signed, at.signature)
    return at


def _in_trace(joining: Job, trace: TraceContext | UnsetType, last: TraceContext | UnsetType) -> Job:
    """The join, in the trace of what opened the fan, with a link to the child that was decided last."""
    if trace is UNSET:
        return joining
    link = "" if last is UNSET else last.traceparent
    return msgspec.structs.replace(joining, trace=msgspec.structs.replace(trace, link=link))


class Joins:
    """Makes the job of a join from what the store has, the same one each time that it is asked."""

    def __init__(self, store: RunStore, outages: Outages, keyring: Keyring) -> None:
        self._store = store
        self._outages = outages
        self._keyring = keyring

    async def published_by(self, job: Job, fired: Fired) -> Publish | Refuse:
        """The join of a fan that fired as `job` was decided: a job of the fan, or the one that opened it.

        Where a stranger has written to the store, nothing of ours is published there: the message is a dead letter.
        """
        try:
            at = _read(fired.join, job.run_id, fired.fan_job, self._keyring)
        except SignatureRefused as error:
            return Refuse(job, "store-signature", Failure(kind="SignatureRefused", text=str(error)))
        counted = Counted(fired.total, fired.done, fired.lost, fired.fan_job)
        reference: Reference | UnsetType = UNSET
        if at.names:
            payload, reference = await self._by_name(job.run_id, fired.fan_job, at.names)
        else:
            payload = msgspec.json.encode(counted)
        joining = job.joined(at.stage, payload, UNSET, reference, fan=fired.fan_job, fence=fired.fence)
        return Publish(_in_trace(joining, at.trace, job.trace), at.queue)

    async def _by_name(
        self, run_id: str, fan: str, names: Sequence[str]
    ) -> tuple[bytes, Reference | UnsetType]:
        """The outputs of joined branches as one object; or where that is, when it is too large for a message."""
        outputs = await self._outages.retry_until_up(
            "read outputs", self._store.children, run_id, fan, 0, len(names)
        )
        values = {
            names[output.index]: value
            for output in outputs
            if (value := await self._value(run_id, output)) is not None
        }
        payload = b"{%b}" % b",".join(
            b"%b:%b" % (msgspec.json.encode(name), value) for name, value in values.items()
        )
        payloads = self._store.payloads
        if len(payload) > payloads.largest:
            sizes = ", ".join(f"{name} {len(value)}" for name, value in values.items())
            _log.error(
                "a join is given up: its outputs are too large together (%s)", sizes, extra={"run": run_id}
            )
            return b"null", not_put(run_id, len(payload))
        reference = await self._outages.retry_until_up("put payloads", payloads.put_large, run_id, payload)
        return payload if reference is UNSET else b"null", reference

    async def _value(self, run_id: str, output: ChildOutput) -> bytes | None:
        """None for one that the store has lost: the join's contract then names what is missing, in a dead letter."""
        outcome = output.outcome
        if not isinstance(outcome, Done):
            return None
        if outcome.reference is UNSET:
            return bytes(outcome.output)
        try:
            return await self._outages.retry_until_up(
                "get payloads", self._store.payloads.get, outcome.reference
            )
        except PayloadUnusable as error:
            _log.warning("a join goes on without an output: %s", error, extra={"run": run_id})
            return None
