"""A test runs fan-outs, forks and joins inline."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from mousetrap.handlers import Context
from mousetrap.pipeline import (
    All,
    AnyOf,
    ContractBroken,
    Counts,
    Each,
    Fallback,
    Fallen,
    Gathered,
    Keyed,
    Many,
)
from mousetrap.retry import RetryPolicy
from mousetrap.testing import Flaky, perform, perform_async, run, run_async
from support.papers import bound, stage

LIST = stage("list", str, Many[str])
READ = stage("read", str, int, Each("list"))
SUM = stage("sum", Gathered[int], list[int], All("read", need=0.5))


def words(text: str) -> Iterator[str]:
    yield from text.split()


async def length(word: str) -> int:
    return 1 // (word != "bad") * len(word)


async def total(gathered: Gathered[int]) -> list[int]:
    return [gathered.total, gathered.lost, *[value async for _, value in gathered]]


def test_a_fan_out_has_a_job_for_each_item_and_is_joined_in_their_order() -> None:
    assert run(bound((LIST, READ, SUM), words, length, total), "to be or not") == [4, 0, 2, 2, 2, 3]


def test_no_items_are_joined_at_once() -> None:
    assert run(bound((LIST, READ, SUM), words, length, total), "") == [0, 0]


def test_lost_jobs_are_left_out_while_enough_are_done() -> None:
    bindings = bound((LIST, READ, SUM), words, length, total)

    assert run(bindings, "to bad or not") == [4, 1, 2, 2, 3]
    with pytest.raises(ZeroDivisionError) as raised:
        run(bindings, "to bad bad")
    assert raised.value.__notes__ == ["stage 'read': attempt 1: ZeroDivisionError, given up (max-retries)"]


def test_a_number_of_jobs_may_be_needed() -> None:
    bindings = bound((LIST, READ, replace(SUM, after=All("read", need=2))), words, length, total)

    assert run(bindings, "to bad or") == [3, 1, 2, 2]
    assert run(bindings, "to") == [1, 0, 2]
    with pytest.raises(ZeroDivisionError):
        run(bindings, "to bad")


def test_a_join_that_takes_counts_alone_gets_no_outputs() -> None:
    async def count(gathered: Gathered[None]) -> list[Any]:
        return [gathered.total, gathered.done, gathered.lost, [each async for each in gathered]]

    counting = replace(SUM, input=Gathered[None], output=list[Any], after=All("read", need=0.5, keep=False))
    bindings = bound((LIST, READ, counting), words, length, count)

    assert run(bindings, "to bad or") == [3, 2, 1, [[0, None], [2, None]]]
    assert perform(bindings[1], "or") == 2
    assert perform(bindings[2], Gathered.of([None, None], lost=1)) == [3, 2, 1, [[0, None], [1, None]]]


def test_a_job_is_tried_again_by_its_own_policy() -> None:
    flaky = Flaky(fails=2, then=len)
    read = replace(READ, retry=RetryPolicy(attempts=5))

    assert run(bound((LIST, read, SUM), words, flaky, total), "to be") == [2, 0, 2, 2]
    assert flaky.calls == 4


def test_a_lost_job_may_fall_back_or_be_skipped() -> None:
    regret = stage("regret", Fallen[str], int)
    joined = replace(SUM, after=All(AnyOf("read", "regret")))
    falling = bound(
        (LIST, replace(READ, on_failure=Fallback("regret")), regret, joined),
        words,
        length,
        lambda fallen: -len(fallen.input),
        total,
    )
    skipping = bound(
        (
            LIST,
            replace(READ, on_failure="skip"),
            replace(SUM, input=Gathered[int | None], output=list[int | None]),
        ),
        words,
        length,
        total,
    )

    ending = bound(
        (
            LIST,
            replace(READ, on_failure="skip_after"),
            stage("double", int, int),
            replace(SUM, input=Gathered[int | None], output=list[int | None], after=All("double")),
        ),
        words,
        length,
        lambda n: 2 * n,
        total,
    )

    assert run(falling, "to bad") == [2, 0, 2, -3]
    assert run(ending, "to bad") == [2, 0, 4, None]
    assert run(skipping, "to bad") == [2, 0, 2, None]


class Both(msgspec.Struct):
    double: int
    text: str


def text_of(n: int) -> str:
    return str(n)


FORK = (
    stage("split", int, int),
    stage("double", int, int, "split"),
    stage("text", int, str, "split"),
    stage("join", Both, str, All("double", "text")),
)


def test_a_fork_runs_all_that_follow_and_joins_them_by_their_names() -> None:
    found = bound(FORK, lambda n: n + 1, lambda n: 2 * n, text_of, lambda both: f"{both.double} {both.text}")

    assert run(found, 3) == "8 4"


def test_a_branch_of_a_fork_may_end_early_with_null_and_so_may_its_run() -> None:
    class Ends(msgspec.Struct):
        half: int | None
        text: str

    stages = (
        stage("split", int, int, on_failure="skip_after"),
        stage("double", int, int, "split", on_failure="skip_after"),
        stage("half", int, int),
        stage("text", int, str, "split"),
        stage("join", Ends, list[int | str | None], All("half", "text")),
    )
    handlers = (
        lambda n: 10 // n,
        lambda n: 20 // (n - 10),
        lambda n: n // 2,
        text_of,
        lambda ends: [ends.half, ends.text],
    )

    assert run(bound(stages, *handlers), 2) == [-2, "5"]
    assert run(bound(stages, *handlers), 1) == [None, "10"]
    assert run(bound(stages, *handlers), 0) is None


def test_a_fork_without_one_of_its_branches_fails() -> None:
    found = bound(FORK, lambda n: n, lambda n: n // 0, text_of, lambda both: both.text)

    with pytest.raises(ZeroDivisionError):
        run(found, 3)


def test_fan_outs_are_nested_with_forks_and_branches_in_them() -> None:
    stages = (
        stage("books", int, Many[int]),
        stage("pages", int, Many[int], Each("books")),
        *(replace(each, after=Each("pages")) if each.name == "split" else each for each in FORK),
        stage("book", Gathered[str], str, All("join", need=2)),
        stage("shelf", Gathered[str], list[str], All("book", need=0.5)),
    )
    found = bound(
        stages,
        lambda n: list(range(n)),
        lambda n: list(range(n)),
        lambda n: n,
        lambda n: 2 * n,
        text_of,
        lambda both: f"{both.double}{both.text}",
        lambda gathered: " ".join(gathered.values()),
        lambda gathered: [*gathered.values(), str(gathered.lost)],
    )

    assert run(found, 4) == ["", "00", "00 21", "00 21 42", "0"]


def test_what_nothing_joins_gives_its_counts() -> None:
    assert run(bound((LIST, READ), words, length), "to bad or") == Counts(3, 2, 1)


def test_a_key_that_comes_twice_gives_the_job_up() -> None:
    def keyed(text: str) -> Iterator[Keyed[str]]:
        yield from (Keyed(word, word) for word in text.split())

    found = bound((LIST, READ, SUM), keyed, length, total)

    assert run(found, "to be") == [2, 0, 2, 2]
    with pytest.raises(Exception, match="item 2 has the key 'to', which an item before it has"):
        run(found, "to be to")
    assert perform(found[0], "to be") == [Keyed("to", "to"), Keyed("be", "be")]


async def test_a_run_in_an_event_loop_is_as_in_a_worker() -> None:
    def waits(gathered: Gathered[int]) -> list[int]:
        return gathered.values()  # in a thread

    async def blocks(gathered: Gathered[int]) -> list[int]:
        return gathered.values()

    assert await run_async(bound((LIST, READ, SUM), words, length, waits), "to be") == [2, 2]
    with pytest.raises(RuntimeError, match="async for"):
        await run_async(bound((LIST, READ, SUM), words, length, blocks), "to be")


def test_each_job_has_an_id_of_its_own() -> None:
    seen: set[str] = set()

    async def read(word: str, context: Context[None]) -> int:
        seen.add(context.job_id)
        return 1

    run(bound((LIST, READ, SUM), words, read, total), "to be or not")

    assert len(seen) == 4


async def items(text: str) -> AsyncIterator[Any]:
    yield "one"
    yield 2


async def test_one_handler_of_a_graph_is_performed() -> None:
    found = bound((LIST, READ, SUM), words, length, total)

    assert await perform_async(found[0], "to be") == ["to", "be"]
    assert await perform_async(found[1], "to") == 2
    assert await perform_async(found[2], [3, 4]) == [2, 0, 3, 4]
    assert await perform_async(found[2], Gathered.of([3], lost=2)) == [3, 2, 3]
    with pytest.raises(ContractBroken):
        await perform_async(found[2], ["three"])
    with pytest.raises(Exception, match="item 1 of stage 'list'"):
        await perform_async(bound((LIST, READ, SUM), items, length, total)[0], "")
