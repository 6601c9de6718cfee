"""Writes the lines that handlers cause, twice a second."""

import asyncio
import logging
import secrets
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from mousetrap.jobs import MousetrapError
from mousetrap.run_logs.keys import facts_key, lines_key
from mousetrap.settings import Settings
from mousetrap.shutdown import end_tasks
from mousetrap.store_client import Command, Library, ReplyError, StoreClient, address, open_client, reaching
from mousetrap.telemetry import KeptLine, LineKeeper, OutageLog

#: Lines that are kept of a run, and their bytes; the oldest give way.
MOST_LINES, MOST_BYTES = 1_000, 64_000
#: The longest that they are kept.
_KEEP_S = 86_400.0
#: Lines that wait in memory; the oldest are missed then.
_MOST_WAITING = 10_000
#: Runs of which it is counted how many lines are missed.
_MOST_COUNTED = 1_000
#: Runs written in one round trip.
_RUNS_AT_ONCE = 100
#: Between two writes; after one that failed; and the longest that the end of the worker waits for the last.
_EVERY_S, _AGAIN_S, _LAST_S = 0.5, 2.0, 2.0

_log = logging.getLogger("mousetrap.run_logs")
_LIBRARY = Library.read("mousetrap_run_logs", __package__, ("lua/append.lua",))


@asynccontextmanager
async def kept_lines(settings: Settings) -> AsyncIterator["RunLogs | None"]:
    """While the block is open, each line that a handler causes is kept with its run, if the settings ask for it."""
    if settings.run_logs == "OFF":
        yield None
        return
    client = open_client(settings.store_url, settings.tls)
    logs = RunLogs(client, address(settings.store_url), min(settings.retention_seconds, _KEEP_S))
    keeper = LineKeeper(logs.add, settings.run_logs)
    writing = asyncio.create_task(logs.write(), name="keep log lines")
    logging.getLogger().addHandler(keeper)
    try:
        yield logs
    finally:
        logging.getLogger().removeHandler(keeper)
        with suppress(MousetrapError, TimeoutError):
            await asyncio.wait_for(logs.write_all(), _LAST_S)
        await end_tasks(writing)
        await client.close()


class RunLogs:
    """The lines that wait to be written.

    1. `add` puts one in line, from any thread. It never waits and never fails.
    2. Half a second after the first, they are written, those of a run together.
    3. While the store is away they wait. Of more than 10,000 the oldest are missed, and counted.
    """

    def __init__(self, client: StoreClient, place: str, keep_s: float) -> None:
        self._client = client
        self._place = place
        self._ttl_ms = int(keep_s * 1000)
        self._waiting: deque[KeptLine] = deque()
        self._missed: Counter[str] = Counter()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._is_known = False
        #: The batch under way. Where its reply is lost it is sent once more as it was, for a server may have kept it.
        self._commands: list[Command] = []
        self._writer, self._batch = secrets.token_hex(4), 0
        self._outage = OutageLog(
            _log, "log lines of runs wait for the store", "log lines of runs are kept again"
        )

    def add(self, line: KeptLine) -> None:
        """Puts a line in line to be written."""
        self._waiting.append(line)
        if len(self._waiting) > _MOST_WAITING:
            self._miss(self._waiting.popleft())
        if not self._is_known:
            self._is_known = True
            with suppress(RuntimeError):  # the loop is closed: nothing is kept any more
                self._loop.call_soon_threadsafe(self._news.set)

    async def write(self) -> None:
        """Writes what is added, until it is cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(_EVERY_S)
            self._news.clear()
            self._is_known = False
            try:
                await self.write_all()
                self._outage.ended()
            except MousetrapError as error:
                self._outage.began(str(error))
                self._news.set()
                await asyncio.sleep(_AGAIN_S)

    async def write_all(self) -> None:
        """Writes what waits now. Raises StoreUnreachable; then it waits still."""
        while commands := self._commands or self._taken():
            self._commands = commands
            await self._send(commands)
            if self._commands is commands:
                self._commands = []

    def _taken(self) -> list[Command]:
        """The next batch; last come runs of which all lines that waited were missed."""
        some = self._next() or {run: [] for run in [*self._missed][:_RUNS_AT_ONCE]}
        self._batch += 1
        return [self._command(run, lines, self._missed.pop(run, 0)) for run, lines in some.items()]

    def _next(self) -> dict[str, list[KeptLine]]:
        """Takes the lines of some runs."""
        some: dict[str, list[KeptLine]] = {}
        while self._waiting:
            line = self._waiting.popleft()  # not looked at first: a thread may take it away meanwhile
            if line.facts.run not in some and len(some) == _RUNS_AT_ONCE:
                self._waiting.appendleft(line)
                break
            some.setdefault(line.facts.run, []).append(line)
        return some

    def _command(self, run: str, lines: Sequence[KeptLine], missed: int) -> Command:
        """Sends no more than is kept: a flood of lines is none for the store."""
        function = f"{_LIBRARY.name}_append"
        texts = _newest(lines)
        left_out = sum(line.left_out for line in lines)
        counts = (self._ttl_ms, missed, left_out + len(lines) - len(texts))
        about = (self._writer, self._batch, MOST_LINES, MOST_BYTES, *counts)
        return ("FCALL", function, 2, lines_key(run), facts_key(run), *about, *texts)

    async def _send(self, commands: Sequence[Command]) -> None:
        """A server without our function gets it first. What a server refuses is not kept: its memory is full."""
        with reaching(self._place):
            replies = await self._client.pipeline(commands)
            new = [command for command, reply in zip(commands, replies, strict=True) if _is_new(reply)]
            if new:
                await self._client.each("FUNCTION", "LOAD", "REPLACE", _LIBRARY.source)
                await self._client.pipeline(new)

    def _miss(self, line: KeptLine) -> None:
        run = line.facts.run
        if run in self._missed or len(self._missed) < _MOST_COUNTED:
            self._missed[run] += 1 + line.left_out


def _is_new(reply: object) -> bool:
    return isinstance(reply, ReplyError) and "Function not found" in str(reply)


def _newest(lines: Sequence[KeptLine]) -> Sequence[bytes]:
    """Those that are kept of lines in a row."""
    texts, size = deque[bytes](), 0
    for line in reversed(lines[-MOST_LINES:]):
        text = _written(line)
        size += len(text)
        if texts and size > MOST_BYTES:
            break
        texts.appendleft(text)
    return list(texts)


def _written(line: KeptLine) -> bytes:
    facts = line.facts
    return msgspec.json.encode(
        {
            "at_ms": line.at_ms,
            "level": line.level,
            "logger": line.logger,
            "message": line.message,
            "stage": facts.stage,
            "job": facts.job,
            "attempt": facts.attempt,
            "worker": facts.worker,
        }
    )
