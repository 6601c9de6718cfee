"""Items of a fan-out are jobs; its join reads their outputs."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from mousetrap.handlers import Binding, Context, Next, bound
from mousetrap.jobs import Done, GiveUp, Outcome, RetryLater
from mousetrap.pipeline import All, Pipeline, SerializerMissing, Stage, read_payload
from mousetrap.retry import RetryPolicy
from support import fan_handlers as handlers
from support.fan_bench import JOB, OVER, READ, TOO_WIDE, Kept, join_job, list_binding, sum_binding, with_fans
from support.handler_host import HandlerBench

GIVING = (
    handlers.items,
    handlers.items_later,
    handlers.item_list,
    handlers.item_list_later,
    handlers.items_given_later,
)


class Bench(HandlerBench):
    """A host of fan-outs."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        super().__init__(threads)
        self.kept = Kept()
        self.host = with_fans(self.host, self.kept)

    async def opened(self, handler: Callable[..., Any], read: Stage = READ, **more: Any) -> Outcome:
        return await bound(list_binding(handler, read, **more), None, self.host).run(JOB, fence=7)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ThreadPoolExecutor(2) as threads:
        yield Bench(threads)


@pytest.mark.parametrize("handler", GIVING)
async def test_each_item_is_kept_and_the_outcome_has_their_number(handler: Any, bench: Bench) -> None:
    assert await bench.opened(handler) == Done(msgspec.Raw(b"null"), children=3)
    assert bench.kept.values == [0, 1, 2]
    assert bench.kept.closed == 1


async def test_no_items_are_a_fan_out_too(bench: Bench) -> None:
    assert await bench.opened(lambda number: []) == Done(msgspec.Raw(b"null"), children=0)
    assert bench.kept.closed == 1


async def test_an_item_may_have_a_key(bench: Bench) -> None:
    await bench.opened(handlers.keyed)

    assert [key for _, key in bench.kept.items] == ["key 0", "key 1", "key 2"]
    assert bench.kept.values == [0, 1, 2]


async def test_an_item_is_written_with_what_its_taker_reads(bench: Bench) -> None:
    packed = replace(READ, serializer="msgpack")

    await bench.opened(handlers.items, packed)

    assert [read_payload(item, packed) for item, _ in bench.kept.items] == [0, 1, 2]
    assert {item.serializer for item, _ in bench.kept.items} == {"msgpack"}
    with pytest.raises(SerializerMissing):
        read_payload(bench.kept.items[0][0]._replace(serializer="other"), READ)


@pytest.mark.parametrize(
    ("handler", "reason", "text"),
    [
        (handlers.wrong_item, "contract", "item 1 of stage 'list': Expected `int`, got `str`"),
        (handlers.no_items, "contract", "returned a int: return a list of items, or yield them"),
        (handlers.letters, "contract", "returned a str: return a list of items"),
        (handlers.returns_beside, "contract", "returned a value beside its items"),
        (handlers.bad_key, "contract", "item 0 of stage 'list' has the key '': give a text"),
        (handlers.large, "too-large", "item 0 of stage 'list' has 41 bytes, and MOUSETRAP_PAYLOAD_MAX_BYTES allows 20"),
    ],
)  # fmt: skip
async def test_what_are_no_items_gives_the_job_up(handler: Any, reason: str, text: str, bench: Bench) -> None:
    bench.host = replace(bench.host, largest=20)

    outcome = await bench.opened(handler)

    assert isinstance(outcome, GiveUp)
    assert outcome.reason == reason
    assert text in outcome.failure.text
    assert bench.kept.closed == 0


@pytest.mark.parametrize("handler", [handlers.items, handlers.items_later])
async def test_a_fan_out_that_is_refused_is_given_up_with_its_reason(handler: Any, bench: Bench) -> None:
    bench.kept.refused, bench.kept.after = TOO_WIDE, 2

    outcome = await bench.opened(handler)

    assert isinstance(outcome, GiveUp)
    assert (outcome.reason, outcome.failure.text) == ("fan-too-wide", "it has more than 2 items")
    assert bench.kept.values == [0, 1]


