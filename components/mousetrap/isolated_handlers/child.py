"""Runs jobs inside an isolated handler's process, until its worker is gone."""

import asyncio
import fcntl
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context as ContextVars
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any

import msgspec

from mousetrap.blobs import in_run, use_chunks
from mousetrap.handlers import (
    HOOK_S,
    AttemptFailed,
    AttemptInfo,
    Binding,
    Context,
    Items,
    OnError,
    Raised,
    Returned,
    SoftLimit,
    SoftTimeout,
    Yields,
    call,
    call_async,
    call_hook,
    context_of,
    done,
    facts_of,
    forked,
    hook_variables,
    input_broken,
    judged,
    run_surrounded,
    run_through,
)
from mousetrap.isolated_handlers.child_chunks import ChildChunks, ChildPages, ChunkCalls
from mousetrap.isolated_handlers.child_items import ChildItems
from mousetrap.isolated_handlers.child_socket import ChildSocket
from mousetrap.isolated_handlers.paused_loop import PausedLoopCalls
from mousetrap.isolated_handlers.protocol import (
    Chunk,
    Exit,
    Item,
    Kept,
    Logged,
    NoMoreItems,
    Outputs,
    Result,
    RunJob,
    Setup,
    SoftTimeoutOver,
    Started,
    Yielded,
)
from mousetrap.jobs import Done, GiveUp, Outcome, RetryLater
from mousetrap.pipeline import ContractBroken, Payload, SerializerMissing, read_payload, use_pages
from mousetrap.shutdown import own_loop, own_signals
from mousetrap.telemetry import AttemptFacts, AttemptFilter, KeptLine, LineKeeper, belongs_to
from mousetrap.tracing import enter_trace

#: Interrupts the main thread for a SoftTimeoutOver or an Exit; only this process sends it.
_INTERRUPT = signal.SIGUSR1
#: Seconds until it is sent again.
_INTERRUPT_AGAIN_S = 0.02
#: Lines of one attempt that are sent to the worker at once, and later so many at most in each of these spans.
_MOST_LINES, _EVERY_S = 1_000, 0.5


class Stopped(BaseException):
    """Raised in a handler whose job was cancelled; a handler that catches every Exception does not catch it."""


def serve(connection: int, lifeline: int) -> None:
    """Runs the jobs that come over the socket `connection`, until the worker asks for the exit or is gone."""
    _die_with(lifeline)
    for number in (signal.SIGINT, signal.SIGTERM):  # the worker handles them, and sends us an Exit
        signal.signal(number, lambda number, frame: None)
    child_socket = ChildSocket(socket.socket(fileno=connection))
    setup = child_socket.receive()
    if not isinstance(setup, Setup):
        return  # the worker was gone before it sent anything
    level, formatter, keeps = pickle.loads(setup.log)
    lines = _Lines(child_socket.send)
    _log_as(level, formatter, keeps, lines)
    with asyncio.Runner() as runner:
        own_loop(runner.get_loop())
        _Child(pickle.loads(setup.binding), child_socket, runner.get_loop(), lines).run()
    child_socket.close()


