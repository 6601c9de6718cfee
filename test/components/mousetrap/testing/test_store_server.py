"""Compares the simulated store server with the real one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from mousetrap.jobs import Done, Failure, GiveUp, Job, RetryLater, first_job
from mousetrap.run_store import RunConflict, RunStore, Terms, Unsigned, connection
from mousetrap.run_store.decode_run import by_name
from mousetrap.shapes import Progress
from mousetrap.store_client import StoreClient as RealClient
from mousetrap.store_client import open_client
from mousetrap.testing.simulation.clock import EPOCH_MS, SimulatedLoop
from mousetrap.testing.simulation.process import EventLog, Process
from mousetrap.testing.simulation.store_client import Store, StoreClient
from mousetrap.testing.simulation.store_server import StoreServer
from support.packed import packed
from support.valkey import OwnValkey, administrator

#: Far longer than the tests let pass, so that no key of the real server expires, whose clock runs by itself.
TTL_S = 7 * 86_400.0
_NOW = "redis.call('TIME')"
#: Replaces the clock of the real server by the test's.
_TEST_TIME = "redis.call('HMGET', 'clock', 'seconds', 'rest')"

jobs = st.sampled_from(("r1", "r2"))
attempts = st.integers(1, 2)
fences = st.integers(1, 4)
workers = st.sampled_from(("w1", "w2"))
OUTCOMES = (
    Done(msgspec.Raw(b'{"sum":3}')),
    Done(msgspec.Raw(b'"a longer output than the store keeps"')),
    RetryLater(1.5, Failure(kind="ValueError", text="no / not now")),
    RetryLater(1.5, Failure(kind="Outage", text="the database is away"), counted=False),
    GiveUp("max-retries", Failure(kind="ValueError", text="never \\ ever")),
)
outcomes = st.sampled_from(OUTCOMES)
_FORGED = GiveUp("store-signature", Failure(kind="SignatureRefused", text="forged"))
calls = st.one_of(
    st.tuples(st.just("wait"), st.integers(0, 70_000) | st.sampled_from((-1, -900, -3_600_000))),
    st.tuples(st.just("open_run"), jobs, st.sampled_from((b"1", b"2")), st.sampled_from((None, 0.5, 60.0))),
    st.tuples(st.just("reject_run"), jobs),
    st.tuples(st.just("published"), jobs),
    st.tuples(st.just("unpublished"), st.sampled_from((0.0, 60.0))),
    st.tuples(st.just("cancel"), jobs),
    st.tuples(st.just("ended")),
    st.tuples(
        st.just("claim"),
        *(jobs, st.booleans(), attempts, st.integers(0, 1), workers, st.booleans()),
        *(st.sampled_from(("", "one", "two")), st.booleans()),
    ),
    st.tuples(st.just("claim_old"), jobs, st.integers(0, 1)),
    st.tuples(st.just("begin"), jobs, st.booleans(), fences),
    st.tuples(st.just("survived"), jobs, st.booleans()),
    st.tuples(st.just("renew"), jobs, st.booleans(), fences),
    st.tuples(st.just("decide"), jobs, st.booleans(), attempts, fences, outcomes, st.booleans()),
    st.tuples(st.just("distrust"), jobs, st.booleans(), st.booleans()),
    st.tuples(st.just("release"), jobs, st.booleans(), fences),
    st.tuples(st.just("redrive"), jobs, st.booleans(), st.integers(0, 1)),
    st.tuples(st.just("redriven"), jobs, st.booleans(), st.integers(1, 2)),
    st.tuples(st.just("report"), jobs),
    st.tuples(st.just("keep_value"), jobs, st.booleans(), fences, st.integers(1, 3)),
)


_OPENED = ("open_run", "r1", b"1", None)
_CLAIMED = ("claim", "r1", False, 1, 0, "w1", False, "", False)
#: Beginnings of a list of calls that random choice seldom finds.
_BEGINNINGS: list[list[tuple[Any, ...]]] = [
    [],
    [_OPENED, _CLAIMED],
    *(
        [_OPENED, _CLAIMED, ("decide", "r1", False, 1, 1, outcome, False), ("claim", "r1", *child)]
        for outcome in OUTCOMES
        for child in [(True, 1, 0, "w2", False, "one", True)]
    ),
    [_OPENED, _CLAIMED, *(("keep_value", "r1", False, 1, number) for number in (1, 1, 2, 1))],
    [_OPENED, _CLAIMED, ("decide", "r1", False, 1, 1, OUTCOMES[0], False), ("distrust", "r1", False, True)],
    [
        _OPENED,
        ("claim", "r1", False, 1, 0, "w1", False, "one", True),
        ("claim", "r2", *_CLAIMED[2:7], "one", True),
    ],
]


@pytest.fixture
def private_url(tmp_path: Path) -> Iterator[str]:
    """A server for this test alone, since its functions use the test's clock."""
    with OwnValkey(tmp_path) as server:
        yield server.url


