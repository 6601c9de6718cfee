"""An isolated handler's process as its worker sees it: started, spoken to, killed."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

from mousetrap.isolated_handlers.pickling import by_name
from mousetrap.isolated_handlers.protocol import (
    HEAD,
    Answer,
    Facts,
    Heard,
    Hello,
    Leave,
    Said,
    SoftLimitOver,
    Told,
    Work,
    framed,
    heard,
)
from mousetrap.shapes import Progress
from mousetrap.shutdown import close_in_forks, keep_in_forks

#: Seconds between two looks at whether a killed process is gone; nearly always it is at the first.
_LOOK = 0.005

#: What a child runs. Not `-m`, which would import the module twice; the path first, for it may lead to us.
_CHILD = """import sys
sys.path[:] = sys.argv[3:]
from mousetrap.isolated_handlers.child import serve
serve(int(sys.argv[1]), int(sys.argv[2]))"""


class HandlerDied(Exception):
    """The process that ran the handler ended before it had an answer."""

    def __init__(self, text: str, *, begun: bool) -> None:
        super().__init__(text)
        #: Whether the handler had been called.
        self.begun = begun


class ChildProcess:
    """A process, the socket to it, and a pipe that breaks when we are gone."""

    def __init__(self, binding: bytes) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        life, ours = os.pipe()
        self._life = os.fdopen(ours, "wb")
        # In a fork they would keep this process alive after our end.
        for descriptor in (self._socket.fileno(), ours):
            close_in_forks(descriptor)
        self._jobs = 0
        self._unsaid = framed(Hello(binding, _log_settings()))
        command = [sys.executable, "-u", "-c", _CHILD, str(theirs.fileno()), str(life), *sys.path]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), life),
                start_new_session=True,  # a process group of its own, which no terminal's Ctrl-C reaches
            )
        except OSError:
            self._close()
            raise
        finally:
            theirs.close()
            os.close(life)

    async def perform(
        self,
        payload: bytes,
        about: Facts,
        *,
        soft: float | None,
        chance: float,
        tell: Callable[[Progress], None],
    ) -> Answer:
        """Raises HandlerDied when the process ends instead of answering."""
        loop, limit, begun = asyncio.get_running_loop(), None, False
        self._jobs += 1
        try:
            await self._say(Work(self._jobs, about, payload, chance))
            while not isinstance(word := await self._hear(), Answer):
                if isinstance(word, Said):
                    tell(word.progress)
                else:
                    begun = True
                    limit = loop.call_later(soft, self._say_soft) if soft is not None else None
            return word
        except (ConnectionError, EOFError):
            await self._kill()
            raise HandlerDied(_epitaph(self._process.returncode, begun), begun=begun) from None
        finally:
            if limit:
                limit.cancel()

    async def end(self, grace: float) -> None:
        """Asks the process to leave, and kills what is left of its group after `grace` seconds."""
        heeds = (
            self._process.returncode is None and not self._unsaid
        )  # it hears nothing in the middle of a word
        if heeds:
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(grace):
                    await self._say(Leave())
                    while await asyncio.get_running_loop().sock_recv(self._socket, 1 << 16):
                        pass  # what it still says comes too late
        await self._kill()

    async def _kill(self) -> None:
        """Returns when the process is gone, killed with all that it started if it was not gone already."""
        if self._process.returncode is None:
            # Until poll() has seen the end of the process, its number, which is its group's, is given to no other.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            while self._process.poll() is None:  # noqa: ASYNC110  no event tells it everywhere
                await asyncio.sleep(_LOOK)
        self._close()

    def _close(self) -> None:
        if not self._life.closed:
            keep_in_forks(self._socket.fileno())
            keep_in_forks(self._life.fileno())
        self._socket.close()
        self._life.close()

    def _say_soft(self) -> None:
        with suppress(OSError):  # a dead process needs no limit; that it is dead shows elsewhere
            self._socket.send(framed(SoftLimitOver(self._jobs)))

    async def _say(self, word: Told) -> None:
        self._unsaid += framed(word)
        await asyncio.get_running_loop().sock_sendall(self._socket, self._unsaid)
        self._unsaid = b""

    async def _hear(self) -> Heard:
        word: Heard = heard.decode(await self._exactly(int.from_bytes(await self._exactly(HEAD), "big")))
        return word

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
    """Our log's level and formatter, so that the child's lines look like ours."""
    log = logging.getLogger()
    ours = (handler.formatter for handler in log.handlers if type(handler) is logging.StreamHandler)
    with suppress(ValueError):  # a formatter that nobody else can import is no reason to fail
        return by_name((log.level, next(ours, None)))
    return by_name((log.level, None))


def _epitaph(code: int, begun: bool) -> str:
    when = "" if begun else " before the handler was called: what it imports, or its lifespan?"
    if code >= 0:
        return (
            f"the handler's process ended with exit code {code}{when}; its log says more, if it had time to"
        )
    name = next((known.name for known in signal.Signals if known == -code), "no name")
    look = "look for memory" if -code == signal.SIGKILL else "look for native code that crashes"
    return f"the handler's process was killed by signal {-code} ({name}){when}; {look}"
