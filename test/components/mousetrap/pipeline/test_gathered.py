"""What was gathered is read by page, in its order."""

import asyncio
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from mousetrap.pipeline import (
    PAGE,
    ContractBroken,
    Counted,
    Fallen,
    Gathered,
    MemoryPages,
    OutputsMissing,
    Page,
    read,
    use_pages,
    write,
)


class Text(msgspec.Struct, frozen=True):
    text: str


class Model(BaseModel):
    text: str


MESSAGE = b'{"total":600,"done":599,"lost":1,"fan":"job"}'


class Store:
    """The pages of 600 outputs without the second, which notes what is asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.loop: asyncio.AbstractEventLoop | None = None

    def get(self, first: int) -> "Future[Page]":
        self.asked.append(first)
        indexes = [index for index in range(first, min(first + PAGE, 600)) if index != 1]
        page: Future[Page] = Future()
        after = first + PAGE
        page.set_result(
            Page([(index, b'{"text":"%d"}' % index) for index in indexes], after if after < 600 else None)
        )
        return page


def gathered(store: Store, contract: object = Gathered[Text]) -> Gathered[Text]:
    """The outputs as a handler gets them."""

    def reads() -> Gathered[Text]:
        use_pages({"job": store}.__getitem__)
        found: Gathered[Text] = read(MESSAGE, contract)
        return found

    return copy_context().run(reads)


def test_a_sync_handler_reads_one_page_after_another() -> None:
    store = Store()
    found = gathered(store)

    assert (found.total, found.done, found.lost) == (600, 599, 1)
    assert store.asked == []
    values = iter(found)
    assert next(values) == (0, Text("0"))
    assert next(values) == (2, Text("2"))
    assert store.asked == [0]
    assert [index for index, _ in values] == list(range(3, 600))
    assert store.asked == [0, 256, 512]
    assert len(found.values()) == 599


async def test_an_async_handler_reads_them_too_and_must_not_wait_in_its_loop() -> None:
    store = Store()
    found = gathered(store)

    assert [index async for index, _ in found] == [0, *range(2, 600)]
    store.loop = asyncio.get_running_loop()
    with pytest.raises(RuntimeError, match="async for"):
        found.values()
    assert len(await asyncio.to_thread(found.values)) == 599


async def test_outputs_that_the_store_lacks_are_an_error_at_the_end_and_no_smaller_sum() -> None:
    message = msgspec.json.encode(Counted(601, 600, 1, "job"))

    def reads() -> Gathered[Text]:
        use_pages({"job": Store()}.__getitem__)
        found: Gathered[Text] = read(message, Gathered[Text])
        return found

    found = copy_context().run(reads)

    with pytest.raises(OutputsMissing, match="599 of the 600 outputs"):
        found.values()
    with pytest.raises(OutputsMissing):
        [value async for value in found]


def test_each_output_is_read_under_its_contract() -> None:
    first: Any = next(iter(gathered(Store(), Gathered[Model])))[1]
    assert first == Model(text="0")
    with pytest.raises(ContractBroken):
        gathered(Store(), Gathered[int]).values()


def test_a_fallback_of_a_join_reads_them() -> None:
    fallen = b'{"stage":"sum","input":%s,"reason":"max-retries","kind":"E","text":"","attempts":5}' % MESSAGE

    def reads() -> Fallen[Gathered[Text]]:
        use_pages({"job": Store()}.__getitem__)
        found: Fallen[Gathered[Text]] = read(fallen, Fallen[Gathered[Text]])
        return found

    assert len(copy_context().run(reads).input.values()) == 599


def test_outside_of_an_attempt_there_are_counts_alone() -> None:
    found = read(MESSAGE, Gathered[Text])

    assert repr(found) == "<gathered 599 of 600, 1 lost>"
    assert write(found, Gathered[Text]) == MESSAGE
    with pytest.raises(RuntimeError, match="in an attempt of its join"):
        found.values()


@pytest.mark.parametrize("raw", [b"{}", b"[]", b'{"total":"x","done":1,"lost":0}', b"null"])
def test_what_is_no_message_of_a_join_is_refused(raw: bytes) -> None:
    with pytest.raises(ContractBroken):
        read(raw, Gathered[Text])


def test_values_of_a_test_are_gathered() -> None:
    found = Gathered.of([Text("a"), Text("b")], lost=1)

    assert (found.total, found.done, found.lost) == (3, 2, 1)
    assert list(found) == [(0, Text("a")), (1, Text("b"))]
    assert [
        index for index, _ in MemoryPages([(n, b"") for n in range(300)]).get(250).result().outputs
    ] == list(range(250, 300))
