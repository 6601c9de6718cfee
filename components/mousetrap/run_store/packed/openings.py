"""Opens packed runs, those of one tick of the event loop together."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from mousetrap.jobs import Job, MousetrapError, first_job, read_trace
from mousetrap.run_store.keys import LONGEST_DELAY, OPENED, OPENED_DELAYED, packed_run_key, reruns_key
from mousetrap.run_store.packed.call import Call, extended
from mousetrap.run_store.packed.hinted import Hinted
from mousetrap.run_store.packed.hints import DAY_MS, Listed, add_names, add_opened, ends_of, names_of
from mousetrap.run_store.packed.sender import LIBRARY, Sender, ignore_error
from mousetrap.run_store.packed.transitions import OpenRun
from mousetrap.run_store.records import RunFacts, encode_run
from mousetrap.run_store.run_filter import tag_list


class NewRun(NamedTuple):
    """A run to open."""

    run_id: str
    facts: RunFacts
    input: bytes
    #: The id of its first job.
    first: str

    def first_job(self) -> Job:
        """The job that starts the run. Only of one without a reference."""
        return first_job(
            run_id=self.run_id,
            pipeline=self.facts.pipeline,
            stage=self.facts.stage,
            payload=self.input,
            accepted_ms=self.facts.accepted_ms,
            expires_ms=self.facts.expires_ms or None,
            v=5,
            trace=read_trace(self.facts.trace),
            priority=self.facts.priority,
        )


class Found(NamedTuple):
    """What `open` found: the run as it was accepted, perhaps earlier."""

    state: Literal["opened", "waiting", "known", "conflict"]
    accepted_ms: int
    expires_ms: int
    due_ms: int
    #: Of a run that is opened or waits: the number of this submission among those of the run. A rejection names it.
    number: int


class Openings:
    """Opens runs: the records each by a command of its own, lists and openings by one command for all."""

    def __init__(self, sender: Sender, ttl: int) -> None:
        self._sender = sender
        self._ttl = ttl
        self._hinted = Hinted(sender, ttl)
        #: Each with its record.
        self._waiting: list[tuple[NewRun, bytes, asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def open(self, run: NewRun) -> Found:
        """Records the run unless its id is recorded. Raises StoreUnreachable, and at once what no record can be made of."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((run, encode_run(run.facts, run.input), future))
        if len(self._waiting) == 1:
            sending = asyncio.create_task(self._send())
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
        reply = await future
        if reply is None:
            return _opened(run)
        if isinstance(reply, Exception):
            raise reply if isinstance(reply, MousetrapError) else self._sender.error(reply)
        found = await self._by_lua(run)
        if found.state != "opened":
            await self._unlist(run, found)
        return found

    async def close(self) -> None:
        """Waits for those under way."""
        if self._sending:
            await asyncio.wait(set(self._sending))

    async def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        names, records = Call(), Call()
        runs = [run for run, *_ in waiting]
        for run, record, _ in waiting:
            kept = extended(self._ttl + _delay(run))
            records.add("SET", packed_run_key(run.run_id), record, "NX", "GET", "PX", kept)
        try:
            fresh = self._hinted.note(names, {run.facts.pipeline for run in runs})
            # Named before they are recorded: a run that is recorded and not named would never be published.
            self._name(names, runs)
            self._list(names, runs)
            replies = await self._send_in_order(names, records)
            self._hinted.noted(fresh)
        except Exception as error:  # noqa: BLE001  each of those who wait gets it
            replies = [error] * len(waiting)
        for (*_, future), reply in zip(waiting, replies, strict=True):
            if not future.done():
                future.set_result(reply)

    async def _send_in_order(self, names: Call, records: Call) -> Sequence[Any]:
        """The replies for the records. The first call of all asks as well whether there are any runs."""
        probe = self._hinted.probe()
        if not probe:
            return await self._sender.send_in_order(names.commands, records.commands)
        if self._sender.is_cluster:
            self._hinted.probed(await self._sender.send(probe))
            return await self._sender.send_in_order(names.commands, records.commands)
        replies = await self._sender.send([*probe, *names.commands, *records.commands])
        self._hinted.probed(replies[: len(probe)])
        noting = Call()
        self._hinted.note(noting, set())
        self._sender.send(noting.commands).add_done_callback(ignore_error)
        return replies[-len(records.commands) :]

    def _name(self, names: Call, runs: Sequence[NewRun]) -> None:
        """Names the runs as not published. A time that grows keeps who has seen an older one from taking the name away."""
        if at_once := [run for run in runs if not run.facts.due_ms]:
            names.add("ZADD", OPENED, *_dated(at_once))
            names.add("PEXPIRE", OPENED, self._ttl)
        if delayed := [run for run in runs if run.facts.due_ms]:
            kept = self._ttl + max(map(_delay, delayed))
            names.add("ZADD", OPENED_DELAYED, *_dated(delayed))
            names.add("PEXPIRE", OPENED_DELAYED, kept, "NX")
            names.add("PEXPIRE", OPENED_DELAYED, kept, "GT")

    def _list(self, names: Call, runs: Sequence[NewRun]) -> None:
        if at_once := [run for run in runs if not run.facts.due_ms]:
            add_opened(names, list(map(_listed, at_once)), self._ttl)
        if delayed := [run for run in runs if run.facts.due_ms]:
            longest = max(map(_delay, delayed))
            names.add("FCALL", f"{LIBRARY.name}_note_delay", 1, LONGEST_DELAY, longest, self._ttl)
            add_opened(names, list(map(_listed, delayed)), self._ttl + longest, longer=True)
        if rare := [run for run in runs if run.facts.expires_ms or run.facts.tags or run.facts.rerun_of]:
            self._list_rare(names, rare)

    def _list_rare(self, names: Call, runs: Sequence[NewRun]) -> None:
        """Names runs that can expire, that have tags, and that repeat others."""
        for run in runs:
            kept, facts = self._ttl + _delay(run), run.facts
            lists = ends_of("expired", _listed(run), "") if facts.expires_ms else []
            lists += [tag_list(tag) for tag in msgspec.json.decode(facts.tags or "[]")]
            add_names(names, {name: [_listed(run)] for name in lists}, kept)
            if facts.rerun_of:
                key = reruns_key(facts.rerun_of)
                names.add("SADD", key, run.run_id)
                names.add("PEXPIRE", key, kept + 2 * DAY_MS)

    async def _by_lua(self, run: NewRun) -> Found:
        facts = run.facts
        transition = OpenRun(
            run=run.run_id,
            record=encode_run(facts, run.input).decode(),
            first=run.first,
            pipeline=facts.pipeline,
            digest=facts.digest,
            delay=_delay(run),
            ttl=self._ttl,
        )
        # Where a message of the submission that was rejected is claimed meanwhile, that claim names the run again.
        state, *found = await self._sender.call(transition)
        return _opened(run) if state == "opened" else Found(state, *found)

    async def _unlist(self, run: NewRun, found: Found) -> None:
        """Takes back what named a run that was recorded before."""
        commands: list[tuple[str, ...]] = []
        if found.accepted_ms != run.facts.accepted_ms:
            commands = [("ZREM", *named) for named in names_of(_listed(run))]
        if found.state == "known":
            commands.append(("ZREM", OPENED_DELAYED if run.facts.due_ms else OPENED, run.run_id))
        if commands:
            await self._sender.send(commands)


def _delay(run: NewRun) -> int:
    return run.facts.due_ms - run.facts.accepted_ms if run.facts.due_ms else 0


def _dated(runs: Sequence[NewRun]) -> list[int | str]:
    """Scores and members of a sorted set."""
    return [part for run in runs for part in (run.facts.accepted_ms, run.run_id)]


def _listed(run: NewRun) -> Listed:
    return run.facts.pipeline, run.facts.accepted_ms, run.run_id


def _opened(run: NewRun) -> Found:
    return Found("opened", run.facts.accepted_ms, run.facts.expires_ms, run.facts.due_ms, 1)
