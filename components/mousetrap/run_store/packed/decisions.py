"""Records the outcomes of packed jobs."""

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mousetrap.jobs import Done, GiveUp, Job, MousetrapError
from mousetrap.run_store.claim_replies import read_more
from mousetrap.run_store.keys import newest_key, packed_job_key, packed_run_key
from mousetrap.run_store.notifications import CHANGES, ENDS
from mousetrap.run_store.packed.call import Call
from mousetrap.run_store.packed.fans import in_fans, needed
from mousetrap.run_store.packed.hints import Listed
from mousetrap.run_store.packed.open_runs import EndedRuns
from mousetrap.run_store.packed.sender import LIBRARY, Sender, function_call
from mousetrap.run_store.packed.transitions import CloseFan, RecordDone, RecordGiveUp, RecordRetry, WaitOut
from mousetrap.run_store.packed.way_ends import WayEnds
from mousetrap.run_store.records import STOPPED
from mousetrap.run_store.requests import Decision, DecisionRequest
from mousetrap.run_store.signed_records import signed_verdict, write_verdict
from mousetrap.run_store.transitions import Transition, text_of
from mousetrap.signing import Keyring

#: Errors of a plain command that Lua looks into: a record of another type, and a server that does not know `IFEQ` though the one
#: that was asked does, as there can be in a cluster or after a failover.
_FOR_LUA = ("WRONGTYPE", "syntax error")
#: An id that this project makes.
_OURS = re.compile("[0-9a-f]{32}")
#: In place of the stage that follows, where none is named.
UNKNOWN_STAGE = "?"
#: The results of decisions that are recorded and have ended their runs: the last of children that nothing joins, and one too few.
_COMPLETED, _FAILED = "completed", "failed"


class Planned(msgspec.Struct, frozen=True, gc=False):
    """A decision, and where its reply is."""

    request: DecisionRequest
    place: int
    #: Whether it is a plain one.
    plain: bool
    #: Where the run's first byte is; 0 where it was not asked for.
    run: int = 0
    #: Which of the replies there is its own, where the decision ends a child's way; else -1.
    end: int = -1


@dataclass(slots=True)
class Plan:
    """The decisions of one call, and what they share."""

    call: Call
    worker: str
    now_ms: int
    ends: WayEnds
    #: What the records begin with, by claim, whether the stage is the last, and what follows; of ends of ways by claim and what
    #: follows: the same for all jobs of a stage that were claimed together.
    heads: dict[tuple[bytes, bool, str | None] | tuple[bytes, str | None], bytes] = field(
        default_factory=dict
    )
    #: The decisions in their order, and whether all are plain ones that end no child's way.
    planned: list[Planned] = field(default_factory=list)
    is_usual: bool = True
    #: The runs that complete with them, by pipeline, each with when it was accepted.
    completing: defaultdict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))


