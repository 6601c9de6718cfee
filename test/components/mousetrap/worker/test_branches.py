"""A value selects, by its type, the stage that takes it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from mousetrap.dead_letters import DeadLetters, Selection
from mousetrap.handlers import Binding
from mousetrap.jobs import Done, dead_queue, decode
from mousetrap.pipeline import AnyOf, Pipeline, Stage
from mousetrap.run_store import Granted, StoredRun
from mousetrap.shapes import RunState
from mousetrap.submit_run import RerunImpossible
from support.workbench import KEYRING, Workbench, on_streams, workbench_for

pytestmark = pytest.mark.own_queues


class Short(msgspec.Struct, frozen=True, tag="short"):
    pages: int


class Long(msgspec.Struct, frozen=True, tag="long"):
    pages: int


async def price(pages: int) -> Short | Long:
    return Short(pages) if pages < 100 else Long(pages)


async def brief(draft: Short) -> str:
    return f"a brief of {draft.pages}"


def book(draft: Long) -> str:
    return f"a book of {draft.pages}"


async def bind(text: str) -> list[str]:
    return [text]


HANDLERS = {"price": price, "brief": brief, "book": book, "bind": bind}


def books(**of_book: Any) -> Pipeline:
    """price -> brief or book -> bind."""
    mark = uuid4().hex[:8]

    def stage(name: str, takes: Any, gives: Any, **more: Any) -> Stage:
        return Stage(name=name, queue=f"{name}_{mark}", input=takes, output=gives, **more)

    return Pipeline(
        name=f"books_{mark}",
        description="Makes books.",
        stages=(
            stage("price", int, Short | Long),
            stage("brief", Short, str, after="price"),
            stage("book", Long, str, after="price", **of_book),
            stage("bind", str, list[str], after=AnyOf("brief", "book")),
        ),
    )


@asynccontextmanager
async def served(bench: Workbench, **handlers: Any) -> AsyncIterator[None]:
    bindings = [
        bench.bind(stage.name, handlers.get(stage.name, HANDLERS[stage.name]))
        for stage in bench.pipeline.stages
    ]
    async with bench.working(*bindings):
        yield


def started(run: StoredRun) -> list[str]:
    return [event.stage or "" for event in run.timeline if event.kind == "started"]


@pytest.mark.parametrize("in_place", [False, True])
async def test_a_value_s_type_selects_the_stage_that_takes_it(
    queue_url: str, store_url: str, in_place: bool
) -> None:
    async with (
        workbench_for(replace(books(), in_place=in_place), queue_url, store_url) as bench,
        served(bench),
    ):
        short = await bench.ended(await bench.submit(b"9"))
        long = await bench.ended(await bench.submit(b"900"))

    assert (short.result, started(short)) == (["a brief of 9"], ["price", "brief", "bind"])
    assert (long.result, started(long)) == (["a book of 900"], ["price", "book", "bind"])


@on_streams
async def test_a_plain_dict_is_what_it_reads_as(queue_url: str, store_url: str) -> None:
    async def plain(pages: int) -> Any:
        return {"type": "long", "pages": pages}

    async with workbench_for(books(), queue_url, store_url) as bench, served(bench, price=plain):
        run = await bench.ended(await bench.submit(b"1"))

    assert run.result == ["a book of 1"]


@on_streams
async def test_a_value_that_no_stage_takes_is_a_dead_letter(queue_url: str, store_url: str) -> None:
    async def odd(pages: int) -> Any:
        return {"type": "huge", "pages": pages}

    async with workbench_for(books(), queue_url, store_url) as bench, served(bench, price=odd):
        run = await bench.ended(await bench.submit(b"1"))
        letter = await bench.dead_letter("price")

    assert run.state is RunState.FAILED
    assert letter.headers["mousetrap-reason"] == "contract"


@on_streams
async def test_a_branch_may_have_a_serializer(queue_url: str, store_url: str) -> None:
    async with workbench_for(books(serializer="msgpack"), queue_url, store_url) as bench, served(bench):
        run = await bench.ended(await bench.submit(b"900"))

    assert run.result == ["a book of 900"]


async def die_after_the_record(bench: Workbench, chosen: str | msgspec.UnsetType) -> None:
    """Does the first job as a worker that records its outcome, for the chosen stage, and dies before it publishes."""
    delivery = await bench.next_of(bench.queue_of("price"))
    job = decode(delivery.message.body)
    claim = await bench.store.claim(job, worker="dead", redelivered=False, lease=60.0)
    assert isinstance(claim, Granted)
    outcome = Done(msgspec.Raw(msgspec.json.encode(Long(9))), next=chosen)
    following = chosen or "brief"
    await bench.store.decide(job, outcome, fence=claim.fence, worker="dead", last=False, next_stage=following)
    delivery.hand_back()


async def test_a_redelivered_message_goes_on_as_it_is_recorded(queue_url: str, store_url: str) -> None:
    """The worker died between the record and the publish, and the next one would price it otherwise."""
    async with workbench_for(books(), queue_url, store_url) as bench:
        run_id = await bench.submit(b"9")
        await die_after_the_record(bench, "book")
        async with served(bench):
            run = await bench.ended(run_id)

    assert run.result == ["a book of 9"]


@on_streams
async def test_an_outcome_for_a_stage_that_is_gone_is_a_dead_letter(queue_url: str, store_url: str) -> None:
    async with workbench_for(books(), queue_url, store_url) as bench:
        await bench.submit(b"9")
        await die_after_the_record(bench, "pamphlet")
        async with served(bench):
            letter = await bench.dead_letter("price")

    assert letter.headers["mousetrap-reason"] == "unknown-stage"
    assert "is recorded for stage 'pamphlet', which does not follow it" in letter.headers["mousetrap-error"]


@on_streams
async def test_an_outcome_of_before_the_branch_is_a_dead_letter(queue_url: str, store_url: str) -> None:
    """When it was recorded one stage followed, and nothing had to be named."""
    async with workbench_for(books(), queue_url, store_url) as bench:
        await bench.submit(b"9")
        await die_after_the_record(bench, msgspec.UNSET)
        async with served(bench):
            letter = await bench.dead_letter("price")

    assert letter.headers["mousetrap-reason"] == "unknown-stage"


@on_streams
async def test_a_redriven_outcome_for_a_stage_that_is_back_goes_on(queue_url: str, store_url: str) -> None:
    """A worker of the version before, which has no book, got the message of one that died after the record."""
    pipeline = books()
    before = replace(pipeline, stages=(replace(pipeline.stages[0], output=Short), *pipeline.stages[1:2]))
    async with workbench_for(pipeline, queue_url, store_url) as bench:
        run_id = await bench.submit(b"9")
        await die_after_the_record(bench, "book")
        async with bench.working(Binding(pipeline=before, stage=before.stages[0], handler=price)):
            dead = await bench.next_of(dead_queue(bench.queue_of("price")))
            await bench.put_back(dead)
        letters = DeadLetters(bench.queue, bench.store, KEYRING, {pipeline.name: pipeline})
        async with served(bench):
            repaired = await letters.redrive(Selection(), rate=100, limit=1)
            assert repaired.done == 1
            run = await bench.ended(run_id)

    assert run.result == ["a book of 9"]


@on_streams
async def test_a_run_is_repeated_from_a_stage_of_the_branch_that_it_took(
    queue_url: str, store_url: str
) -> None:
    async with workbench_for(books(), queue_url, store_url) as bench, served(bench):
        run = await bench.ended(await bench.submit(b"900"))

        again = await bench.submitter.rerun(run, run_id=uuid4().hex, begin="bind", body=None)
        repeated = await bench.ended(again.run_id)
        with pytest.raises(RerunImpossible, match="the run went to stage 'bind', which nothing follows"):
            await bench.submitter.rerun(run, run_id=uuid4().hex, begin="brief", body=None)

    assert (repeated.result, started(repeated)) == (["a book of 900"], ["bind"])
