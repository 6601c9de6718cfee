"""A run in the hands of an asynchronous caller."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Generic, TypeVar

from mousetrap.blobs import in_run
from mousetrap.client.backend import Backend, HasBlobs, JobsWanted, Repetition
from mousetrap.client.errors import ResultLeftOut, UnknownRun, WaitTimeout, not_completed
from mousetrap.client.targets import DEFAULTS, Aim
from mousetrap.jobs import MousetrapError, QueueUnreachable, RecordDamaged, StoreUnreachable
from mousetrap.pipeline import ContractBroken, write
from mousetrap.shapes import Event, JobLine, JobState, Progress, Run, RunState
from mousetrap.submit_run import OptionInvalid, Span, seconds

O_co = TypeVar("O_co", covariant=True)

#: How long a wait or a follow goes on while the store, or the API, is away; then its error is raised.
_OUTAGE_S = 60.0
#: Between two tries to reach it.
_RETRY_S = 0.5
#: Between two looks for a run that a relay is to submit: as often as the relay looks for its row.
_LOOK_S = 0.2
#: As many jobs as the API gives in one page.
_JOBS_A_PAGE = 200

BackendNow = Callable[[], Awaitable[Backend]]


class AsyncHandle(Generic[O_co]):
    """A run: its id, and what can be done with it. Typed by what its last stage gives."""

    def __init__(
        self, backend: BackendNow, run_id: str, aim: Aim, *, new: bool = True, submitted_within: Span = 0
    ) -> None:
        self._backend = backend
        self._aim = aim
        self._submitted_within_s = seconds(submitted_within, "submitted_within")
        self.id = run_id
        #: False where this very submission was accepted before.
        self.new = new

    def __repr__(self) -> str:
        return f"<run {self.id} of {self._aim.name}>" if self._aim.name else f"<run {self.id}>"

    async def wait(self, timeout: Span | None = None) -> O_co:  # noqa: ASYNC109  the caller's word for it
        """The result, once the run has completed; `timeout` in seconds or a timedelta, None for no end.

        Raises RunFailed, RunCancelled or RunExpired, with the run's story; WaitTimeout, and then the run goes on; ResultLeftOut; UnknownRun;
        StoreUnreachable where the store, or the API, stays away for a minute.
        """
        limit = None if timeout is None else seconds(timeout, "timeout")
        run = await self._ended(limit)
        if run is None:
            raise WaitTimeout(self.id, limit or 0.0, await self._as_it_is())
        if run.state != RunState.COMPLETED:
            raise not_completed(run)
        if damage := [each for each in run.unreadable if each.startswith("result")]:
            raise RecordDamaged(f"run {self.id} completed, and its result cannot be read: {damage[0]}")
        if run.left_out is not None:
            raise ResultLeftOut(run.id, run.left_out)
        backend = await self._backend()
        try:
            if isinstance(backend, HasBlobs):  # so that the blobs in it can be opened
                return in_run(backend.chunks(self.id), self._aim.result, run.result)  # type: ignore[no-any-return]
            result: O_co = self._aim.result(run.result)
        except ContractBroken as error:
            error.add_note(f"it is the result of run {self.id}: see it with `mousetrap show {self.id}`")
            raise
        return result

    async def status(self) -> Run:
        """The run as it is now, with its timeline. Raises UnknownRun and StoreUnreachable."""
        return await (await self._backend()).get(self.id)

    async def cancel(self) -> RunState:
        """Cancels the run: no attempt of it begins any more.

        Returns the state after this: `cancelled`, or the one in which it had ended before. Raises UnknownRun.
        """
        return await (await self._backend()).cancel(self.id)

    async def rerun(
        self, begin: str = "start", *, input: Any = DEFAULTS, unique: str | None = None
    ) -> "AsyncHandle[O_co]":
        """Repeats the run as a new one: from its `start`, from where it `failed`, or from a stage's name.

        `input` replaces what that stage was given. Raises UnknownRun and RerunImpossible.
        """
        body = None if input is DEFAULTS else write(input, Any)
        repetition = Repetition(
            run_id=self.id, begin=begin, input=body, unique=unique, known=self._aim.pipeline
        )
        accepted = await (await self._backend()).rerun(repetition)
        return AsyncHandle(self._backend, accepted.run_id, self._aim, new=accepted.new)

    async def jobs(self, *, stage: str | None = None, state: str | None = None) -> AsyncIterator[JobLine]:
        """The run's jobs as they are now, by stage and then by index: each has its output, its attempts and its failure.

        `stage` and `state` ("failed", "running", …) leave out others. Large runs come in pages, each as of when it is read.
        Raises OptionInvalid, UnknownRun, StoreUnreachable, and UnknownPipeline where no worker has the pipeline.
        """
        wanted = JobsWanted(
            run_id=self.id,
            limit=_JOBS_A_PAGE,
            stage=stage,
            state=None if state is None else _state(state),
            known=self._aim.pipeline,
        )
        while True:
            page = await (await self._backend()).jobs(wanted)
            for line in page.jobs:
                yield line
            if page.next is None:
                return
            wanted = replace(wanted, after=page.next)

    async def follow(self) -> AsyncIterator[Event | Progress]:
        """The run's events from its start, each once, as they happen, and its progress; ends with the run.

        It reconnects. Raises UnknownRun, and StoreUnreachable where the store, or the API, stays away for a minute.
        """
        after, outage = "0", _Outage()
        await self._submitted(self._submitted_within_s)
        while True:
            try:
                async for each in (await self._backend()).events(self.id, after):
                    outage = _Outage()
                    yield each
                    if isinstance(each, Event):
                        after = each.id
                        if each.last:
                            return
                await self.status()  # a stream that ended early; this raises for a run that is forgotten
            except (StoreUnreachable, QueueUnreachable) as error:
                await outage.pause(error)
            else:
                await asyncio.sleep(_RETRY_S)

    async def _ended(self, limit: float | None) -> Run | None:
        """The run once it has ended; None after `limit` seconds."""
        deadline = None if limit is None else time.monotonic() + limit
        await self._submitted(min(self._submitted_within_s, math.inf if limit is None else limit))
        outage = _Outage()
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left < 0 and limit:
                return None
            try:
                run = await (await self._backend()).wait_ended(self.id, left)
            except StoreUnreachable as error:
                await outage.pause(error)
                continue
            if run is not None or deadline is not None:
                return run

    async def _submitted(self, within_s: float) -> None:
        """Returns once the run is known, or after `within_s` seconds: what is asked of it then raises UnknownRun."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            with suppress(UnknownRun, StoreUnreachable):
                await self.status()
                return
            await asyncio.sleep(_LOOK_S)

    async def _as_it_is(self) -> Run | None:
        try:
            return await self.status()
        except MousetrapError:
            return None


def _state(name: str) -> JobState:
    try:
        return JobState(name)
    except ValueError:
        known = ", ".join(JobState)
        raise OptionInvalid("state", f"state is {name!r}, and a job is one of: {known}") from None


class _Outage:
    """How long a server has been away."""

    def __init__(self) -> None:
        self._since: float | None = None

    async def pause(self, error: MousetrapError) -> None:
        """Waits a moment before the next try. Raises the error once the outage is long."""
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since > _OUTAGE_S:
            raise error
        await asyncio.sleep(_RETRY_S)