@pytest.mark.servers
@pytest.mark.parametrize("family", ["hashes", "packed"])
def test_the_stand_in_answers_as_the_real_server_does(
    private_url: str, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5 if family == "packed" else 2)
    if family == "packed":
        monkeypatch.setattr(f"{__name__}._form", packed)
    # So that the time of a plain command is the server's of the last call, in both.
    monkeypatch.setattr(connection, "_loop_time", lambda: 0.0)

    @settings(
        max_examples=60,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),  # a list of calls is short enough to be read as it is
    )
    @given(begun=st.sampled_from(_BEGINNINGS), more=st.lists(calls, min_size=5, max_size=30))
    def answers_alike(begun: list[tuple[Any, ...]], more: list[tuple[Any, ...]]) -> None:
        asked = [*begun, *more]
        simulated = _simulated(lambda store, wait: _answers(store, wait, asked))
        really = _real(private_url, lambda store, wait: _answers(store, wait, asked))
        assert simulated == really

    answers_alike()


_BY_SCORE = (
    ("ZADD", "z", 1, "a", 2, "b", 3, "c", 4, "d"),
    ("ZCOUNT", "z", 2, "+inf"),
    ("ZREMRANGEBYSCORE", "z", "-inf", 2),
    ("ZREMRANGEBYSCORE", "z", "-inf", 2),
    ("ZCOUNT", "z", "-inf", "+inf"),
    ("ZREMRANGEBYRANK", "z", 1, -1),
    ("ZRANGE", "z", 0, -1),
    ("ZCOUNT", "nothing", 0, 1),
    ("ZREMRANGEBYSCORE", "z", 0, 9),
    ("EXISTS", "z"),
    ("HKEYS", "h"),
    ("HLEN", "h"),
    ("HSET", "h", "one", 1),
    ("HKEYS", "h"),
    ("HLEN", "h"),
)


@pytest.mark.servers
def test_the_stand_in_counts_and_removes_by_score_as_the_real_server_does(private_url: str) -> None:
    async def really() -> list[Any]:
        client = open_client(administrator(private_url), None)
        try:
            return [await client.call(*command) for command in _BY_SCORE]
        finally:
            await client.close()

    simulated = StoreServer(lambda: EPOCH_MS)

    assert [simulated.command(*command) for command in _BY_SCORE] == asyncio.run(really())


Ask = Callable[[RunStore, Callable[[int], Awaitable[None]]], Awaitable[list[Any]]]


async def _answers(
    store: RunStore, wait: Callable[[int], Awaitable[None]], asked: list[tuple[Any, ...]]
) -> list[Any]:
    return [await (wait(call[1]) if call[0] == "wait" else _answer(store, *call)) for call in asked]


async def _answer(store: RunStore, call: str, *args: Any) -> Any:
    try:
        return await getattr(_Calls(store), call)(*args)
    except RunConflict:
        return "conflict"


