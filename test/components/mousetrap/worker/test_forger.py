"""Write access to the store, without a key, gets nothing signed."""

import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from msgspec import Raw, json, structs
from redis.asyncio import Redis

from mousetrap.dead_letters import DeadLetters, Selection
from mousetrap.handlers import Binding
from mousetrap.jobs import Done, Failure, GiveUp, Job, Message, decode, encode, first_job
from mousetrap.run_store import Terms, Unsigned, open_store
from mousetrap.run_store.keys import job_key, packed_job_key, packed_run_key, run_key
from mousetrap.shapes import RunState
from mousetrap.signing import Keyring
from mousetrap.submit_run import RerunImpossible, Submitter
from support.workbench import KEYRING, Workbench, on_streams

pytestmark = pytest.mark.own_queues


@pytest.fixture(params=[2, 5], ids=["hashes", "packed"], autouse=True)
def new_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of either family."""
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", request.param)


FORGED = 1_000_000
FORGERY = b'{"type":"done","output":%d}' % FORGED


@asynccontextmanager
async def forger(store_url: str) -> AsyncIterator[Any]:
    """A client of the store that anybody could have."""
    async with Redis.from_url(store_url.replace("valkey", "redis", 1)) as client:
        yield client


async def forge(store: Any, job: Job, verdict: bytes) -> None:
    """Puts the outcome on record of the job, as one that was decided."""
    if job.v < 5:
        await store.hset(job_key(job.id), mapping={"state": "done", "verdict": verdict})
        return
    facts = b'{"stage":"%b","generation":%d,"decided_ms":1,"next":"double"}' % (
        job.stage.encode(),
        job.generation,
    )
    await store.set(packed_job_key(job.run_id, job.id), b"D00000001" + facts + b"\n" + verdict)


async def verdict_of(store: Any, job: Job) -> bytes:
    """The outcome on record of the job."""
    if job.v < 5:
        return bytes(await store.hget(job_key(job.id), "verdict"))
    return bytes((await store.get(packed_job_key(job.run_id, job.id))).partition(b"\n")[2])


async def change_run(store: Any, run_id: str, change: dict[str, Any]) -> None:
    """Changes fields on record of the run, by the names of the older family."""
    record = await store.get(packed_run_key(run_id))
    if record is None:
        await store.hset(run_key(run_id), mapping=change)
        return
    head, _, body = record.partition(b"\n")
    facts = {**json.decode(head[1:]), **change}
    body = str(facts.pop("input", body.decode())).encode()
    facts["stage"] = facts.pop("first", facts["stage"])
    await store.set(packed_run_key(run_id), head[:1] + json.encode(facts) + b"\n" + body)


def the_first_job(bench: Workbench, run_id: str) -> Job:
    return first_job(run_id=run_id, pipeline=bench.pipeline.name, stage="add", payload=b"1", accepted_ms=1)


class Noting:
    """Handlers that write down what they were given."""

    def __init__(self, bench: Workbench) -> None:
        self.given: list[tuple[str, int]] = []
        self._bench = bench

    def bindings(self) -> list[Binding]:
        return [
            self._bench.bind("add", lambda number: self._note("add", number) + 1),
            self._bench.bind("double", lambda number: self._note("double", number) * 2),
        ]

    def _note(self, stage: str, number: int) -> int:
        self.given.append((stage, number))
        return number


SIGNED_BY_ANOTHER = Keyring.parse("test:not-the-secret-of-the-tests")


def forgeries(job: Job) -> dict[str, bytes]:
    """Records that a forger could put in the place of the job's own."""
    by_another = signed_by(SIGNED_BY_ANOTHER, job, FORGERY)
    message = KEYRING.headers(encode(job))["mousetrap-signature"].encode()
    return {
        "unsigned": FORGERY,
        "signed with another key": by_another,
        "with the signature of a message": FORGERY[:-1] + b',"signature":"' + message + b'"}',
        "no outcome": b"[]",
        "no json": b"{",
        "a letter": b'{"type":"dead","reason":"x","failure":{"kind":"x","text":"x"}}',
    }


def signed_by(keyring: Keyring, job: Job, text: bytes) -> bytes:
    about = ("verdict", job.run_id, job.pipeline, job.stage, job.id, job.generation)
    return text[:-1] + b',"signature":"' + keyring.sign_record(about, text).encode() + b'"}'