@pytest.mark.parametrize("handler", [handlers.items, handlers.items_later])
async def test_an_attempt_that_counts_no_more_gives_no_more(handler: Any, bench: Bench) -> None:
    bench.kept.refused, bench.kept.after = OVER, 1

    assert isinstance(await bench.opened(handler), RetryLater)
    assert bench.kept.values == [0]


async def test_a_handler_that_raises_half_way_is_judged(bench: Bench) -> None:
    outcome = await bench.opened(handlers.fails_half_way)

    assert isinstance(outcome, RetryLater)
    assert outcome.failure.text == "list"
    assert bench.kept.values == [1]
    assert bench.kept.closed == 0


async def test_no_item_is_lost_at_a_soft_timeout(bench: Bench) -> None:
    bench.kept.gate = asyncio.Event()

    # In half a second four items are given on a busy machine too.
    outcome = await bench.opened(handlers.goes_on_at_soft_timeout_later, soft_timeout=0.5)

    assert bench.kept.values == [0, 1, 2, 3, 5_000]
    assert outcome == Done(msgspec.Raw(b"null"), children=5)


async def double(context: Context[Any], payload: Any, call_next: Next) -> Any:
    return await call_next(payload * 2)


async def forgets(context: Context[Any], payload: Any, call_next: Next) -> Any:
    await call_next(payload)


async def test_middleware_surrounds_a_fan_out_and_gives_on_what_it_got(bench: Bench) -> None:
    assert await bench.opened(handlers.items, middleware=[double]) == Done(msgspec.Raw(b"null"), children=6)

    outcome = await bench.opened(handlers.items, middleware=[forgets])

    assert isinstance(outcome, GiveUp)
    assert "did not return what `call_next` gave" in outcome.failure.text


@pytest.mark.parametrize("handler", [handlers.total, handlers.total_later])
async def test_a_join_reads_the_outputs_by_page(handler: Any, bench: Bench) -> None:
    handler_ = bound(sum_binding(handler), None, bench.host)

    outcome = await handler_.run(join_job(), fence=7)

    assert isinstance(outcome, Done)
    assert msgspec.json.decode(outcome.output) == [1_001 * index for index in range(300)]


async def test_a_join_whose_outputs_are_nowhere_is_judged(bench: Bench) -> None:
    outcome = await bound(sum_binding(handlers.total), None, bench.host).run(join_job("other"), fence=7)

    assert isinstance(outcome, RetryLater)
    assert "in an attempt of its join" in outcome.failure.text


@pytest.mark.parametrize("handler", [lambda n: n + 1, lambda n: n // 0])
async def test_a_fork_names_the_stages_that_each_take_its_output(handler: Any, bench: Bench) -> None:
    both: Any = msgspec.defstruct("Both", [("a", int), ("b", int)])
    one, other = (Stage(name=name, queue=name, input=int | None, output=int, after="split") for name in "ab")
    join = Stage(name="join", queue="join", input=both, output=int, after=All("a", "b"))
    split = Stage(
        name="split", queue="split", input=int, output=int, on_failure="skip", retry=RetryPolicy(attempts=1)
    )
    pipeline = Pipeline(name="papers", description="Forks.", stages=(split, one, other, join))
    job = msgspec.structs.replace(JOB, stage="split")
    handler_ = bound(Binding(pipeline=pipeline, stage=split, handler=handler), None, bench.host)

    outcome = await handler_.run(job, fence=7)
    if isinstance(outcome, GiveUp):
        outcome = handler_.carried_on(outcome, job)

    assert isinstance(outcome, Done)
    assert outcome.forks == ("a", "b")
    assert bytes(outcome.output) in (b"4", b"null")
