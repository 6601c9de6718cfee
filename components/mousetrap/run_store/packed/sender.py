"""Sends plain commands and packed transitions in pipelined calls."""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mousetrap.jobs import MousetrapError, RecordDamaged
from mousetrap.run_store.keys import (
    CLOCK,
    fan_key,
    fan_keys_key,
    fan_out_key,
    packed_events_key,
    packed_job_key,
    packed_progress_key,
    packed_run_key,
)
from mousetrap.run_store.packed.server_time import ServerTime
from mousetrap.run_store.packed.transitions import CloseFan, InFan, JobRedriven, OpenFan, RedriveJob, StallFan
from mousetrap.run_store.transitions import Transition
from mousetrap.store_client import Command, Library, ReplyError, StoreClient, unreachable

_FILES = (
    "keys",
    "../clock",
    "records",
    "timeline",
    "runs",
    "locks",
    "fans",
    "repair",
    "starts",
    "limits",
    "claims",
    "decisions",
    "children",
    "library",
)
LIBRARY = Library.read(
    "mousetrap_packed",
    "mousetrap.run_store",
    ["lua/clock.lua" if name == "../clock" else f"lua/packed/{name}.lua" for name in _FILES],
)
#: The first member of a reply that is an error.
_ERRORS = ("damaged", "error")
#: Keys of a run that its functions judge by, and the arguments that name jobs whose keys are judged by too.
_JUDGED = (packed_run_key, packed_events_key, packed_progress_key)
_NAMING_JOBS = ("job", "parent", "first")
#: Groups of commands in one call: each group keeps the server busy for a few µs.
_MOST = 256


class Sender:
    """Gathers the groups of commands of one tick of the event loop into one pipelined call.

    1. `send` puts a group into the waiting list; the first of a tick starts a task that sends all.
    2. The server's time comes with each call: `now_ms` counts on from there.
    3. A server that lacks our functions gets them, and those calls again.
    """

    def __init__(self, client: StoreClient, address: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._address = address
        self._time = ServerTime(clock)
        #: Whether the server can set a string only if it has a given value; None until it was asked.
        self._compares: bool | None = None
        self._waiting: list[tuple[Sequence[Command], asyncio.Future[list[Any]]]] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._clock = clock
        #: When the server last failed to do what was asked.
        self._failed_s = -math.inf

    async def server_known(self) -> None:
        """Returns once the server's time and abilities are known. Raises StoreUnreachable."""
        if self._compares is None:
            info, note = await self.send([("INFO", "server"), ("GET", CLOCK)])
            if is_away(info):
                raise self.error(info)
            if isinstance(note, bytes):
                self._time.follow(note)
            self._compares = can_compare(info)

    @property
    def is_cluster(self) -> bool:
        """Whether keys of different slots are on different servers."""
        return self._client.is_cluster

    @property
    def compares(self) -> bool:
        """Whether the server can compare and set by itself: Valkey 8.1, Redis 8.4."""
        return bool(self._compares)

    def now_ms(self) -> int:
        """The server's time, in milliseconds since 1970, after `server_known`."""
        return self._time.now_ms()

    def failed_within(self, seconds: float) -> bool:
        """Whether the server has lately been away, full, or otherwise unable to do what it was asked."""
        return self._clock() - self._failed_s < seconds

    def send(self, commands: Sequence[Command]) -> "asyncio.Future[list[Any]]":
        """The replies to come; an error of one command is a value in the list. Raises StoreUnreachable."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, future))
        if len(self._waiting) == 1:
            sending = asyncio.create_task(self._send_waiting())
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
        return future

    async def send_in_order(self, first: Sequence[Command], then: Sequence[Command]) -> list[Any]:
        """The replies to the second commands, none of which happens before all of the first have.

        One server does a call's commands in their order; a cluster does not, and gets two calls. Raises StoreUnreachable.
        """
        if not self._client.is_cluster:
            return (await self.send([*first, *then]))[len(first) :]
        await self.do(first)
        return await self.send(then)

    async def do(self, commands: Sequence[Command]) -> None:
        """Returns once the commands have happened. Raises StoreUnreachable.

        A key of another type, as that of a list that was overwritten from outside, is left as it is.
        """
        for reply in await self.send(commands):
            if isinstance(reply, Exception) and not str(reply).startswith("WRONGTYPE"):
                raise self.error(reply)

    async def call(self, transition: Transition) -> list[Any]:
        """The reply of a transition. Raises StoreUnreachable, after which it may have happened or not, and RecordDamaged."""
        (reply,) = await self.send([function_call(transition)])
        return self.answer(reply)

    def answer(self, reply: Any) -> list[Any]:
        """The reply of a transition, decoded. Raises the error that it stands for."""
        try:
            decoded: list[Any] = msgspec.msgpack.decode(self.value(reply))
        except UnicodeDecodeError as error:
            raise RecordDamaged(
                f"what the store keeps of the job is damaged: it is no text: {error}"
            ) from error
        if decoded[0] == "damaged":
            raise RecordDamaged(f"what the store keeps of the job is damaged: {decoded[1]}")
        if decoded[0] == "error":
            raise self.error(decoded[1])
        return decoded

    def value(self, reply: Any) -> Any:
        """The reply of a plain command. Raises the error that it is."""
        if isinstance(reply, Exception):
            raise self.error(reply)
        return reply

    def error(self, reply: Exception | str) -> MousetrapError:
        """The error that a command's reply is, as ours."""
        self._failed_s = self._clock()
        return unreachable(self._address, reply)

    async def close(self) -> None:
        """Waits for all replies."""
        if self._sending:
            await asyncio.wait(set(self._sending))

    async def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _MOST):
            await self._send(waiting[start : start + _MOST])

    async def _send(self, groups: list[tuple[Sequence[Command], "asyncio.Future[list[Any]]"]]) -> None:
        commands: list[Command] = [command for group, _ in groups for command in group]
        try:
            replies = await self._replies(commands)
        except Exception as error:  # noqa: BLE001  without a reply or an error, a caller would wait without end
            known = isinstance(error, ReplyError | OSError)
            self._failed_s = self._clock()
            for _, future in groups:
                if not future.done():
                    future.set_exception(unreachable(self._address, error) if known else error)
            return
        start = 0
        for group, future in groups:
            if not future.done():
                future.set_result(replies[start : start + len(group)])
            start += len(group)

    async def _replies(self, commands: list[Command]) -> list[Any]:
        *replies, time = await self._client.pipeline([*commands, ("TIME",)])
        if not isinstance(time, Exception):
            self._time.measure(int(time[0]) + int(time[1]) / 1e6)
        if repeated := _to_repeat(commands, replies):
            load = ("FUNCTION", "LOAD", "REPLACE", LIBRARY.source)
            loaded, *again = await self._client.pipeline([load, *(commands[place] for place in repeated)])
            for place, reply in zip(repeated, again, strict=True):
                replies[place] = loaded if isinstance(loaded, Exception) else reply
        return replies


