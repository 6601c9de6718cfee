"""Claims packed jobs, by plain commands where nothing is unusual."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from mousetrap.jobs import Job, MousetrapError, trace_text
from mousetrap.pipeline import payload_as_text
from mousetrap.run_store.claim_replies import Claim, Forgotten, Granted, Over, read_refusal
from mousetrap.run_store.keys import OPENED, OPENED_DELAYED, fan_key, packed_job_key, packed_run_key
from mousetrap.run_store.packed.call import Call
from mousetrap.run_store.packed.fans import in_fans, is_child
from mousetrap.run_store.packed.naming import Naming
from mousetrap.run_store.packed.sender import Sender, function_call
from mousetrap.run_store.packed.transitions import ClaimJob, InFan
from mousetrap.run_store.records import HEAD, JobFacts, RunFacts, encode_claim, encode_run
from mousetrap.run_store.requests import ClaimRequest
from mousetrap.run_store.signed_records import Span, opening_body, sign_opening
from mousetrap.run_store.transitions import text_of
from mousetrap.signing import Keyring

#: A job that expires sooner is claimed by Lua, whose time is the server's own.
_EXPIRES_SOON_MS = 60_000
#: The last byte of a record's head, as text: a number in a command costs its writing each time.
_HEAD_END = str(HEAD - 1)
#: The first bytes of runs that no submission opens again.
_ENDED_OTHERWISE = (b"C", b"F", b"X", b"E")
#: The fence of the first claim of a job.
_FIRST_FENCE = 1
#: The first bytes of runs whose jobs may be claimed: children may while their run has failed for lack of others.
_LIVE, _LIVE_FOR_CHILDREN = (b"Q",), (b"Q", b"F")
#: The kind of the failure that `lua/packed/fans.lua` records then.
FAN_FORGOTTEN = "FanForgotten"
#: A claim as Lua judges it.
_Judged = ClaimJob | InFan
#: The type of the usual results.
_GRANTED = frozenset((Granted,))


class Planned(msgspec.Struct, frozen=True, gc=False):
    """A claim, and where its replies are."""

    request: ClaimRequest
    #: What a plain claim grants; None where Lua judges from the start.
    plain: Granted | None
    place: int
    run: int = 0
    parent: int = 0
    #: Of a job in fans that may have gone on without it.
    around: tuple[int, ...] = ()


@dataclass(slots=True)
class _Plan:
    """What the claims of one call share."""

    call: Call
    worker: str
    now_ms: int
    #: What plain claims grant, by stage, lease and outermost fan: the same for all jobs of these.
    grants: dict[tuple[str, float, str], Granted] = field(default_factory=dict)
    #: Of each fan of a run where its run's first byte is, and how far it is opened.
    fans: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    #: Where its state is.
    around: dict[tuple[str, str], int] = field(default_factory=dict)


class Claims:
    """Claims a batch: first by plain commands, then what they did not settle by Lua."""

    def __init__(self, sender: Sender, naming: Naming, keyring: Keyring, ttl: int, keep: int) -> None:
        self._sender = sender
        self._naming = naming
        self._keyring = keyring
        self._ttl, self._ttl_text = ttl, str(ttl)
        self._keep = keep

    def plan(self, call: Call, requests: Sequence[ClaimRequest], worker: str) -> list[Planned]:
        """Puts the claims into the call.

        The order counts: a rejection leaves a run alone whose first job is there, and the run is looked at after that is
        recorded, so that an earlier rejection is seen.
        """
        plan = _Plan(call, worker, self._sender.now_ms())
        first = [self._first(plan, request) for request in requests]
        if started := [it.job.run_id for it in requests if not it.job.parent]:
            call.add("ZREM", OPENED, *started)
            call.add("ZREM", OPENED_DELAYED, *started)
        return [
            self._looks(plan, request, plain, place) if plain else Planned(request, plain, place)
            for request, (plain, place) in zip(requests, first, strict=True)
        ]

    def revives(self, request: ClaimRequest) -> bool:
        """Whether Lua judges from the start the claim of a join, which may open a failed run once more."""
        return not request.job.fans and not self._is_plain(request, self._sender.now_ms())

    async def judge(
        self, planned: Sequence[Planned], replies: Sequence[Any], worker: str
    ) -> list[Claim | MousetrapError]:
        """The results of the claims; those that the plain commands did not settle are judged by Lua."""
        results: list[Claim | MousetrapError | _Judged] = [
            self._result(it, replies, worker) for it in planned
        ]
        if set(map(type, results)) <= _GRANTED:
            return results  # type: ignore[return-value]
        while unsettled := [place for place, it in enumerate(results) if isinstance(it, _Judged)]:
            if unnamed := await self._name(planned, replies, results):
                for place, error in unnamed.items():
                    results[place] = error
                continue
            call = Call()
            for place in unsettled:
                transition = results[place]
                assert isinstance(transition, _Judged)
                call.add(*function_call(transition, _fans_of(planned[place].request)))
            again = await self._sender.send(call.commands)
            for place, reply in zip(unsettled, again, strict=False):
                results[place] = self._settled(planned[place].request, reply, results[place], worker)
        kinds = set(map(type, results))
        if Over in kinds:
            await self._name_again(planned, replies, results)
        if Forgotten in kinds:
            await self._name_forgotten(planned, results)
        return results  # type: ignore[return-value]

    async def _name(
        self, planned: Sequence[Planned], replies: Sequence[Any], results: list[Any]
    ) -> dict[int, MousetrapError]:
        """Names the runs that these claims may record, open once more, or find failed. The errors, where that is not done."""
        restored, reopened = [], []
        for place, it in enumerate(planned):
            if isinstance(results[place], _Judged):
                if _claim_of(results[place]).restore:
                    restored.append(place)
                elif it.plain is not None and replies[it.run] == b"F":
                    reopened.append(place)
        try:
            if restored:
                await self._naming.restoring([planned[place].request.job for place in restored])
            if reopened:
                await self._naming.reopening([planned[place].request.job for place in reopened])
        except MousetrapError as error:
            return dict.fromkeys((*restored, *reopened), error)
        return {}

    async def _name_forgotten(self, planned: Sequence[Planned], results: list[Any]) -> None:
        """Names runs that may have failed as the store has forgotten that their children were opened.

        After that, which only the store finds out: until the claim has this result, its message comes again.
        """
        places = [place for place, it in enumerate(results) if type(it) is Forgotten]
        if jobs := [it.job for place in places if (it := planned[place].request).job.fans]:
            try:
                await self._naming.failing(jobs, [FAN_FORGOTTEN] * len(jobs))
            except MousetrapError as error:
                for place in places:
                    results[place] = error

    async def _name_again(
        self, planned: Sequence[Planned], replies: Sequence[Any], results: list[Any]
    ) -> None:
        """Names runs that may be rejected once more, whose names these claims took away: a repeat may have opened one since.

        Its submitter has named it before that, and may die before it publishes.
        """
        places = [place for place, result in enumerate(results) if type(result) is Over]
        places = [place for place in places if _may_be_rejected(planned[place], replies)]
        if not places:
            return
        # The time keeps who has looked at the run before from taking the name away.
        now, run_ids = self._sender.now_ms(), [planned[place].request.job.run_id for place in places]
        call = Call()
        for key in (OPENED, OPENED_DELAYED):
            call.add("ZADD", key, *(part for run_id in run_ids for part in (now, run_id)))
            call.add("PEXPIRE", key, self._ttl, "NX")
        try:
            await self._sender.do(call.commands)
        except MousetrapError as error:  # then they are claimed again
            for place in places:
                results[place] = error

    def restored(self, job: Job) -> str:
        """The record of a run of which the store knows nothing, though a job of it is here: its input is the first job's."""
        facts = RunFacts(
            pipeline=job.pipeline,
            stage=job.stage,
            accepted_ms=job.accepted_ms,
            expires_ms=job.expires_ms or 0,
            trace=trace_text(job.trace),
            priority=job.priority,
        )
        if job.parent or job.generation:
            return encode_run(facts, b"null").decode()
        payload = payload_as_text(job.written)
        if isinstance(job.reference, msgspec.UnsetType):
            digest, referred = hashlib.sha256(payload).hexdigest(), ""
        else:
            digest, referred = job.reference.sha256, text_of(job.reference)
        span = Span(job.expires_ms - job.accepted_ms if job.expires_ms else 0)
        body = opening_body(payload, referred.encode())
        signature = sign_opening(job.run_id, job.pipeline, job.stage, body, span, self._keyring)
        facts = msgspec.structs.replace(
            facts, digest=digest, input_reference=referred, signature=signature, restored=True
        )
        # A message that we did not sign can hold any bytes, and they are no text of a record.
        return encode_run(facts, payload).decode(errors="replace")

    def _first(self, plan: _Plan, request: ClaimRequest) -> tuple[Granted | None, int]:
        """What a plain claim grants, and the place of the reply."""
        job = request.job
        if not self._is_plain(request, plan.now_ms):
            judged = self._transition(request, plan.worker)
            return None, plan.call.add(*function_call(judged, _fans_of(request)))
        of = job.stage, request.lease, job.fans[0].job if job.fans else ""
        if (plain := plan.grants.get(of)) is None:
            plain = plan.grants[of] = _grant(*of, plan.worker, plan.now_ms)
        key = packed_job_key(job.run_id, job.id)
        return plain, plan.call.add("SET", key, plain.record, "NX", "GET", "PX", self._ttl_text)

    def _is_plain(self, request: ClaimRequest, now: int) -> bool:
        """Whether nothing of the claim needs more than its job's, its run's and its parent's first bytes."""
        job = request.job
        return (
            job.attempt == 1
            and job.generation == 0
            and not request.lock
            and not request.limits
            and (job.expires_ms is None or job.expires_ms > now + _EXPIRES_SOON_MS)
            and now - job.accepted_ms < self._ttl
            # Lua removes the copy of a large output once it has arrived.
            and (job.parent is None or len(job.payload) <= self._keep or is_child(job))
        )

    def _looks(self, plan: _Plan, request: ClaimRequest, plain: Granted, place: int) -> Planned:
        job, call = request.job, plan.call
        around = self._looks_around(plan, request)
        if job.fans and is_child(job):
            return Planned(request, plain, place, *self._looks_at_fan(plan, job), around)
        run = call.add("GETRANGE", packed_run_key(job.run_id), "0", "0")
        parent = 0
        if job.parent:
            parent = call.add("GETRANGE", packed_job_key(job.run_id, job.parent), "0", _HEAD_END)
            if request.gathers:
                call.add("HGET", fan_key(job.run_id, job.parent), "state")
        call.keep(job.run_id, job.accepted_ms, plan.now_ms, self._ttl)
        for fan in job.fans:
            call.keep_fan(job.run_id, fan.job, job.accepted_ms, plan.now_ms, self._ttl)
        return Planned(request, plain, place, run, parent, around)

    def _looks_around(self, plan: _Plan, request: ClaimRequest) -> tuple[int, ...]:
        """Where the states of fans are that may have gone on without the job: once in a call for all of a fan.

        The innermost does so only for its time. One around it does so too once it counts that one as lost.
        """
        places, job = [], request.job
        for fan in job.fans if request.bounded else job.fans[:-1]:
            of = job.run_id, fan.job
            if of not in plan.around:
                plan.around[of] = plan.call.add("HGET", fan_key(*of), "state")
            places.append(plan.around[of])
        return tuple(places)

    def _looks_at_fan(self, plan: _Plan, job: Job) -> tuple[int, int]:
        """Where the run's first byte is, and how far its children are opened: once in a call for all of a fan."""
        of, call = (job.run_id, job.fans[-1].job), plan.call
        if (places := plan.fans.get(of)) is None:
            run = call.add("GETRANGE", packed_run_key(job.run_id), "0", "0")
            places = plan.fans[of] = run, call.add("HGET", fan_key(*of), "opened")
            call.keep(job.run_id, job.accepted_ms, plan.now_ms, self._ttl)
            for fan in job.fans:
                call.keep_fan(job.run_id, fan.job, job.accepted_ms, plan.now_ms, self._ttl)
        return places

    def _result(
        self, planned: Planned, replies: Sequence[Any], worker: str
    ) -> Claim | MousetrapError | _Judged:
        request, plain, place = planned.request, planned.plain, planned.place
        if plain is None:
            return self._settled(request, replies[place], self._transition(request, worker), worker)
        held, run = replies[place], replies[planned.run]
        live = _LIVE_FOR_CHILDREN if request.job.fans else _LIVE
        if held is None and run in live and self._follows(planned, replies):
            return plain
        if isinstance(held, Exception) and not str(held).startswith("WRONGTYPE"):
            return self._sender.error(held)
        return self._transition(
            request,
            worker,
            taken=plain.record.decode() if held is None else "",
            restore=self.restored(request.job) if run == b"" else "",
        )

    def _follows(self, planned: Planned, replies: Sequence[Any]) -> bool:
        """Whether the parent is done under the fence that the message names; has opened it, of a child.

        One that is not known is for Lua, which writes an event: the run's result is found by that, for no record leads to it.
        """
        job = planned.request.job
        if planned.around and b"fired" in [replies[place] for place in planned.around]:
            return False
        if job.fans and is_child(job):
            opened = replies[planned.parent]
            return isinstance(opened, bytes) and opened.isdigit() and int(opened) > job.fans[-1].index
        if job.parent and planned.request.gathers and replies[planned.parent + 1] not in (None, b"fired"):
            return False
        return not job.parent or replies[planned.parent] == b"D%08x" % _parent_fence(job)

    def _settled(
        self, request: ClaimRequest, reply: Any, asked: Any, worker: str
    ) -> Claim | MousetrapError | _Judged:
        try:
            answer = self._sender.answer(reply)
        except MousetrapError as error:
            return error
        if answer[0] == "unopened":
            taken = _claim_of(asked).taken
            return self._transition(request, worker, taken=taken, restore=self.restored(request.job))
        if answer[0] == "granted":
            return Granted(*answer[1:])
        return read_refusal(answer, request.job, self._keyring)

    def _transition(
        self, request: ClaimRequest, worker: str, *, taken: str = "", restore: str = ""
    ) -> _Judged:
        job = request.job
        claim = ClaimJob(
            job=job.id,
            run=job.run_id,
            stage=job.stage,
            attempt=job.attempt,
            parent=job.parent or "",
            parent_fence=_parent_fence(job),
            accepted_ms=job.accepted_ms,
            generation=job.generation,
            expires_ms=job.expires_ms or 0,
            worker=worker,
            redelivered=request.redelivered,
            lock=request.lock,
            waits=request.waits,
            crashes=request.crashes,
            lease=int(request.lease * 1000),
            keep=self._keep,
            taken=taken,
            restore=restore,
            limited=request.limits,
            ttl=self._ttl,
        )
        return cast(_Judged, in_fans(job, claim))


def _claim_of(judged: Any) -> ClaimJob:
    return cast(ClaimJob, judged.call if isinstance(judged, InFan) else judged)


def _grant(stage: str, lease: float, fan: str, worker: str, now: int) -> Granted:
    facts = JobFacts(stage=stage, worker=worker, claimed_ms=now, until_ms=now + int(lease * 1000), fan=fan)
    return Granted(fence=_FIRST_FENCE, starts=1, record=encode_claim(_FIRST_FENCE, facts))


def _may_be_rejected(planned: Planned, replies: Sequence[Any]) -> bool:
    """Whether the run of a claim that met an ended one may be open by now: not one that had ended otherwise."""
    if planned.request.job.parent:
        return False
    return planned.plain is None or replies[planned.run] not in _ENDED_OTHERWISE


def _fans_of(request: ClaimRequest) -> Sequence[str]:
    """The jobs whose children the claim judges by, beside those whose child its job is."""
    job = request.job
    return [*([job.id] if request.opens else []), *([job.parent] if request.gathers and job.parent else [])]


def _parent_fence(job: Job) -> int:
    return job.parent_fence or 0
