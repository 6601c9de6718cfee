"""Starts, uses and kills the process of an isolated handler."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

from mousetrap.isolated_handlers.asked import Asked
from mousetrap.isolated_handlers.pickling import pickle_by_name
from mousetrap.isolated_handlers.protocol import (
    HEADER_BYTES,
    Call,
    Exit,
    FromChild,
    Logged,
    ProgressReport,
    Result,
    RunJob,
    Setup,
    SoftTimeoutOver,
    Started,
    ToChild,
    framed,
    from_child,
)
from mousetrap.shutdown import close_in_forks, keep_in_forks
from mousetrap.telemetry import LineKeeper
from mousetrap.tracing import current_trace

#: Seconds between two checks whether a killed process is gone; nearly always the first finds it gone.
_POLL_EXIT_S = 0.005

#: What a child runs. Not `-m`, which would import the module twice; the path first, for it may lead to us.
_CHILD = """import sys
sys.path[:] = sys.argv[3:]
from mousetrap.isolated_handlers.child import serve
serve(int(sys.argv[1]), int(sys.argv[2]))"""


class HandlerDied(Exception):
    """The process that ran the handler ended before it had a result."""

    def __init__(self, text: str, *, started: bool) -> None:
        super().__init__(text)
        #: Whether the handler had been called.
        self.started = started


class ChildProcess:
    """A process that runs one job after another.

    1. It starts with a socket to this process, and a pipe that breaks when this process is gone.
    2. The first message over the socket is its setup.
    3. `run` sends a job and waits for the result; progress reports come before it.
    4. `end` asks it to exit, and kills its process group after a grace. So does a broken connection, at once.
    """

    def __init__(self, binding: bytes) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        lifeline, ours = os.pipe()
        self._lifeline = os.fdopen(ours, "wb")
        # In a fork they would keep this process alive after our end.
        for descriptor in (self._socket.fileno(), ours):
            close_in_forks(descriptor)
        self._jobs = 0
        #: Bytes that are not sent yet; with the setup, they go in front of the first job.
        self._unsent = framed(Setup(binding, _log_settings()))
        command = [sys.executable, "-u", "-c", _CHILD, str(theirs.fileno()), str(lifeline), *sys.path]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), lifeline),
                start_new_session=True,  # a process group of its own, which no terminal's Ctrl-C reaches
            )
        except OSError:
            self._close()
            raise
        finally:
            theirs.close()
            os.close(lifeline)

    async def run(self, call: Call) -> Result:
        """Runs the handler once. Raises HandlerDied when the process ends without a result."""
        started, soft_timer, asked = False, None, Asked(call)
        self._jobs += 1
        try:
            await self._send(
                RunJob(
                    self._jobs,
                    call.info,
                    call.payload.raw,
                    call.chance,
                    call.largest,
                    call.payload.serializer,
                    call.payload.is_text,
                    current_trace(),
                )
            )
            while not isinstance(message := await self._receive(), Result):
                if isinstance(message, ProgressReport):
                    call.report(message.progress)
                elif isinstance(message, Logged):
                    if (keeper := _keeper()) is not None:
                        keeper.keep(message.line)
                elif not isinstance(message, Started):
                    await self._send(await asked.reply(message))
                else:
                    started = True
                    soft_timer = self._start_soft_timer(call.soft_timeout)
            return message
        except (ConnectionError, EOFError):
            await self._kill()
            raise HandlerDied(_death_reason(self._process.returncode, started), started=started) from None
        finally:
            if soft_timer is not None:
                soft_timer.cancel()

    async def end(self, grace_s: float) -> None:
        """Asks the process to exit, and kills what is left of its group after `grace_s` seconds."""
        can_ask = self._process.returncode is None and not self._unsent  # not in the middle of a message
        if can_ask:
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(grace_s):
                    await self._send(Exit())
                    while await asyncio.get_running_loop().sock_recv(self._socket, 1 << 16):
                        pass  # what it still sends comes too late
        await self._kill()

    async def _kill(self) -> None:
        """Returns when the process is gone, killed with all that it started if it was not gone already."""
        if self._process.returncode is None:
            # Until poll() has seen the end of the process, its number, which is its group's, is given to no other.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            while self._process.poll() is None:  # noqa: ASYNC110  no event reports it on every system
                await asyncio.sleep(_POLL_EXIT_S)
        self._close()

    def _close(self) -> None:
        if not self._lifeline.closed:
            keep_in_forks(self._socket.fileno())
            keep_in_forks(self._lifeline.fileno())
        self._socket.close()
        self._lifeline.close()

    def _start_soft_timer(self, seconds: float | None) -> asyncio.TimerHandle | None:
        if seconds is None:
            return None
        return asyncio.get_running_loop().call_later(seconds, self._send_soft_timeout)

    def _send_soft_timeout(self) -> None:
        with suppress(OSError):  # a dead process needs no timeout; `run` sees that it is dead
            self._socket.send(framed(SoftTimeoutOver(self._jobs)))

    async def _send(self, message: ToChild) -> None:
        self._unsent += framed(message)
        await asyncio.get_running_loop().sock_sendall(self._socket, self._unsent)
        self._unsent = b""

    async def _receive(self) -> FromChild:
        length = int.from_bytes(await self._exactly(HEADER_BYTES), "big")
        message: FromChild = from_child.decode(await self._exactly(length))
        return message

    async def _exactly(self, count: int) -> bytearray:
        loop, read = asyncio.get_running_loop(), bytearray(count)
        rest = memoryview(read)
        while rest:
            arrived = await loop.sock_recv_into(self._socket, rest)
            if not arrived:
                raise EOFError
            rest = rest[arrived:]
        return read


def _log_settings() -> bytes:
    """Our log's level, its formatter, so that the child's lines look like ours, and which lines we keep."""
    log = logging.getLogger()
    ours = (handler.formatter for handler in log.handlers if type(handler) is logging.StreamHandler)
    keeps = None if (keeper := _keeper()) is None else keeper.level
    with suppress(ValueError):  # a formatter that cannot be imported is no reason to fail
        return pickle_by_name((log.level, next(ours, None), keeps))
    return pickle_by_name((log.level, None, keeps))


def _keeper() -> LineKeeper | None:
    """Where lines are kept with their runs, if they are."""
    return next((each for each in logging.getLogger().handlers if isinstance(each, LineKeeper)), None)


def _death_reason(code: int, started: bool) -> str:
    when = "" if started else " before the handler was called: what it imports, or its lifespan?"
    if code >= 0:
        return f"the handler's process ended with exit code {code}{when}; its log may contain more, if it had time to write"
    name = next((known.name for known in signal.Signals if known == -code), "no name")
    advice = "look for memory" if -code == signal.SIGKILL else "look for native code that crashes"
    return f"the handler's process was killed by signal {-code} ({name}){when}; {advice}"