def function_call(transition: Transition, fans: Sequence[str] = (), *beside: bytes) -> Command:
    """The command that makes a transition; a cluster routes it by its first key.

    It names the keys that the function judges by: keys of a slot that moves to another server go there one by one, and a function
    that is not known to use one would take it for missing. With them named, it is refused until all have arrived. `fans` are jobs
    with children whose fans it judges by too; what is `beside` it are bytes that are no text.
    """
    run: str = transition.run  # type: ignore[attr-defined]
    named = transition.call if isinstance(transition, InFan) else transition
    jobs = filter(None, (getattr(named, name, "") for name in _NAMING_JOBS))
    keys = [key(run) for key in _JUDGED] + [packed_job_key(run, job) for job in jobs]
    if isinstance(transition, InFan):
        keys += [key for job in transition.fans.split()[::2] for key in fan_keys(run, job)]
    keys += [key for job in fans for key in fan_keys(run, job)]
    if isinstance(named, RedriveJob | JobRedriven):
        keys += fan_keys(run, named.job)
    if isinstance(named, OpenFan | CloseFan | StallFan):
        keys += [*fan_keys(run, named.job), fan_keys_key(run, named.job)]
    return ("FCALL", LIBRARY.name, len(keys), *keys, msgspec.msgpack.encode(transition), *beside)


def fan_keys(run: str, job: str) -> tuple[str, str]:
    """The keys of a fan that functions judge by."""
    return fan_key(run, job), fan_out_key(run, job)


def ignore_error(noted: "asyncio.Future[list[Any]]") -> None:
    """Retrieves the error of a note, so that it is not logged as never retrieved."""
    if not noted.cancelled():
        noted.exception()


def is_away(reply: Any) -> bool:
    """Whether it stands for the reply of a server of a cluster that cannot be reached now."""
    return isinstance(reply, ReplyError) and reply.passing


def info_facts(info: Any) -> dict[str, str]:
    """The lines of a reply to INFO; none of another reply."""
    text = info.decode("utf-8", "replace") if isinstance(info, bytes) else ""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def can_compare(info: Any) -> bool:
    """Whether a server with this INFO has SET … IFEQ: Valkey 8.1 or later, Redis 8.4 or later."""
    facts = info_facts(info)
    if valkey := facts.get("valkey_version"):
        return _version(valkey) >= (8, 1)
    return _version(facts.get("redis_version", "")) >= (8, 4)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def _to_repeat(commands: Sequence[Command], replies: Sequence[Any]) -> list[int]:
    """The places of the calls that lacked our functions, and of the notifications after them, which came too early."""
    if ReplyError not in map(type, replies):  # the usual case, and many replies
        return []
    errors = [place for place, reply in enumerate(replies) if isinstance(reply, ReplyError)]
    lacking = {place for place in errors if "Function not found" in str(replies[place])}
    if not lacking:
        return []
    return [
        place
        for place, command in enumerate(commands)
        if place in lacking or (command[0] == "PUBLISH" and place > min(lacking))
    ]