class Decisions:
    """Records a batch: first by plain commands, then what they refused by Lua."""

    def __init__(self, sender: Sender, ended: EndedRuns, keyring: Keyring, ttl: int, keep: int) -> None:
        self._sender = sender
        self._ended = ended
        self._keyring = keyring
        self._ttl, self._ttl_text = ttl, str(ttl)
        self._keep = keep

    def plan(self, call: Call, requests: Sequence[DecisionRequest], worker: str) -> Plan:
        """Puts the decisions into the call, and notifies those who wait for their runs."""
        plan = Plan(call, worker, self._sender.now_ms(), WayEnds(call))
        plan.planned = [self._first(plan, request) for request in requests]
        plan.ends.close(plan.now_ms, self._ttl)
        newest, changed = plan.completing, []
        for request in requests:
            job = request.job
            if _completes(request):
                newest[job.pipeline].append((job.accepted_ms, job.run_id))
            elif (
                not job.fans
            ):  # of children a watcher looks each second: for each of them this would cost all
                changed.append(job.run_id)
        for pipeline, runs in newest.items():
            call.note_newest(pipeline, runs, self._ttl)
        call.publish(ENDS, [run_id for runs in newest.values() for _, run_id in runs])
        call.publish(CHANGES, changed)
        return plan

    async def judge(self, plan: Plan, replies: Sequence[Any], worker: str) -> list[Decision | MousetrapError]:
        """The results of the decisions; those that the plain commands refused are judged by Lua."""
        planned = plan.planned
        results: list[Any] = [self._result(it, replies) for it in planned]
        if plan.is_usual and results.count("recorded") == len(results):
            self._ended.completed(plan.completing)
            return results
        if refused := [place for place, it in enumerate(results) if it is None]:
            call = Call()
            for place in refused:
                call.add(*function_call(self._transition(planned[place].request, worker)))
            again = await self._sender.send(call.commands)
            for place, reply in zip(refused, again, strict=True):
                results[place] = self._answer(reply)
        if results.count("recorded") < len(results):
            await self._forget_newest(planned, results)
        self._note_ended(planned, results)
        if _COMPLETED in results:
            await self._name_newest(planned, results)
        return results

    def _note_ended(self, planned: Sequence[Planned], results: Sequence[Any]) -> None:
        """Only once it is on record: a run taken off before would be one that nothing leads to, if its decision were refused."""
        completed: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        unsure = []
        for it, result in zip(planned, results, strict=True):
            is_usual, job = it.plain and it.end < 0, it.request.job
            if result == _COMPLETED or (result == "recorded" and is_usual and it.request.last):
                completed[job.pipeline].append((job.accepted_ms, job.run_id))
            elif result in ("recorded", _FAILED) and not is_usual and _may_end(it.request):
                unsure.append(_listed(job))
        self._ended.completed(completed)
        self._ended.may_have_ended(unsure)

    def _first(self, plan: Plan, request: DecisionRequest) -> Planned:
        job, claim, outcome = request.job, request.claim.record, request.outcome
        is_plain = (
            isinstance(outcome, Done) and outcome.instead_of is msgspec.UNSET and not _is_parent(outcome)
        )
        if not claim or not is_plain:
            return self._by_lua(plan, request)
        if job.fans and request.joins:
            return self._end(plan, request)
        call, of = plan.call, (claim, request.last, request.next_stage)
        if (head := plan.heads.get(of)) is None:
            head = plan.heads[of] = _head(*of, plan.now_ms)
        record = head + self._verdict(request)
        key, run = packed_job_key(job.run_id, job.id), packed_run_key(job.run_id)
        if request.last:
            call.keep(job.run_id, job.accepted_ms, plan.now_ms, self._ttl)
            place = call.add("FCALL", f"{LIBRARY.name}_decide", 2, key, run, claim, record, self._ttl)
            return Planned(request, place, plain=True)
        if self._sender.compares:
            place = call.add("SET", key, record, "IFEQ", claim, "PX", self._ttl_text)
        else:
            place = call.add("FCALL", f"{LIBRARY.name}_decide", 1, key, claim, record, self._ttl)
        return Planned(request, place, plain=True, run=call.add("GETRANGE", run, "0", "0"))

    def _by_lua(self, plan: Plan, request: DecisionRequest) -> Planned:
        plan.is_usual = False
        transition = self._transition(request, plan.worker)
        return Planned(request, plan.call.add(*function_call(transition)), plain=False)

    def _end(self, plan: Plan, request: DecisionRequest) -> Planned:
        """The end of a child's way, which is counted with it."""
        job, of = request.job, (request.claim.record, request.next_stage)
        if not _OURS.fullmatch(job.id):  # which Lua finds out as well
            return self._by_lua(plan, request)
        plan.is_usual = False
        if (head := plan.heads.get(of)) is None:
            head = plan.heads[of] = _head_of_end(*of, plan.now_ms)
        place, end = plan.ends.add(job, request.claim.record, head + self._verdict(request))
        return Planned(request, place, plain=True, end=end)

    def _result(self, planned: Planned, replies: Sequence[Any]) -> Any:
        """None where it is for Lua to judge."""
        reply = replies[planned.place]
        if not planned.plain:
            return self._answer(reply)
        if isinstance(reply, Exception):
            return None if str(reply).startswith(_FOR_LUA) else self._sender.error(reply)
        if not reply:
            return None
        if planned.end >= 0:
            return self._result_of_end(reply[planned.end])
        return "over" if planned.run and replies[planned.run] in STOPPED else "recorded"

    def _result_of_end(self, reply: Any) -> Any:
        return "recorded" if reply == 1 else self._answer(reply) if reply else None

    def _answer(self, reply: Any) -> Any:
        try:
            decision, *more = self._sender.answer(reply)
        except MousetrapError as error:
            return error
        return read_more(decision, more)

    async def _name_newest(self, planned: Sequence[Planned], results: Sequence[Any]) -> None:
        """Names the runs that ended with the last of children that nothing joins."""
        call = Call()
        for it, result in zip(planned, results, strict=True):
            if result == _COMPLETED:
                job = it.request.job
                call.note_newest(job.pipeline, [(job.accepted_ms, job.run_id)], self._ttl)
        await self._sender.send(call.commands)

    async def _forget_newest(self, planned: Sequence[Planned], results: Sequence[Any]) -> None:
        """A run that was named as completed before its decision was refused is so no more."""
        refused = [
            it.request.job
            for it, result in zip(planned, results, strict=True)
            if _completes(it.request) and result != "recorded"
        ]
        if refused:
            await self._sender.send([("ZREM", newest_key(job.pipeline), job.run_id) for job in refused])

    def _verdict(self, request: DecisionRequest) -> bytes:
        """The outcome as it is recorded; nothing follows from the last stage's, so it is not signed."""
        outcome = request.outcome
        if isinstance(outcome, Done) and outcome.instead_of is not msgspec.UNSET:
            failure = outcome.instead_of.failure.without_traceback()
            given_up = msgspec.structs.replace(outcome.instead_of, failure=failure)
            outcome = msgspec.structs.replace(outcome, instead_of=given_up)
        if request.last and not request.job.fans:
            return msgspec.json.encode(outcome)
        return signed_verdict(outcome, request.job, self._keyring)

    def _transition(self, request: DecisionRequest, worker: str) -> Transition:
        """The transition that records it, of a job with or among children."""
        return in_fans(request.job, self._inner(request, worker), request.joins)

    def _inner(self, request: DecisionRequest, worker: str) -> Transition:
        """The transition that records it. A traceback is kept once, in the timeline."""
        job, outcome, ttl = request.job, request.outcome, self._ttl
        about = (job.id, job.run_id, job.attempt, request.claim.fence, worker)
        if isinstance(outcome, Done):
            verdict = self._verdict(request).decode()
            following = "" if request.last and not job.fans else request.next_stage or UNKNOWN_STAGE
            story = "" if outcome.instead_of is msgspec.UNSET else text_of(outcome.instead_of.failure)
            if (children := outcome.opens) is None:
                return RecordDone(*about, verdict, following, story, self._keep, ttl)
            needs, within = needed(request.need), math.ceil(request.within * 1000)
            return CloseFan(*about, verdict, following, story, children, *needs, request.join, within, ttl)
        story = text_of(outcome.failure)
        short = msgspec.structs.replace(outcome, failure=outcome.failure.without_traceback())
        verdict = write_verdict(short, job, self._keyring)
        if isinstance(short, GiveUp):
            return RecordGiveUp(*about, verdict, text_of(short.failure), story, ttl)
        delay = int(short.after * 1000)
        if short.counted:
            return RecordRetry(*about, verdict, story, delay, ttl)
        return WaitOut(*about, story, delay, ttl)


def _head(claim: bytes, last: bool, next_stage: str | None, now: int) -> bytes:
    following = b"" if last else b',"next":%b' % msgspec.json.encode(next_stage)
    return b'D%b,"decided_ms":%d%b}\n' % (claim[1:-1], now, following)


def _head_of_end(claim: bytes, next_stage: str | None, now: int) -> bytes:
    following = msgspec.json.encode(next_stage or UNKNOWN_STAGE)
    return b'D%b,"decided_ms":%d,"next":%b,"joins":true}\n' % (claim[1:-1], now, following)


def _listed(job: Job) -> Listed:
    """The run as lists name it. After a redrive the job has another time, and a reader takes the run off."""
    return job.pipeline, job.accepted_ms, job.run_id


def _may_end(request: DecisionRequest) -> bool:
    """Whether the run may have ended with this decision."""
    return request.last or isinstance(request.outcome, GiveUp)


def _completes(request: DecisionRequest) -> bool:
    return request.last and isinstance(request.outcome, Done)


def _is_parent(outcome: Done) -> bool:
    return outcome.children is not msgspec.UNSET or outcome.forks is not msgspec.UNSET
