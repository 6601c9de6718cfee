"""Tests the job of a join, which any worker makes the same."""

from typing import Any, cast

import msgspec
import pytest

from mousetrap.jobs import Done, Failure, GiveUp, Job, PayloadMissing, PayloadNotPut, Reference, first_job
from mousetrap.payloads import PayloadOptions, open_payloads
from mousetrap.pipeline import All, Each, Fan, Gathered, Many, Pipeline, Stage
from mousetrap.run_store import ChildOutput, Fired, RunStore
from mousetrap.worker.endings import Publish, Refuse
from mousetrap.worker.joins import Joins, join_text
from mousetrap.worker.outages import Outages
from support.workbench import KEYRING

PARENT = first_job(run_id="r", pipeline="p", stage="find", payload=b"1", accepted_ms=5, v=5)


class Both(msgspec.Struct):
    left: int
    right: str


def stage(name: str, takes: Any, gives: Any, **more: Any) -> Stage:
    return Stage(name=name, queue=f"q_{name}", input=takes, output=gives, **more)


FANNED = Pipeline(
    name="p",
    description="Fans out.",
    stages=(
        stage("find", int, Many[int]),
        stage("read", int, int, after=Each("find")),
        stage("sum", Gathered[int], int, after=All("read")),
    ),
)
FORKED = Pipeline(
    name="p",
    description="Forks.",
    stages=(
        stage("find", int, int),
        stage("left", int, int, after="find"),
        stage("ahead", int, str, after="find"),
        stage("right", str, str, after="ahead"),
        stage("meet", Both, int, after=All("right", "left")),
    ),
)


def fan_of(pipeline: Pipeline) -> Fan:
    fan = pipeline.opened_by(pipeline.first)
    assert fan is not None
    return fan


class FakePayloads:
    """Payloads of up to 100 bytes are inline, and of up to 300 are put."""

    largest = 300

    def __init__(self) -> None:
        self.put: list[bytes] = []

    async def put_large(self, run_id: str, data: bytes) -> Any:
        if len(data) <= 100:
            return msgspec.UNSET
        self.put.append(data)
        return Reference(key="k", sha256="", size=len(data))

    async def get(self, reference: Reference) -> bytes:
        if reference.key == "gone":
            raise PayloadMissing("it is gone")
        return b"1234"


class FakeStore:
    """Has the outputs of one fan."""

    def __init__(self, *outcomes: Any) -> None:
        self.payloads = FakePayloads()
        self._outcomes = outcomes

    async def children(self, run_id: str, fan: str, first: int, count: int) -> list[ChildOutput]:
        assert (run_id, fan, first, count) == ("r", PARENT.id, 0, len(self._outcomes))
        return [
            ChildOutput(index, "done" if isinstance(each, Done) or each is None else "lost", each)
            for index, each in enumerate(self._outcomes)
        ]


def done(output: bytes, **more: Any) -> Done:
    return Done(msgspec.Raw(output), **more)


def fired(pipeline: Pipeline) -> Fired:
    join = join_text(fan_of(pipeline), PARENT, KEYRING)
    return Fired(PARENT.id, 4, total=2, done=2, lost=0, join=join)


async def joined(store: FakeStore, pipeline: Pipeline, by: Job) -> tuple[Job, str]:
    published = await published_by(store, by, fired(pipeline))
    assert isinstance(published, Publish)
    return published.job, published.queue


async def published_by(store: FakeStore, by: Job, fired: Fired) -> Publish | Refuse:
    return await Joins(cast(RunStore, store), Outages(), KEYRING).published_by(by, fired)


async def test_the_join_of_a_fan_out_is_the_same_by_a_child_and_by_the_parent() -> None:
    child = PARENT.child("read", b"7", index=1, fence=4)

    by_child, by_parent = [await joined(FakeStore(), FANNED, job) for job in (child, PARENT)]

    assert by_child == by_parent
    job, queue = by_child
    assert (job.stage, queue, job.parent, job.parent_fence) == ("sum", "q_sum", PARENT.id, 4)
    assert msgspec.json.decode(job.payload) == {"total": 2, "done": 2, "lost": 0, "fan": PARENT.id}


async def test_branches_are_joined_by_the_names_of_their_last_stages_in_whatever_order_they_are_named() -> (
    None
):
    job, queue = await joined(
        FakeStore(done(b"1"), done(b'"r"')), FORKED, PARENT.child("left", b"7", index=0, fence=4)
    )

    assert (queue, msgspec.json.decode(job.payload)) == ("q_meet", {"left": 1, "right": "r"})


@pytest.mark.parametrize(
    "lost",
    [
        None,
        GiveUp("contract", Failure(kind="E", text="t")),
        done(b"null", reference=Reference(key="gone", sha256="", size=4)),
    ],
)
async def test_a_branch_whose_output_is_lost_is_missed_by_the_join_s_contract(lost: Any) -> None:
    job, _ = await joined(FakeStore(done(b"1"), lost), FORKED, PARENT)

    assert msgspec.json.decode(job.payload) == {"left": 1}


async def test_large_outputs_are_joined_by_reference() -> None:
    store = FakeStore(
        done(b"null", reference=Reference(key="there", sha256="", size=4)), done(b'"' + b"r" * 150 + b'"')
    )

    job, _ = await joined(store, FORKED, PARENT)

    assert (bytes(job.payload), cast(Reference, job.reference).size) == (b"null", len(store.payloads.put[0]))
    assert msgspec.json.decode(store.payloads.put[0]) == {"left": 1234, "right": "r" * 150}


async def test_outputs_that_are_too_large_together_give_the_join_up_with_their_size(
    caplog: pytest.LogCaptureFixture,
) -> None:
    job, _ = await joined(FakeStore(done(b"1"), done(b'"' + b"r" * 400 + b'"')), FORKED, PARENT)

    assert isinstance(job.reference, Reference)
    payloads = open_payloads(PayloadOptions(), lambda: cast(Any, None))
    with pytest.raises(PayloadNotPut, match="421 bytes, which is more than") as refused:
        await payloads.resolved(job)
    assert refused.value.reason == "too-large"
    assert "(left 1, right 402)" in caplog.text


async def test_a_fan_in_another_is_joined_in_that() -> None:
    inner = PARENT.child("find", b"7", index=2, fence=4)
    leaf = inner.child("read", b"7", index=0, fence=9)
    join = join_text(fan_of(FANNED), inner, KEYRING)

    published = await published_by(FakeStore(), leaf, Fired(inner.id, 9, total=1, done=1, lost=0, join=join))

    assert isinstance(published, Publish)
    assert (published.job.parent, published.job.fans) == (inner.id, inner.fans)


@pytest.mark.parametrize(
    "forged",
    [
        '{"stage":"sum","queue":"payroll"}',
        "no json",
        join_text(fan_of(FANNED), PARENT, KEYRING).replace("q_sum", "payroll"),
        join_text(fan_of(FANNED), PARENT.child("read", b"7", index=1, fence=4), KEYRING),
    ],
)
async def test_nothing_is_published_where_a_stranger_has_written_to(forged: str) -> None:
    refused = await published_by(FakeStore(), PARENT, msgspec.structs.replace(fired(FANNED), join=forged))

    assert isinstance(refused, Refuse)
    assert (refused.job, refused.reason) == (PARENT, "store-signature")