def _die_with(lifeline: int) -> None:
    """The kernel kills this process group when the pipe breaks whose other end the worker holds.

    No thread could do that: it would wait for a handler that never releases the interpreter's lock. PR_SET_PDEATHSIG
    would spare the programs that the handler started. Where a kernel can do neither, `_receive_all` does what it can.
    """
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _log_as(level: int, formatter: logging.Formatter | None, keeps: int | None, lines: "_Lines") -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(AttemptFilter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    if keeps is not None:
        logging.getLogger().addHandler(LineKeeper(lines.keep, keeps))


class _Lines:
    """Sends the lines of an attempt to the worker, whose event loop each costs.

    The first thousand are sent at once. Of a flood the newest thousand are sent twice a second, for the end of it is what is kept;
    the first of them has how many were left out before it.
    """

    def __init__(self, send: Callable[[Logged], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._attempt: AttemptFacts | None = None
        self._count = 0
        self._held: deque[KeptLine] = deque(maxlen=_MOST_LINES)
        self._left_out = 0
        self._timer: threading.Timer | None = None

    def keep(self, line: KeptLine) -> None:
        with self._lock:
            if line.facts is not self._attempt:
                self._flush()
                self._attempt, self._count = line.facts, 0
            self._count += 1
            if self._count <= _MOST_LINES:
                self._send(Logged(line))
                return
            self._left_out += len(self._held) == _MOST_LINES
            self._held.append(line)
            if self._timer is None:
                self._timer = threading.Timer(_EVERY_S, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Sends what is held back, as at the end of an attempt."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._left_out:
            self._held[0] = msgspec.structs.replace(self._held[0], left_out=self._left_out)
            self._left_out = 0
        for line in self._held:
            self._send(Logged(line))
        self._held.clear()


@dataclass(slots=True, eq=False)
class _Attempt:
    """The attempt under way, and what can interrupt its handler."""

    number: int
    stopped: threading.Event = field(default_factory=threading.Event)
    #: Whether the main thread is in the handler, or nearly; an async handler has a task instead.
    entered: bool = False
    task: asyncio.Task[Returned | Raised] | None = None
    soft_limit: SoftLimit = field(default_factory=SoftLimit)
    #: Those of a surrounded handler.
    calls: PausedLoopCalls | None = None
    #: The worker's message that is to interrupt the handler.
    interruption: Exit | SoftTimeoutOver | None = None


class _Child:
    """The handler and what it depends on, in two threads.

    1. The main thread enters the lifespan in a task of its event loop.
    2. It runs one job after another: async handlers on the loop, sync handlers while the loop is paused, so that they may
       call asyncio.run(), and signals reach them.
    3. The second thread receives the worker's messages. It interrupts the main thread by a signal, and kills the process
       group when the worker is gone.
    4. After an Exit the main thread leaves the lifespan.
    """

    def __init__(
        self, binding: Binding, child_socket: ChildSocket, loop: asyncio.AbstractEventLoop, lines: _Lines
    ) -> None:
        self._lines = lines
        self._binding = binding
        self._stage = binding.stage
        self._takers = binding.pipeline.takers(binding.stage)
        self._forks = binding.pipeline.forks(binding.stage)
        self._socket = child_socket
        self._loop = loop
        self._inbox: asyncio.Queue[RunJob | None] = asyncio.Queue()
        self._deps: asyncio.Future[Any] = loop.create_future()
        self._leaving = asyncio.Event()
        self._exit_asked = False
        #: The error of the attempt, for the binding's hook.
        self._error: BaseException | None = None
        #: The number of the value that was yielded last, and what gets the reply about it.
        self._yielded = 0
        self._kept: asyncio.Future[Any] | None = None
        self._chunk_calls = ChunkCalls(child_socket.send)
        #: Bytes of an output.
        self._largest = 0
        self._attempt = _Attempt(0)
        self._variables = copy_context()

    def run(self) -> None:
        """Runs jobs until an Exit; the lifespan is entered before the first and left after the last."""
        signal.signal(_INTERRUPT, self._on_interrupt)
        own_signals(_INTERRUPT, signal.SIGINT, signal.SIGTERM)
        threading.Thread(target=self._receive_all, name="receive", daemon=True).start()
        lifespan = self._loop.create_task(self._lifespan())
        while (job := self._loop.run_until_complete(self._inbox.get())) is not None:
            self._error = None
            outcome, is_unfit = self._outcome(job, lifespan)
            if self._binding.on_error is not None and not isinstance(outcome, Done):
                self._call_hook(job, self._binding.on_error, outcome)
            self._lines.flush()
            self._socket.send(Result(msgspec.json.encode(outcome), last=is_unfit or lifespan.done()))
        self._leaving.set()
        if not lifespan.done():
            self._loop.run_until_complete(lifespan)

    async def _lifespan(self) -> None:
        # Entered and left in one task, as a lifespan with a task group needs it.
        async with self._binding.lifespan() as deps:
            self._variables = copy_context()
            self._deps.set_result(deps)
            await self._leaving.wait()

    def _outcome(self, job: RunJob, lifespan: "asyncio.Task[None]") -> tuple[Outcome, bool]:
        """The outcome, and whether the job left this process unfit for another one."""
        self._attempt, self._largest = _Attempt(job.number), job.largest
        chunks = ChildChunks(job.info.run_id, self._chunk_calls)
        try:
            payload = in_run(chunks, self._read, Payload(job.payload, job.serializer, job.is_text))
        except (ContractBroken, SerializerMissing) as broken:
            return input_broken(broken, self._stage), False
        except BaseException as error:  # noqa: BLE001  raised by the code of the contract's own class
            return self._judged(job, error), False
        try:
            ended = self._handled(job, self._opened(lifespan), payload, chunks)
        except BaseException as error:  # noqa: BLE001  the lifespan's, or an interruption as the handler ended
            ended = Raised(error)
        if not isinstance(ended, Raised):
            return ended, False
        task = self._attempt.task
        is_running = task is not None and not task.done()
        return self._judged(job, ended.error), is_running or issubclass(type(ended.error), MemoryError)

    def _handled(self, job: RunJob, deps: Any, payload: Any, chunks: ChildChunks) -> Outcome | Raised:
        """What the handler gave, as an outcome; or what it raised."""
        variables = self._variables.copy()  # what the handler sets in it is invisible to other attempts
        variables.run(belongs_to, facts_of(job.info))
        if job.trace is not msgspec.UNSET:
            variables.run(enter_trace, job.trace)
        variables.run(use_chunks, chunks)
        context = context_of(job.info, deps, self._attempt.stopped, self._socket.report, chunks)
        ended = self._call(self._attempt, variables, payload, context)
        if isinstance(ended, Raised):
            return ended
        return forked(variables.run(done, ended.value, self._stage, self._takers, job.largest), self._forks)

    def _read(self, written: Payload) -> Any:
        use_pages(lambda fan: ChildPages(fan, self._chunk_calls))
        return read_payload(written, self._stage)

    def _judged(self, job: RunJob, error: BaseException) -> Outcome:
        self._error = error
        return judged(error, job.info.attempt, self._stage, job.chance, time.time())

    def _opened(self, lifespan: "asyncio.Task[None]") -> Any:
        """The value of the lifespan. Raises what the lifespan raises."""
        either = asyncio.wait({lifespan, self._deps}, return_when=asyncio.FIRST_COMPLETED)
        self._loop.run_until_complete(either)
        if lifespan.done():
            lifespan.result()
        return self._deps.result()

    def _call(
        self, attempt: _Attempt, variables: ContextVars, payload: Any, context: Context[Any]
    ) -> Returned | Raised:
        arguments = (payload, context) if self._binding.takes_context else (payload,)
        try:
            attempt.entered = True  # from here on a signal raises, or finds the task: no interruption is lost
            if self._exit_asked:
                raise Stopped
            self._socket.send(Started())
            if self._binding.is_surrounded:
                return self._call_surrounded(attempt, variables, payload, context)
            if not self._binding.is_async:
                return variables.run(call, self._binding.handler, *arguments)
            coroutine = variables.run(self._binding.handler, *arguments)
            work = call_async(attempt.soft_limit.around, coroutine)
            attempt.task = self._loop.create_task(work, context=variables)
            attempt.entered = False
            return run_through(self._loop, attempt.task)
        finally:
            attempt.entered, attempt.interruption = False, None

    def _call_surrounded(
        self, attempt: _Attempt, variables: ContextVars, payload: Any, context: Context[Any]
    ) -> Returned | Raised:
        """What surrounds the handler runs on the loop, which is paused while a sync handler runs."""
        calls = attempt.calls = PausedLoopCalls(self._loop)
        given: Yields | Items = Yields(context, self._emit)
        if self._binding.gives_items:
            given = Items(self._binding, ChildItems(self._ask), self._largest)
        coroutine = run_surrounded(self._binding, calls, given, payload, context)
        work = call_async(attempt.soft_limit.around, coroutine)
        attempt.task = self._loop.create_task(work, context=variables)
        attempt.entered = False
        while run_through(self._loop, calls.asked_before(attempt.task)):
            attempt.entered = True
            calls.make()
            attempt.entered = False
        return attempt.task.result()

    async def _emit(self, attempt: AttemptInfo, number: int, value: bytes) -> Any:
        return (await self._ask(Yielded(number, value))).reply

    async def _ask(self, message: Yielded | Item | NoMoreItems) -> Kept:
        self._yielded, self._kept = message.number, self._loop.create_future()
        self._socket.send(message)
        kept: Kept = await self._kept
        return kept

    def _give_kept(self, kept: Kept) -> None:
        if self._kept is not None and kept.number == self._yielded and not self._kept.done():
            self._kept.set_result(kept)

    def _call_hook(self, job: RunJob, hook: OnError[Any], outcome: RetryLater | GiveUp) -> None:
        deps = self._deps.result() if self._deps.done() else None
        context = context_of(job.info, deps, self._attempt.stopped, self._socket.report)
        error = self._error or AttemptFailed(outcome.failure)
        work = self._loop.create_task(
            call_hook(hook, context, error, outcome, None), context=hook_variables(job.info)
        )
        run_through(self._loop, asyncio.wait([work], timeout=HOOK_S))
        work.cancel()

    def _receive_all(self) -> None:
        """Passes the worker's messages on, and ends this process group when the worker is gone."""
        while (message := self._socket.receive()) is not None:
            match message:
                case RunJob():
                    self._loop.call_soon_threadsafe(self._inbox.put_nowait, message)
                case Kept():
                    self._loop.call_soon_threadsafe(self._give_kept, message)
                case Chunk() | Outputs():
                    self._chunk_calls.end(message)
                case SoftTimeoutOver(number) if number == self._attempt.number:
                    self._interrupt(message)
                case Exit():
                    self._exit_asked = True
                    self._loop.call_soon_threadsafe(self._inbox.put_nowait, None)
                    self._interrupt(message)
        os.killpg(0, signal.SIGKILL)

    def _interrupt(self, message: Exit | SoftTimeoutOver) -> None:
        attempt = self._attempt
        attempt.stopped.set()
        attempt.interruption = message
        threading.Thread(
            target=_signal_until_handled, args=(attempt, message), name="interrupt", daemon=True
        ).start()

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """Handles the signal in the main thread, between any two bytecodes."""
        attempt = self._attempt
        message, attempt.interruption = attempt.interruption, None
        if message is None:
            return
        if attempt.entered or (attempt.task and asyncio.current_task(self._loop) is attempt.task):
            error = Stopped() if isinstance(message, Exit) else SoftTimeout("the soft time limit is over")
            if attempt.calls is None or not attempt.calls.interrupt(error):
                raise error
            return  # the function that waits gets it, and not the task around it as well
        if attempt.task:
            is_exit = isinstance(message, Exit)
            end = attempt.task.cancel if is_exit else partial(attempt.soft_limit.interrupt, attempt.task)
            self._loop.call_soon_threadsafe(end)


def _signal_until_handled(attempt: _Attempt, message: Exit | SoftTimeoutOver) -> None:
    """Sends the signal again and again: one that comes just before a system call does not interrupt the call."""
    main = threading.main_thread().ident
    assert main is not None
    while attempt.interruption is message:
        signal.pthread_kill(main, _INTERRUPT)
        time.sleep(_INTERRUPT_AGAIN_S)