KINDS = tuple(forgeries(first_job(run_id="r", pipeline="p", stage="add", payload=b"1", accepted_ms=1)))


@pytest.mark.parametrize("kind", KINDS)
async def test_an_outcome_that_somebody_wrote_into_the_store_is_never_signed(
    bench: Workbench, store_url: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    noting = Noting(bench)
    run_id = await bench.submit(b"20")
    job = the_first_job(bench, run_id)
    async with forger(store_url) as store:
        await forge(store, job, forgeries(job)[kind])

    async with bench.working(*noting.bindings()):
        failed = await bench.ended(run_id)
    assert (failed.state, noting.given) == (RunState.FAILED, [])
    assert failed.failure is not None
    assert "nothing follows from it" in failed.failure.text

    redriven = await letters_of(bench).redrive(Selection(reason="store-signature"), rate=100, limit=1)
    assert redriven.done == 1
    async with bench.working(*noting.bindings()):
        run = await bench.ended(run_id)

    assert (run.state, run.result) == (RunState.COMPLETED, 42)
    assert noting.given == [("add", 20), ("double", 21)]
    assert [record.levelno for record in caplog.records if "store-signature" in record.message] == [
        logging.ERROR
    ]


def letters_of(bench: Workbench) -> DeadLetters:
    return DeadLetters(bench.queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})


async def test_an_outcome_of_another_job_is_no_outcome_of_this_one(bench: Workbench, store_url: str) -> None:
    noting = Noting(bench)
    async with bench.working(*noting.bindings()):
        donor = await bench.submit(b"999")
        await bench.ended(donor)
    run_id = await bench.submit(b"20")
    async with forger(store_url) as store:
        theirs = await verdict_of(store, the_first_job(bench, donor))
        await forge(store, the_first_job(bench, run_id), theirs)
    noting.given.clear()

    async with bench.working(*noting.bindings()):
        run = await bench.ended(run_id)

    assert b'"signature":"' in theirs
    assert (run.state, noting.given) == (RunState.FAILED, [])


@on_streams
async def test_an_outcome_of_an_earlier_round_is_no_outcome_of_this_one(
    bench: Workbench, store_url: str
) -> None:
    run_id = await bench.submit(b"20")
    job = the_first_job(bench, run_id)
    claim: Any = await bench.store.claim(job, worker="w", redelivered=False, lease=60)
    dead = GiveUp("x", Failure(kind="x", text="x"))
    await bench.store.decide(job, dead, fence=claim.fence, worker="w", last=False)
    record = signed_by(KEYRING, job, FORGERY)
    again = await bench.store.redrive(job)
    assert isinstance(again, Job)
    async with forger(store_url) as store:
        await forge(store, again, record)
    asked = await bench.store.claim(again, worker="w", redelivered=False, lease=60)

    assert isinstance(asked, Unsigned)


