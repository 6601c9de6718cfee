"""The inside of an isolated handler's process: one job at a time, and an end with its worker, whatever happens."""

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
from contextvars import Context as ContextVars
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any

import msgspec

from mousetrap.handlers import (
    Binding,
    Context,
    Raised,
    Returned,
    SoftLimit,
    SoftTimeout,
    awaited,
    call,
    done,
    input_broken,
    judged,
    run_through,
)
from mousetrap.isolated_handlers.child_socket import Wire
from mousetrap.isolated_handlers.protocol import Answer, Begun, Hello, Leave, SoftLimitOver, Work
from mousetrap.jobs import Outcome
from mousetrap.pipeline import ContractBroken, read
from mousetrap.shutdown import own_loop, own_signals

#: Wakes the main thread when the worker wants something of the handler; nobody else sends it.
_WAKE = signal.SIGUSR1
#: Seconds until it is sent again.
_AGAIN = 0.02


class Stopped(BaseException):
    """Raised in a handler whose job was cancelled; one that catches every Exception does not hold it up."""


def serve(talk: int, life: int) -> None:
    """Does the jobs that come over the socket `talk`, until told to leave, or until the worker is gone."""
    _die_with(life)
    for number in (signal.SIGINT, signal.SIGTERM):  # are the worker's to hear, and it tells us what to do
        signal.signal(number, lambda number, frame: None)
    wire = Wire(socket.socket(fileno=talk))
    hello = wire.hear()
    if not isinstance(hello, Hello):
        return  # the worker was gone before it could say what to do
    _log_as(*pickle.loads(hello.log))
    with asyncio.Runner() as runner:
        own_loop(runner.get_loop())
        _Inside(pickle.loads(hello.binding), wire, runner.get_loop()).live()
    wire.close()


def _die_with(life: int) -> None:
    """The kernel kills this process group when the pipe breaks whose other end the worker holds.

    No thread could do that: it would wait for a handler that never lets go of the interpreter's lock. PR_SET_PDEATHSIG
    would spare the programs that the handler started. Where a kernel can do neither, `_listen` does what it can.
    """
    if sys.platform == "linux":
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)


def _log_as(level: int, formatter: logging.Formatter | None) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)


@dataclass(slots=True, eq=False)
class _Call:
    """The job under way, and what reaches its handler."""

    number: int
    stopped: threading.Event = field(default_factory=threading.Event)
    #: Whether the main thread is in the handler, or nearly; an async one has a task instead.
    entered: bool = False
    task: asyncio.Task[Returned | Raised] | None = None
    limit: SoftLimit = field(default_factory=SoftLimit)
    #: What the worker wants of the handler.
    wish: Leave | SoftLimitOver | None = None


