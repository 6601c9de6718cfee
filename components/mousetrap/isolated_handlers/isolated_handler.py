"""Runs a handler in its own process and returns its outcome."""

import asyncio
from functools import partial

from mousetrap.handlers import Binding, BoundHandler, HandlerHost, ProgressReporter, Raised
from mousetrap.isolated_handlers.process_pool import ProcessPool
from mousetrap.isolated_handlers.protocol import Call
from mousetrap.jobs import Job, Outcome


class IsolatedHandler(BoundHandler):
    """A handler in child processes, which can be killed: by a timeout, by a cancel, or by what the handler does.

    1. A job waits until one of at most `processes` is free; the wait counts towards its timeout.
    2. At its soft timeout SoftTimeout is raised in the handler.
    3. At its timeout, or when the attempt is cancelled, its process ends, with all that the handler started.

    Raises ValueError for a binding that another process could not import.
    """

    def __init__(self, binding: Binding, host: HandlerHost, *, processes: int) -> None:
        super().__init__(binding, host)
        self._pool = ProcessPool(binding, processes)

    async def run(self, job: Job, *, fence: int, lock_fence: int = 0) -> Outcome:
        """Makes one attempt, as BoundHandler has it. Cancelled, it returns when the process is gone."""
        call = Call(
            info=self._attempt(job, fence, lock_fence),
            payload=job.written,
            soft_timeout=self.stage.soft_timeout,
            chance=self._host.chance(),
            largest=self._host.largest,
            report=ProgressReporter(self._host.report, job.run_id),
            emit=self._host.emit,
            children=self._host.children,
            pages=partial(self._host.gathered, job.run_id),
            chunks=self._host.chunks(job.run_id),
        )
        ended: Outcome | Raised
        try:
            async with asyncio.timeout(self.stage.timeout) as limit:
                ended = await self._pool.run(call)
        except BaseException as error:  # noqa: BLE001  all of it is judged
            ended = Raised(error)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        if limit.expired():
            return self._timed_out(job)
        return self.judged(ended.error, job) if isinstance(ended, Raised) else ended

    async def close(self) -> None:
        """Ends the processes: each leaves its lifespan, unless that takes longer than a few seconds."""
        await self._pool.close()