async def test_a_run_that_somebody_wrote_into_the_store_is_not_published(
    bench: Workbench, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    noting = Noting(bench)
    run = {
        "pipeline": bench.pipeline.name,
        "state": "queued",
        "stage": "double",
        "first": "double",
        "input": str(FORGED),
        "digest": hashlib.sha256(str(FORGED).encode()).hexdigest(),
        "accepted_ms": 1,
        "updated_ms": 1,
    }
    async with forger(store_url) as store:
        await store.hset("mousetrap:run:forged", mapping={**run, "submitters": 1})
        await store.zadd("mousetrap:openings", {"forged": 1})

    assert await bench.submitter.republish(age=0.0) == 0

    async with bench.working(*noting.bindings()):
        assert (await bench.ended(await bench.submit(b"1"))).result == 4
        rejected = await bench.ended("forged")
    assert (rejected.state, noting.given) == (RunState.REJECTED, [("add", 1), ("double", 2)])
    assert (await bench.store.unpublished(age=0.0)).run_ids == []
    assert any("will not publish" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    "change",
    [
        {"input": str(FORGED)},
        {"first": "double"},
        {"pipeline": "another"},
        {"signature": "0 r1.test.AAAA"},
        {"signature": ""},
    ],
)
@on_streams
async def test_a_run_whose_start_somebody_changed_in_the_store_is_neither_published_nor_repeated(
    bench: Workbench, store_url: str, change: dict[str, str]
) -> None:
    await bench.store.open_run("r1", bench.pipeline.name, "add", b"20")  # and its submitter dies here
    async with forger(store_url) as store:
        await change_run(store, "r1", change)
    pipelines = {bench.pipeline.name: bench.pipeline, "another": bench.pipeline}
    submitter = Submitter(bench.store, bench.queue, KEYRING, pipelines)

    run = await bench.store.get("r1")
    assert run is not None
    with pytest.raises(RerunImpossible, match=r"ive an input"):
        await submitter.rerun(run, run_id="r2", begin="add")
    with pytest.raises(RerunImpossible, match=r"ive an input"):
        await submitter.job_of(run, "add")
    assert await submitter.republish(age=0.0) == 0
    assert await bench.queue.count_ready(bench.queue_of("add")) == 0
    assert await bench.queue.count_ready(bench.queue_of("double")) == 0


@on_streams
async def test_the_time_that_a_run_has_cannot_be_changed_in_the_store(
    bench: Workbench, store_url: str
) -> None:
    await bench.store.open_run("r1", bench.pipeline.name, "add", b"20", terms=Terms(expires_in=60))
    async with forger(store_url) as store:
        await change_run(store, "r1", {"expires_ms": 10**14})
    assert await bench.submitter.republish(age=0.0) == 1

    delivery = await bench.next_of(bench.queue_of("add"))

    job = decode(delivery.message.body)
    assert job.expires_ms == job.accepted_ms + 60_000


async def test_a_stage_is_not_repeated_on_an_output_that_somebody_changed_in_the_store(
    bench: Workbench, store_url: str
) -> None:
    noting = Noting(bench)
    async with bench.working(*noting.bindings()):
        run = await bench.ended(await bench.submit(b"20"))
    job = the_first_job(bench, run.id)
    async with forger(store_url) as store:
        await forge(store, job, FORGERY)

    with pytest.raises(RerunImpossible, match="not ours to repeat"):
        await bench.submitter.rerun(run, run_id="r2", begin="double")
    with pytest.raises(RerunImpossible, match="not ours to repeat"):
        await bench.submitter.job_of(run, "double")  # nor is it shown

    assert await bench.queue.count_ready(bench.queue_of("double")) == 0
    given = await bench.submitter.rerun(run, run_id="r3", begin="double", body=b"5")
    assert given.new


@pytest.mark.parametrize("field", ["payload", "attempt", "stage", "generation", "accepted_ms"])
async def test_a_letter_that_somebody_changed_is_never_signed(bench: Workbench, field: str) -> None:
    """Where the queue is the embedded one, its letters are in the store too."""

    noting = Noting(bench)
    job = the_first_job(bench, "r1")
    genuine = Message(job.id, encode(job), KEYRING.headers(encode(job)))
    changed = {
        "payload": structs.replace(job, payload=Raw(b"%d" % FORGED)),
        "attempt": structs.replace(job, attempt=2),
        "stage": structs.replace(job, stage="double"),
        "generation": structs.replace(job, generation=1),
        "accepted_ms": structs.replace(job, accepted_ms=2),
    }[field]
    letter = structs.replace(genuine, body=encode(changed))
    await bench.queue.publish(f"{bench.queue_of('add')}.dead", letter)

    await letters_of(bench).redrive(Selection(), rate=100, limit=1)
    async with bench.working(*noting.bindings()):
        buried = await bench.dead_letter("add")

    assert (buried.body, buried.headers["mousetrap-reason"]) == (letter.body, "signature")
    assert noting.given == []


@on_streams
async def test_an_outcome_of_ours_is_taken_also_after_the_keys_were_rotated(
    bench: Workbench, store_url: str
) -> None:
    """The older key is in the ring still, behind the new one: what it signed is valid."""

    run_id = await bench.submit(b"20")
    job = the_first_job(bench, run_id)
    claim: Any = await bench.store.claim(job, worker="dead", redelivered=False, lease=60)
    done = Done(Raw(b"21"))
    await bench.store.decide(job, done, fence=claim.fence, worker="dead", last=False, next_stage="double")
    noting = Noting(bench)
    rotated = Keyring({"new": b"a-new-secret-of-the-tests", **KEYRING.keys})

    async with (
        open_store(store_url, retention=600, keyring=rotated) as store,
        replace(bench, store=store).working(*noting.bindings(), keyring=rotated),
    ):
        run = await bench.ended(run_id)

    assert (run.result, noting.given) == (42, [("double", 21)])