class _Calls:
    """Calls the store with few and small arguments."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    async def open_run(self, run: str, body: bytes, expires_in: float | None) -> Any:
        return await self._store.open_run(run, "sums", "add", body, terms=Terms(expires_in=expires_in))

    async def reject_run(self, run: str) -> Any:
        return await self._store.reject_run(run, Failure(kind="QueueFull", text="no"))

    async def published(self, run: str) -> Any:
        return self._store.mark_published(run)

    async def unpublished(self, age: float) -> Any:
        return await self._store.unpublished(age=age)

    async def cancel(self, run: str) -> Any:
        return await self._store.cancel(run)

    async def ended(self) -> Any:
        return await self._store.ended(["r1", "r2", "r3"])

    async def claim(
        self,
        run: str,
        second: bool,
        attempt: int,
        generation: int,
        worker: str,
        redelivered: bool,
        lock: str,
        waits: bool,
    ) -> Any:
        job = msgspec.structs.replace(_job(run, second), attempt=attempt, generation=generation)
        return await self._store.claim(
            job, worker=worker, redelivered=redelivered, lease=30.0, lock=lock, waits=waits
        )

    async def claim_old(self, run: str, generation: int) -> Any:
        job = msgspec.structs.replace(_job(run, False), accepted_ms=1, generation=generation)
        return await self._store.claim(job, worker="w1", redelivered=False, lease=30.0)

    async def begin(self, run: str, second: bool, fence: int) -> Any:
        return await self._store.begin(_job(run, second), fence=fence, worker="w1")

    async def survived(self, run: str, second: bool) -> Any:
        return await self._store.mark_survived(_job(run, second), worker="w1")

    async def keep_value(self, run: str, second: bool, fence: int, number: int) -> Any:
        job = _job(run, second)
        return await self._store.keep_value(job.id, run, job.stage, 1, fence, "w1", number, b"1")

    async def renew(self, run: str, second: bool, fence: int) -> Any:
        return await self._store.renew(_job(run, second), fence=fence, lease=30.0)

    async def decide(self, run: str, second: bool, attempt: int, fence: int, outcome: Any, last: bool) -> Any:
        job = msgspec.structs.replace(_job(run, second), attempt=attempt)
        return await self._store.decide(job, outcome, fence=fence, worker="w1", last=last)

    async def distrust(self, run: str, second: bool, right: bool) -> Any:
        job = _job(run, second)
        record = msgspec.json.encode(OUTCOMES[0]).decode() if right else "another"
        return await self._store.replace_unsigned(job, Unsigned(record, "forged"), _FORGED, worker="w1")

    async def release(self, run: str, second: bool, fence: int) -> Any:
        return await self._store.release(_job(run, second), fence=fence, worker="w1")

    async def redrive(self, run: str, second: bool, generation: int) -> Any:
        return await self._store.redrive(msgspec.structs.replace(_job(run, second), generation=generation))

    async def redriven(self, run: str, second: bool, generation: int) -> Any:
        return await self._store.mark_redriven(
            msgspec.structs.replace(_job(run, second).redriven(EPOCH_MS), generation=generation)
        )

    async def report(self, run: str) -> Any:
        return await self._store.report(run, Progress(stage="add", done=0.5))


def _job(run: str, second: bool) -> Job:
    job = first_job(run_id=run, pipeline="sums", stage="add", payload=b"1", accepted_ms=EPOCH_MS)
    return _form(job.following("double", b"2"), 1) if second else _form(job, 0)


def _form(job: Job, _parent_fence: int) -> Job:
    """The job as one of the family that is tested."""
    return job


def _simulated(ask: Ask) -> list[Any]:
    loop = SimulatedLoop()
    clock = _Clock()
    server = StoreServer(lambda: clock.now_ms)
    process = Process("test", loop, EventLog(loop), 0.001)
    client: Any = StoreClient(Store(server, {}, lambda *_: None), process)

    async def run() -> list[Any]:
        async def wait(milliseconds: int) -> None:
            clock.now_ms += milliseconds

        answers = await ask(RunStore(client, "simulation", TTL_S, 20), wait)
        keys = sorted(server.names())
        ends = [(key, server.ends_ms(key) is not None) for key in keys]
        return [*answers, *ends, *(_content(server, key) for key in keys)]

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def _content(server: StoreServer, key: str) -> Any:
    if key == "mousetrap:clock" or key.endswith(":reopening"):
        return key, server.command("GET", key).decode()
    if key.endswith(":events"):
        return key, [_text(by_name(fields)) for _, fields in server.command("XRANGE", key, "-", "+")]
    if _is_record(key):
        return key, _record(server.command("GET", key))
    if ":runs:" in key or key.endswith(":openings") or key.startswith(_SETS):
        return key, [member.decode() for member in server.command("ZRANGE", key, "0", "-1")]
    return key, _text(by_name(server.command("HGETALL", key)))


def _real(url: str, ask: Ask) -> list[Any]:
    async def run() -> list[Any]:
        async with Redis.from_url(administrator(url)) as real:
            client: Any = real
            await client.flushdb()
            await client.function_flush()  # which has the clock of the calls before
            clock = _Clock()
            await _set(client, clock)

            async def wait(milliseconds: int) -> None:
                clock.now_ms += milliseconds
                await _set(client, clock)

            patched: Any = _ClientWithClock(open_client(administrator(url), None))
            answers = await ask(RunStore(patched, "real", TTL_S, 20), wait)
            await patched.close()
            keys = sorted(key.decode() for key in await client.keys() if key != b"clock")
            ends = [(key, await client.pttl(key) > 0) for key in keys]
            return [*answers, *ends, *[await _real_content(client, key) for key in keys]]

    return asyncio.run(run())


async def _real_content(client: Any, key: str) -> Any:
    if key == "mousetrap:clock" or key.endswith(":reopening"):
        return key, (await client.get(key)).decode()
    if key.endswith(":events"):
        return key, [_text(fields) for _, fields in await client.xrange(key)]
    if _is_record(key):
        return key, _record(await client.get(key))
    if ":runs:" in key or key.endswith(":openings") or key.startswith(_SETS):
        return key, [member.decode() for member in await client.zrange(key, 0, -1)]
    return key, _text(await client.hgetall(key))


#: Sorted sets of packed runs.
_SETS = tuple(
    f"mousetrap:{name}"
    for name in (
        *("opened", "newest:", "ids:", "kept:", "open:", "error:"),
        *("failed:", "cancelled:", "rejected:", "expired:"),
    )
)


def _is_record(key: str) -> bool:
    return "}:job:" in key or key.endswith("}:run")


def _record(record: bytes) -> tuple[bytes, Any, bytes]:
    """A packed record; Lua encodes its facts in no fixed order."""
    head, brace, rest = record.partition(b"{")
    facts, _, body = rest.partition(b"\n")
    return head, msgspec.json.decode(brace + facts), body


def _text(fields: dict[bytes, bytes]) -> dict[str, Any]:
    return {name.decode(): _read(value) for name, value in fields.items()}


def _read(value: bytes) -> Any:
    # Lua encodes the fields of JSON in no fixed order.
    return msgspec.json.decode(value) if value.startswith(b"{") else value.decode()


class _Clock:
    def __init__(self) -> None:
        self.now_ms = EPOCH_MS


async def _set(client: Any, clock: _Clock) -> None:
    seconds, rest = divmod(clock.now_ms, 1000)
    await client.hset("clock", mapping={"seconds": seconds, "rest": rest * 1000})


class _ClientWithClock:
    """The real client, whose library uses the test's clock."""

    is_cluster = False

    def __init__(self, client: RealClient) -> None:
        self._client = client
        self.transaction, self.close = client.transaction, client.close

    async def call(self, *command: Any) -> Any:
        return await self._client.call(*_with_clock(*command))

    async def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        return await self._client.pipeline([_with_clock(*command) for command in commands])


def _with_clock(command: str, *args: Any) -> tuple[Any, ...]:
    if command == "TIME":
        return "HMGET", "clock", "seconds", "rest"
    if command == "FUNCTION":
        assert _NOW in args[-1], "the library reads the clock in a way that this test does not replace"
        args = (*args[:-1], args[-1].replace(_NOW, _TEST_TIME))
    return command, *args