class _Inside:
    """The handler and what it depends on.

    The main thread runs the lifespan and async handlers on its event loop, and sync handlers beside it, while the loop
    stands still: so they may call asyncio.run(), and signals reach them. A second thread listens to the worker.
    """

    def __init__(self, binding: Binding, wire: Wire, loop: asyncio.AbstractEventLoop) -> None:
        self._binding = binding
        self._stage = binding.step
        self._wire = wire
        self._loop = loop
        self._inbox: asyncio.Queue[Work | None] = asyncio.Queue()
        self._deps: asyncio.Future[Any] = loop.create_future()
        self._leaving = asyncio.Event()
        self._told_to_leave = False
        self._call = _Call(0)
        self._context = copy_context()

    def live(self) -> None:
        """Does one job after another; the lifespan is entered before the first and left after the last."""
        signal.signal(_WAKE, self._heed)
        own_signals(_WAKE, signal.SIGINT, signal.SIGTERM)
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        lifespan = self._loop.create_task(self._lifespan())
        while (work := self._loop.run_until_complete(self._inbox.get())) is not None:
            outcome, spent = self._outcome(work, lifespan)
            self._wire.say(Answer(msgspec.json.encode(outcome), last=spent or lifespan.done()))
        self._leaving.set()
        if not lifespan.done():
            self._loop.run_until_complete(lifespan)

    async def _lifespan(self) -> None:
        # Entered and left in one task, as whatever holds a task group wants it.
        async with self._binding.lifespan() as deps:
            self._context = copy_context()
            self._deps.set_result(deps)
            await self._leaving.wait()

    def _outcome(self, work: Work, lifespan: "asyncio.Task[None]") -> tuple[Outcome, bool]:
        """What came of the job, and whether it left this process unfit for another one."""
        called = self._call = _Call(work.number)
        try:
            payload = read(work.payload, self._stage.input)
        except ContractBroken as broken:
            return input_broken(broken, self._stage), False
        except BaseException as error:  # noqa: BLE001  a check of the contract's own class failed
            return self._judged(work, error), False
        try:
            deps = self._opened(lifespan)
            own = self._context.copy()  # what the handler sets in it is seen by no other attempt
            ended = self._ended(work, called, own, payload, deps)
            if isinstance(ended, Returned):
                return own.run(done, ended.value, self._stage), False
        except BaseException as error:  # noqa: BLE001  the lifespan's, or a wish that came as the handler ended
            ended = Raised(error)
        left = called.task is not None and not called.task.done()
        return self._judged(work, ended.error), left or issubclass(type(ended.error), MemoryError)

    def _judged(self, work: Work, error: BaseException) -> Outcome:
        return judged(error, work.about.attempt, self._stage, work.chance, time.time())

    def _opened(self, lifespan: "asyncio.Task[None]") -> Any:
        either = asyncio.wait({lifespan, self._deps}, return_when=asyncio.FIRST_COMPLETED)
        self._loop.run_until_complete(either)
        if lifespan.done():
            lifespan.result()
        return self._deps.result()

    def _ended(
        self, work: Work, called: _Call, own: ContextVars, payload: Any, deps: Any
    ) -> Returned | Raised:
        facts = msgspec.structs.asdict(work.about)
        context = Context(deps=deps, stopped=called.stopped, tell=self._wire.progress, **facts)
        arguments = (payload, context) if self._binding.takes_context else (payload,)
        try:
            called.entered = True  # from here on a signal raises, or finds the task: no wish is lost
            if self._told_to_leave:
                raise Stopped
            self._wire.say(Begun())
            if not self._binding.is_async:
                return own.run(call, self._binding.handler, *arguments)
            coroutine = own.run(self._binding.handler, *arguments)
            called.task = self._loop.create_task(awaited(called.limit.around, coroutine), context=own)
            called.entered = False
            return run_through(self._loop, called.task)
        finally:
            called.entered, called.wish = False, None

    def _listen(self) -> None:
        """The second thread: passes on what the worker says, and ends all of us when it is gone."""
        while (word := self._wire.hear()) is not None:
            match word:
                case Work():
                    self._loop.call_soon_threadsafe(self._inbox.put_nowait, word)
                case SoftLimitOver(number) if number == self._call.number:
                    self._wake(word)
                case Leave():
                    self._told_to_leave = True
                    self._loop.call_soon_threadsafe(self._inbox.put_nowait, None)
                    self._wake(word)
        os.killpg(0, signal.SIGKILL)

    def _wake(self, wish: Leave | SoftLimitOver) -> None:
        call = self._call
        call.stopped.set()
        call.wish = wish
        threading.Thread(target=_insist, args=(call, wish), name="insist", daemon=True).start()

    def _heed(self, number: int, frame: FrameType | None) -> None:
        """Runs in the main thread, between two bytecodes of whatever it is at."""
        call = self._call
        wish, call.wish = call.wish, None
        if wish is None:
            return
        if call.entered or (call.task and asyncio.current_task(self._loop) is call.task):
            raise Stopped if isinstance(wish, Leave) else SoftTimeout("the soft time limit is over")
        if call.task:
            end = call.task.cancel if isinstance(wish, Leave) else partial(call.limit.say, call.task)
            self._loop.call_soon_threadsafe(end)


def _insist(call: _Call, wish: Leave | SoftLimitOver) -> None:
    """Wakes the main thread until it heeds: a signal that comes just before a system call does not interrupt that."""
    main = threading.main_thread().ident
    assert main is not None
    while call.wish is wish:
        signal.pthread_kill(main, _WAKE)
        time.sleep(_AGAIN)
